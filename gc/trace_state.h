#ifndef ATOLL_GC_TRACE_STATE_H_
#define ATOLL_GC_TRACE_STATE_H_

#include <atomic>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "gc/mark_stack.h"
#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {

/// What the threads of one collection of one region share.
struct TraceState {
  explicit TraceState(RegionState& region_state, OldAllocator::Source source)
      : region(region_state), heap(region_state.heap), promotion_source(source) {}

  RegionState& region;
  HeapState& heap;
  /// So much is traced that it misses the cache: prefetch before scanning.
  bool prefetch = false;
  /// Where promoted and evacuated objects go.
  const OldAllocator::Source promotion_source;
  WorkSharing sharing;
  /// A mark stack was refused memory: some marked objects have not been scanned.
  // Relaxed: looked at after the threads have joined.
  std::atomic<bool> overflowed{false};
  /// The next root task to be claimed; relaxed: only that each is claimed once matters.
  std::atomic<size_t> next_root_task{0};

  /// Ephemerons by the address of their dead key, once the fixpoint needs it (see
  /// gc/weak_processing.h). Used by one thread.
  bool watching_keys = false;
  std::unordered_multimap<uintptr_t, uintptr_t> ephemerons_by_key;
  std::vector<uintptr_t> ready_ephemerons;
};

}  // namespace Atoll

#endif  // ATOLL_GC_TRACE_STATE_H_
