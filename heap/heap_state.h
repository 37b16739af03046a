#ifndef ATOLL_HEAP_HEAP_STATE_H_
#define ATOLL_HEAP_HEAP_STATE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "atoll/heap.h"
#include "atoll/histogram.h"
#include "heap/address_space.h"
#include "heap/block_pool.h"
#include "heap/collector.h"
#include "heap/group_allocator.h"
#include "heap/program_space.h"
#include "heap/shared_allocator.h"
#include "heap/shared_space.h"
#include "heap/type_table.h"
#include "safepoint/worker_pool.h"

namespace Atoll {

/// A heap's inside, as heap/ and gc/ see it.
struct HeapState {
  /// `options` are complete: no zeros that mean a default.
  HeapState(const HeapOptions& options, std::shared_ptr<AddressSpace> space);

  /// Fills in defaults and the environment's knobs.
  static HeapOptions Complete(HeapOptions options);

  void Report(Violation::Kind kind, std::string message) const;

  /// A random identity hash, never zero.
  uint32_t NewIdentityHash();

  Heap* heap = nullptr;
  const HeapOptions options;
  std::shared_ptr<AddressSpace> space;
  GroupAllocator allocator;
  BlockPool pool;
  TypeTable types;
  ProgramSpace program;
  SharedSpace shared;
  platform::Mutex small_copies_mutex;
  SharedAllocator small_copies{shared};  // under its mutex; used between two polls
  SafepointManager safepoints;
  WorkerPool workers;
  std::unique_ptr<Collector> collector;

  mutable platform::Mutex regions_mutex;
  std::set<RegionState*> regions;  // guarded by regions_mutex; also of regions without mutators

  std::atomic<size_t> region_count{0};  // regions.size(), for pacing; relaxed: a statistic

  std::vector<GroupRoots*> group_roots;  // guarded by regions_mutex

  // How many Becomes there were. Changed with all mutators stopped: one that is managed finds by it
  // that what it holds raw across its own polls may be another object's by now.
  uint64_t becomes = 0;

  mutable platform::Mutex stats_mutex;  // guards the three histograms and the sums below
  Histogram minor_pauses;
  Histogram major_pauses;
  Histogram group_pauses;
  uint64_t promoted_bytes = 0;
  uint64_t adoptions_of_gone_regions = 0;

  // Relaxed, both: only distinct values matter.
  std::atomic<uint64_t> hash_state;
  std::atomic<uint64_t> weak_tables{0};  // how many were made: the next one's id
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_HEAP_STATE_H_
