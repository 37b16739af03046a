#ifndef ATOLL_GC_REGION_WALK_H_
#define ATOLL_GC_REGION_WALK_H_

#include <bit>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll {

/// Walks a block object by object (invariant I6): Old and Large by mark bits, New and Program from
/// the start. At a safepoint, allocation buffers retired. fn(object address).
template <typename Fn>
void ForEachObject(const HeapState& heap, BlockIndex block, Fn fn) {
  const AddressSpace& space = *heap.space;
  const BlockInfo& info = space.info(block);
  const uintptr_t start = space.AddressOf(block);
  switch (info.space) {
    case Space::kOld: {
      const uint64_t* marks = space.marks(block);
      for (size_t word = 0; word < kMarkWordsPerBlock; ++word) {
        for (uint64_t bits = marks[word]; bits != 0; bits &= bits - 1) {
          fn(start + (word * 64 + static_cast<size_t>(std::countr_zero(bits))) * kGranule);
        }
      }
      return;
    }
    case Space::kLarge:
    case Space::kShared:
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

/// All blocks of a region, heads of large objects; its allocators retired. fn(block, part).
template <typename Fn>
void ForEachBlock(RegionState& region, Fn fn) {
  const AddressSpace& space = *region.heap.space;
  region.ForEachPart([&](Part& part) {
    auto each = [&](BlockIndex block) { fn(block, part); };
    part.young.ForEach(space, each);
    part.old.ForEach(space, each);
    part.recyclable.ForEach(space, each);
    part.young_large.ForEach(space, each);
    part.large.ForEach(space, each);
  });
}

}  // namespace Atoll

#endif  // ATOLL_GC_REGION_WALK_H_
