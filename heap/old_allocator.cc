#include "heap/old_allocator.h"

#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {

// Called with the region's allocation_mutex held.
BlockIndex OldAllocator::FreshBlock(RegionState& region, Source source) {
  const BlockIndex block = region.TakeBlocks(1, BlockPool::Allowance::kReserve);
  if (block == kNoBlock) return kNoBlock;
  const AddressSpace& space = *region.heap.space;
  BlockInfo& info = space.info(block);
  info.space = Space::kOld;
  info.flags = source == Source::kNonMoving ? block_flags::kNonMoving : 0;
  space.set_tag(block, region.own->old_tag());
  return block;
}

bool OldAllocator::NextHole(const AddressSpace& space) {
  const int start = used_.NextFree(next_line_);
  if (start == kLinesPerBlock) return false;
  next_line_ = used_.NextUsed(start);
  const uintptr_t base = space.AddressOf(block_);
  cursor_ = base + static_cast<uintptr_t>(start) * kLineSize;
  limit_ = base + static_cast<uintptr_t>(next_line_) * kLineSize;
  return true;
}

uintptr_t OldAllocator::AllocateSlow(RegionState& region, size_t size, Source source) {
  return size <= kLineSize ? AllocateSmallSlow(region, size, source)
                           : AllocateMediumSlow(region, size, source);
}

uintptr_t OldAllocator::AllocateSmallSlow(RegionState& region, size_t size, Source source) {
  const AddressSpace& space = *region.heap.space;
  // A recyclable block may have filled since it was filed: objects whose scan was put off for lack
  // of memory cover their lines late.
  while (block_ == kNoBlock || !NextHole(space)) {
    platform::MutexLock lock(region.allocation_mutex);
    BlockIndex next =
        source == Source::kHolesAndFresh ? region.own->recyclable.Pop(space) : kNoBlock;
    if (next == kNoBlock) next = FreshBlock(region, source);
    if (next == kNoBlock) return 0;
    if (block_ != kNoBlock) region.own->old.Push(space, block_);  // full
    block_ = next;
    used_ = LineMap::Of(space, block_);
    next_line_ = 0;
  }
  const uintptr_t at = cursor_;  // a hole is at least one line, and so large enough
  cursor_ += size;
  return at;
}

uintptr_t OldAllocator::AllocateMediumSlow(RegionState& region, size_t size, Source source) {
  if (overflow_limit_ - overflow_cursor_ < size) {
    platform::MutexLock lock(region.allocation_mutex);
    const BlockIndex fresh = FreshBlock(region, source);
    if (fresh == kNoBlock) return 0;
    const AddressSpace& space = *region.heap.space;
    if (overflow_block_ != kNoBlock) region.own->old.Push(space, overflow_block_);
    overflow_block_ = fresh;
    overflow_cursor_ = space.AddressOf(fresh);
    overflow_limit_ = overflow_cursor_ + kBlockSize;
  }
  const uintptr_t at = overflow_cursor_;
  overflow_cursor_ += size;
  return at;
}

void OldAllocator::Retire(RegionState& region) {
  if (block_ == kNoBlock && overflow_block_ == kNoBlock) return;
  {
    platform::MutexLock lock(region.allocation_mutex);
    if (block_ != kNoBlock) region.FileOldBlock(block_);
    if (overflow_block_ != kNoBlock) region.FileOldBlock(overflow_block_);
  }
  *this = OldAllocator();
}

}  // namespace Atoll
