#ifndef ATOLL_HEAP_REGION_STATE_H_
#define ATOLL_HEAP_REGION_STATE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "atoll/heap.h"
#include "atoll/safepoint.h"
#include "heap/block_pool.h"
#include "heap/old_allocator.h"
#include "heap/part.h"
#include "heap/persistent_table.h"

namespace Atoll {

/// A region's inside, as heap/ and gc/ see it.
///
/// `collection_mutex` is held while the region is collected, attached to, detached from: whoever
/// holds it and has the region's mutators stopped may touch everything. `allocation_mutex` guards
/// what mutators of one region share on the slow path: blocks and budgets.
struct RegionState {
  RegionState(HeapState& heap, RegionOptions options);
  ~RegionState();

  /// The part that is allocated into; made when first needed. Null when part ids are used up.
  Part* OwnPart();

  /// The object in Large whose blocks `address` lies in.
  uintptr_t LargeObjectAt(uintptr_t address) const;

  /// Blocks under this region's and the heap's limits; counts them as this region's.
  BlockIndex TakeBlocks(size_t blocks, BlockPool::Allowance allowance, bool* zeroed = nullptr);
  void GiveBlocks(BlockIndex first, size_t blocks);
  /// Frees a large object's block run and cards.
  void FreeLarge(BlockIndex head);
  void FreeList(BlockList& list);
  /// Frees everything but the own part's id and one empty block, untraced. Returns the finalizers,
  /// to be run when no lock is held; thread-affine ones run at their mutator's next poll.
  /// CheckUnused holds.
  std::vector<Finalizer> FreeEverything();
  /// Makes the thread-affine finalizers of this mutator due: their objects leave its region.
  void TakeFinalizersOf(Mutator& mutator);
  /// External bytes of finalizers that are due and have not run: they stay this region's.
  int64_t DueExternalBytes() const;
  /// Gives up the own part for a new one, and tells the mutators, which keep their thread-affine
  /// finalizers. False, and nothing has changed, when part ids are used up.
  bool RenewOwnPart(std::unique_ptr<Part>* old);
  /// An error, which says that the region cannot be `done` ("adopted"), while a mutator of it
  /// runs or has a scope open.
  Status CheckUnused(const char* done) const;

  /// Puts a block of Old into the own part's list that its free lines call for.
  void FileOldBlock(BlockIndex block);
  /// Files the blocks that allocators hold, so that the parts' lists are complete.
  void RetireAllocators() {
    non_moving.Retire(*this);
    promotion.Retire(*this);
  }

  /// An empty young block for a mutator or a survivor, tagged; from the spares first.
  BlockIndex TakeYoungBlock(BlockPool::Allowance allowance);
  /// Adjacent blocks for one young large object, tagged; in no list yet.
  BlockIndex TakeLargeRun(size_t blocks, BlockPool::Allowance allowance, bool* zeroed = nullptr);
  /// The size of Old, Large and external bytes at which a major is due.
  size_t OldLimit() const { return old_limit_bytes != 0 ? old_limit_bytes : LeastExtraBytes(); }
  /// The least that a region may grow by between two majors: a share of the heap's limit divided by
  /// its regions, within bounds. A few regions need not collect often to stay small; many must.
  size_t LeastExtraBytes() const;
  /// How far over its limit collections, and allocations that must not collect, may go.
  static size_t ReserveOf(size_t limit) { return std::max(limit / 8, size_t{1} << 20); }
  bool NurseryHasRoom() const {
    return births_old ? born_old_bytes < kMostBornOld && OldBytes() < OldLimit()
                      : eden_blocks < nursery_blocks;
  }

  // ---- Objects born old

  /// Where objects are born from now on; while the region is stopped, without buffers, and has
  /// nothing young.
  void SetBirthsOld(bool old);
  /// What the mutators' barrier takes for young: stores into such objects need none. Where objects
  /// are born old none is young, and no store of the own part's needs any.
  uint32_t BarrierTag() const { return births_old ? own->old_tag() : own->young_tag(); }
  /// Adds to what was born old. allocation_mutex held, or stopped.
  void CountBornOld(size_t bytes);
  /// A block of whole objects, in no list, becomes one of Old; a large object one of Large.
  /// allocation_mutex held.
  void SettleBlock(BlockIndex block);
  void SettleLarge(BlockIndex head);

  /// The part whose tag that is, of an object's head block; null: it is not of this region.
  /// O(parts).
  Part* PartOf(uint32_t object_tag);
  void AddExternalBytes(int64_t delta);
  size_t BytesUsed() const {
    // Relaxed: exact only while the region is stopped or its allocation_mutex is held.
    return blocks.load(std::memory_order_relaxed) * kBlockSize + ExternalBytes();
  }
  /// What it, or the heap, uses beyond its limit, as collections may.
  size_t BlocksOverLimit() const;
  size_t ExternalBytes() const {
    const int64_t bytes = external_bytes.load(std::memory_order_relaxed);  // statistic
    return bytes > 0 ? static_cast<size_t>(bytes) : 0;
  }
  /// Bytes in use in Old and Large, and external ones: what the next major is paced by.
  size_t OldBytes() const;

  bool AnyNoCollectScope() const;
  /// Whether something is known of the region's objects that a copy of them would lose: pins,
  /// Persistents, finalizers and guarded objects, entries of weak tables, external bytes, and
  /// that they are unsendable.
  /// Mutators that add any are stopped, or the caller's own.
  bool HasAttachments();
  template <typename Fn>
  void ForEachPart(Fn fn) {
    if (own != nullptr) fn(*own);
    for (auto& part : adopted) fn(*part);
  }
  template <typename Fn>
  void ForEachFinalizerList(Fn fn) {
    ForEachPart([&fn](Part& part) {
      fn(part.young_finalizers);
      fn(part.finalizers);
    });
  }

  HeapState& heap;
  Region* region = nullptr;
  const RegionOptions options;
  // Relaxed: a limit takes effect some time after it is set.
  std::atomic<size_t> limit_bytes;

  SafepointMutex collection_mutex;
  platform::Mutex allocation_mutex;

  // Changed under collection_mutex and allocation_mutex both, so either will do for reading.
  std::vector<Mutator*> mutators;
  bool had_several_mutators = false;  // at the same time, since it was made or cleared
  std::unique_ptr<Part> own;
  std::list<std::unique_ptr<Part>> adopted;
  BlockList spare_young;  // empty, tagged young: the nursery's blocks between collections
  // Taken by a copier that is filling them: counted as the region's, but walked by nobody until the
  // copier puts them into the own part's lists.
  BlockList filling_young;
  BlockList filling_large;
  platform::Mutex non_moving_mutex;  // before allocation_mutex
  OldAllocator non_moving;           // for objects of types that never move
  OldAllocator promotion;            // of minor collections, kept from one to the next
  std::shared_ptr<PersistentTable> persistents;
  std::map<uintptr_t, uint32_t> pins;  // object -> count
  std::list<Word> guarded;             // dead objects of guardian finalizers, kept alive as roots

  // Instances of unsendable types that were alive when the region was last collected, or are newer.
  // Under allocation_mutex.
  size_t unsendable_count = 0;

  // Whether finalizers were added to what the region owns now, and thread-affine ones among them.
  // Relaxed: whoever looks for the finalizers of an object has been handed the object after they
  // were added.
  std::atomic<bool> had_finalizers{false};
  bool had_affine_finalizers = false;  // under allocation_mutex

  std::atomic<size_t> blocks{0};           // owned, spares included; relaxed: a counter
  std::atomic<int64_t> external_bytes{0};  // relaxed: a counter
  uint64_t collection_epoch = 0;           // counts collections, so that a waiter sees one was done

  // The nursery, in blocks.
  size_t nursery_blocks = 0;
  size_t eden_blocks = 0;     // young blocks taken since the last collection
  size_t survivor_bytes = 0;  // of young blocks filled by the last minor collection
  size_t young_large_bytes = 0;
  static constexpr double kFirstPredictedSurvival = 0.1;
  double predicted_survival = kFirstPredictedSurvival;
  double minor_nanos_per_byte = 0;  // of survivors
  int mass_survivals = 0;           // minors in a row of a large nursery that nearly all survived

  // Nearly all that is allocated survives: mutators allocate into the holes of Old, and nothing is
  // young. After this many bytes a nursery is tried again.
  static constexpr size_t kMostBornOld = size_t{64} << 20;
  bool births_old = false;
  size_t born_old_bytes = 0;  // since then; under allocation_mutex

  // Pacing of majors: see gc/pacing.h.
  // Live after the last major, promoted and adopted since. Relaxed: mutators of one region add to
  // it.
  std::atomic<size_t> old_used_bytes{0};
  size_t old_limit_bytes = 0;  // at which the next major is due
  uint64_t last_major_end_nanos = 0;
  uint64_t promoted_at_last_major = 0;
  double smoothed_allocation_rate = 0;  // bytes promoted per nanosecond
  double smoothed_mark_rate = 0;        // live bytes traced per nanosecond

  RegionStats stats;
  // Written under allocation_mutex, read without. Relaxed: a statistic.
  std::atomic<uint64_t> adoptions{0};
  uint64_t promoted_reported = 0;  // of stats.promoted_bytes, in the heap's sum
  std::atomic<uint64_t> slow_allocations{
      0};  // for StressOptions::collect_every; relaxed: a counter
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_REGION_STATE_H_
