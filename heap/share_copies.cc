#include "heap/share_copies.h"

#include <algorithm>

#include "heap/heap_state.h"
#include "heap/mark_objects.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

constexpr size_t kBlocksPerPoll = 32;

}  // namespace

bool ShareCopies(RegionState& region, FunctionRef<bool()> poll) {
  HeapState& heap = region.heap;
  const AddressSpace& space = *heap.space;
  size_t marked = 0;
  bool goes_on = true;
  region.filling_young.ForEach(space, [&](BlockIndex block) {
    if (!goes_on) return;
    const uintptr_t first = space.AddressOf(block);
    MarkObjects(heap, first, first + space.info(block).top);
    if (++marked % kBlocksPerPoll == 0) goes_on = poll();
  });
  if (!goes_on) {
    region.filling_young.ForEach(space, [&](BlockIndex block) {
      std::fill_n(space.marks(block), kMarkWordsPerBlock, 0);
      std::fill_n(space.covers(block), kCoverWordsPerBlock, 0);
    });
    return false;
  }
  BlockList small;
  BlockList large;
  {
    platform::MutexLock lock(region.allocation_mutex);
    // Relaxed: only this thread changes it now.
    region.blocks.fetch_sub(region.filling_young.block_count() + region.filling_large.block_count(),
                            std::memory_order_relaxed);
    small = region.filling_young.TakeAll();
    large = region.filling_large.TakeAll();
  }
  // Without the region's lock: collections take locks of regions while they hold that of Shared.
  heap.shared.TakeOverBlocks(small);
  while (!large.empty()) {
    const BlockIndex head = large.Pop(space);
    ClearFlag(space.AddressOf(head), header::kLarge);
    heap.shared.TakeOverLarge(head);
  }
  return true;
}

}  // namespace Atoll
