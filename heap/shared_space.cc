#include "heap/shared_space.h"

#include <algorithm>
#include <cstring>

#include "heap/line_map.h"
#include "heap/object_model.h"
#include "heap/shared_allocator.h"

namespace Atoll {

SharedSpace::~SharedSpace() {
  ATOLL_CHECK(allocators_.empty(),
              "a heap is destroyed while %zu SharedAllocators of it exist; end them first",
              allocators_.size());
  for (BlockList* list : {&full_, &recyclable_, &large_}) {
    while (!list->empty()) FreeLocked(list->Pop(space_));
  }
}

void SharedSpace::TakeOverLarge(BlockIndex head) {
  BlockInfo& info = space_.info(head);
  info.space = Space::kShared;
  info.age = 0;
  space_.marks(head)[0] = 1;  // young, it had none
  space_.set_tag(head, tag::kShared);
  platform::MutexLock lock(mutex_);
  large_.Push(space_, head);
  block_count_.fetch_add(info.run_blocks, std::memory_order_relaxed);  // see block_count
}

void SharedSpace::TakeOverBlocks(BlockList& blocks) {
  platform::MutexLock lock(mutex_);
  while (!blocks.empty()) {
    const BlockIndex block = blocks.Pop(space_);
    BlockInfo& info = space_.info(block);
    info.space = Space::kShared;
    info.age = 0;
    space_.set_tag(block, tag::kShared);
    block_count_.fetch_add(1, std::memory_order_relaxed);  // see block_count
    FileLocked(block);
  }
}

uintptr_t SharedSpace::AllocateLarge(size_t size) {
  const size_t run = (size + kBlockSize - 1) / kBlockSize;
  bool zeroed = false;
  const BlockIndex head = pool_.Take(run, BlockPool::Allowance::kLimit, &zeroed);
  if (head == kNoBlock) return 0;
  const uintptr_t object = space_.AddressOf(head);
  if (!zeroed) std::memset(reinterpret_cast<void*>(object), 0, size);
  for (size_t i = 1; i < run; ++i) {
    const BlockIndex tail = head + static_cast<BlockIndex>(i);
    space_.info(tail).space = Space::kLargeTail;
    space_.info(tail).next = head;
  }
  TakeOverLarge(head);
  return object;
}

BlockIndex SharedSpace::TakeBlockLocked(bool recyclable) {
  BlockIndex block = recyclable ? recyclable_.Pop(space_) : kNoBlock;
  if (block != kNoBlock) return block;
  block = pool_.Take(1, BlockPool::Allowance::kLimit);
  if (block == kNoBlock) return kNoBlock;
  space_.info(block).space = Space::kShared;
  space_.set_tag(block, tag::kShared);
  block_count_.fetch_add(1, std::memory_order_relaxed);  // see block_count
  return block;
}

void SharedSpace::FileLocked(BlockIndex block) {
  BlockInfo& info = space_.info(block);
  info.free_lines = static_cast<uint16_t>(kLinesPerBlock - LineMap::Of(space_, block).CountUsed());
  (info.free_lines >= kRecyclableLines ? recyclable_ : full_).Push(space_, block);
}

void SharedSpace::FreeLocked(BlockIndex head) {
  const size_t run = space_.info(head).run_blocks;
  std::fill_n(space_.marks(head), kMarkWordsPerBlock, 0);
  std::fill_n(space_.covers(head), kCoverWordsPerBlock, 0);
  pool_.Give(head, run);
  block_count_.fetch_sub(run, std::memory_order_relaxed);  // see block_count
}

SharedSpace::Stopped::Stopped(SharedSpace& shared, const StoppedScope& stopped)
    : shared_(shared), lock_(shared.mutex_) {
  ATOLL_CHECK(stopped.whole_group(), "the Shared space is everybody's: stop all mutators, not %s",
              "a set of them");
  for (SharedAllocator* allocator : shared.allocators_) allocator->RetireLocked();
}

}  // namespace Atoll
