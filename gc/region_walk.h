#ifndef ATOLL_GC_REGION_WALK_H_
#define ATOLL_GC_REGION_WALK_H_

#include <bit>

#include "heap/heap_state.h"
#include "heap/mutator_record.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll {

/// Walks a block object by object (invariant I6): Old, Large and Shared by mark bits, New and
/// Program from the start. At a safepoint, allocation buffers retired. fn(object address).
template <typename Fn>
void ForEachObject(const HeapState& heap, BlockIndex block, Fn fn) {
  const AddressSpace& space = *heap.space;
  const BlockInfo& info = space.info(block);
  const uintptr_t start = space.AddressOf(block);
  switch (info.space) {
    case Space::kOld:
    case Space::kShared: {
      const uint64_t* marks = space.marks(block);
      for (size_t word = 0; word < kMarkWordsPerBlock; ++word) {
        for (uint64_t bits = marks[word]; bits != 0; bits &= bits - 1) {
          fn(start + (word * 64 + static_cast<size_t>(std::countr_zero(bits))) * kGranule);
        }
      }
      return;
    }
    case Space::kLarge:
      fn(start);
      return;
    case Space::kNew:
    case Space::kProgram: {
      const uintptr_t end = start + info.top;
      for (uintptr_t object = start; object < end;) {
        // Relaxed: the region is stopped.
        const Word header_word = HeaderOf(object).load(std::memory_order_relaxed);
        if (IsFiller(header_word)) {
          object += FillerSize(header_word);
          continue;
        }
        const size_t size = ObjectSize(heap.types.OfHeader(header_word), object);
        fn(object);
        object += size;
      }
      return;
    }
    default:
      return;
  }
}

/// Makes what the allocators of a stopped region hold visible to a walk: their blocks are listed,
/// and of allocation buffers, which stay in use, it is recorded how far they are filled.
inline void MakeWalkable(RegionState& region) {
  const AddressSpace& space = *region.heap.space;
  if (region.own != nullptr) region.RetireAllocators();
  for (Mutator* mutator : region.mutators) {
    MutatorRecord& record = mutator->record();
    if (region.births_old) record.RetireBuffer();  // its block is in no list
    if (record.buffer_block == kNoBlock) continue;
    space.info(record.buffer_block).top =
        static_cast<uint32_t>(record.top() - space.AddressOf(record.buffer_block));
  }
}

/// The same for all regions: before the Shared space's lock is taken, since the regions' locks come
/// first. All mutators are stopped. Returns the heap.
inline HeapState& MakeAllWalkable(HeapState& heap) {
  for (RegionState* region : heap.regions) MakeWalkable(*region);
  return heap;
}

/// All blocks of a region, heads of large objects; its allocators retired. fn(block, part).
template <typename Fn>
void ForEachBlock(RegionState& region, Fn fn) {
  const AddressSpace& space = *region.heap.space;
  region.ForEachPart([&](Part& part) {
    auto each = [&](BlockIndex block) { fn(block, part); };
    part.young.ForEach(space, each);
    for (BlockList* list : part.OldLists()) list->ForEach(space, each);
    part.young_large.ForEach(space, each);
    part.large.ForEach(space, each);
  });
}

}  // namespace Atoll

#endif  // ATOLL_GC_REGION_WALK_H_
