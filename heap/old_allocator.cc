#include "heap/old_allocator.h"

#include <algorithm>
#include <limits>

#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {

namespace {

// Of the next hole, this much is fetched ahead.
constexpr size_t kPrefetched = 512;

// So many blocks with holes are looked at for one that takes a medium object, while fresh ones can
// be had.
constexpr size_t kMostLooks = 4;

uint8_t FlagsFor(OldAllocator::Source source) {
  return source == OldAllocator::Source::kNonMoving ? block_flags::kNonMoving : 0;
}

// Called with the region's allocation_mutex held.
BlockIndex FreshBlock(RegionState& region, uint8_t flags, BlockPool::Allowance allowance) {
  const BlockIndex block = region.TakeBlocks(1, allowance);
  if (block == kNoBlock) return kNoBlock;
  const AddressSpace& space = *region.heap.space;
  BlockInfo& info = space.info(block);
  info.space = Space::kOld;
  info.flags = flags;
  space.set_tag(block, region.own->old_tag());
  return block;
}

}  // namespace

bool OldAllocator::NextHole(const AddressSpace& space) {
  const int start = used_.NextFree(next_line_);
  if (start == kLinesPerBlock) return false;
  next_line_ = used_.NextUsed(start);
  const uintptr_t base = space.AddressOf(block_);
  cursor_ = base + static_cast<uintptr_t>(start) * kLineSize;
  limit_ = base + static_cast<uintptr_t>(next_line_) * kLineSize;
  return true;
}

bool OldAllocator::NextBlock(RegionState& region, Source source, BlockPool::Allowance allowance) {
  const AddressSpace& space = *region.heap.space;
  BlockIndex next = source == Source::kHolesAndFresh ? region.own->recyclable.Pop(space)
                    : source == Source::kNonMoving   ? region.own->recyclable_non_moving.Pop(space)
                                                     : kNoBlock;
  if (next == kNoBlock) next = FreshBlock(region, FlagsFor(source), allowance);
  if (next == kNoBlock) return false;
  if (block_ != kNoBlock) region.own->old.Push(space, block_);  // full
  block_ = next;
  used_ = LineMap::Of(space, block_);
  next_line_ = 0;
  return true;
}

// Nothing else gives back what is free in a block whose objects cannot be moved out.
bool OldAllocator::NextOverflowHole(RegionState& region, size_t size, size_t most_looks) {
  const AddressSpace& space = *region.heap.space;
  BlockList& blocks = region.own->recyclable_non_moving;
  const auto lines = static_cast<int>((size + kLineSize - 1) / kLineSize);
  const size_t looks = std::min(most_looks, blocks.block_count());
  for (size_t i = 0; i < looks; ++i) {
    const BlockIndex block = blocks.Pop(space);
    const LineMap used = LineMap::Of(space, block);
    const int start = used.FirstRun(lines);
    if (start == kLinesPerBlock) {
      blocks.PushBack(space, block);  // the next time begins with others
      continue;
    }
    if (overflow_block_ != kNoBlock) region.FileOldBlock(overflow_block_);
    overflow_block_ = block;
    const uintptr_t base = space.AddressOf(block);
    overflow_cursor_ = base + static_cast<uintptr_t>(start) * kLineSize;
    overflow_limit_ = base + static_cast<uintptr_t>(used.NextUsed(start)) * kLineSize;
    return true;
  }
  return false;
}

bool OldAllocator::NextOverflowBlock(RegionState& region, Source source, size_t size,
                                     BlockPool::Allowance allowance) {
  const bool in_holes = source == Source::kNonMoving;
  if (in_holes && NextOverflowHole(region, size, kMostLooks)) return true;
  const BlockIndex fresh = FreshBlock(region, FlagsFor(source), allowance);
  if (fresh == kNoBlock) {
    return in_holes && NextOverflowHole(region, size, std::numeric_limits<size_t>::max());
  }
  const AddressSpace& space = *region.heap.space;
  if (overflow_block_ != kNoBlock) region.own->old.Push(space, overflow_block_);
  overflow_block_ = fresh;
  overflow_cursor_ = space.AddressOf(fresh);
  overflow_limit_ = overflow_cursor_ + kBlockSize;
  return true;
}

OldAllocator::Hole OldAllocator::TakeHole(const AddressSpace& space, size_t size) {
  if (size > kLineSize || block_ == kNoBlock || (cursor_ == limit_ && !NextHole(space))) return {};
  const Hole hole{cursor_, std::min(limit_, cursor_ + kMostHole)};
  cursor_ = hole.end;
  // The next one is not in a cache; its first lines are on their way when this one is full.
  if (cursor_ == limit_ && NextHole(space)) {
    for (size_t ahead = 0; ahead < kPrefetched && cursor_ + ahead < limit_; ahead += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(cursor_ + ahead), /*for writing*/ 1);
    }
  }
  return hole;
}

OldAllocator::Hole OldAllocator::TakeHoleElsewhere(RegionState& region, size_t size,
                                                   BlockPool::Allowance allowance) {
  const AddressSpace& space = *region.heap.space;
  if (size <= kLineSize) {
    for (;;) {
      if (!NextBlock(region, Source::kHolesAndFresh, allowance)) return {};
      const Hole hole = TakeHole(space, size);
      if (hole.start != 0) return hole;
    }
  }
  if (overflow_limit_ - overflow_cursor_ < size &&
      !NextOverflowBlock(region, Source::kHolesAndFresh, size, allowance)) {
    return {};
  }
  const size_t lines = (size + kLineSize - 1) / kLineSize * kLineSize;
  const Hole hole{overflow_cursor_,
                  std::min(overflow_limit_, overflow_cursor_ + std::max(lines, kMostHole))};
  overflow_cursor_ = hole.end;
  return hole;
}

uintptr_t OldAllocator::AllocateSlow(RegionState& region, size_t size, Source source,
                                     BlockPool::Allowance allowance) {
  return size <= kLineSize ? AllocateSmallSlow(region, size, source, allowance)
                           : AllocateMediumSlow(region, size, source, allowance);
}

uintptr_t OldAllocator::AllocateSmallSlow(RegionState& region, size_t size, Source source,
                                          BlockPool::Allowance allowance) {
  const AddressSpace& space = *region.heap.space;
  // A recyclable block may have filled since it was filed: objects whose scan was put off for lack
  // of memory cover their lines late.
  while (block_ == kNoBlock || !NextHole(space)) {
    platform::MutexLock lock(region.allocation_mutex);
    if (!NextBlock(region, source, allowance)) return 0;
  }
  const uintptr_t at = cursor_;  // a hole is at least one line, and so large enough
  cursor_ += size;
  return at;
}

uintptr_t OldAllocator::AllocateMediumSlow(RegionState& region, size_t size, Source source,
                                           BlockPool::Allowance allowance) {
  if (overflow_limit_ - overflow_cursor_ < size) {
    platform::MutexLock lock(region.allocation_mutex);
    if (!NextOverflowBlock(region, source, size, allowance)) return 0;
  }
  const uintptr_t at = overflow_cursor_;
  overflow_cursor_ += size;
  return at;
}

void OldAllocator::Retire(RegionState& region) {
  if (block_ == kNoBlock && overflow_block_ == kNoBlock) return;
  platform::MutexLock lock(region.allocation_mutex);
  RetireLocked(region);
}

void OldAllocator::RetireLocked(RegionState& region) {
  if (block_ != kNoBlock) region.FileOldBlock(block_);
  if (overflow_block_ != kNoBlock) region.FileOldBlock(overflow_block_);
  *this = OldAllocator();
}

}  // namespace Atoll
