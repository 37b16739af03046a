#include "heap/shared_allocator.h"

namespace Atoll {

SharedAllocator::SharedAllocator(SharedSpace& shared) : shared_(shared) {
  platform::MutexLock lock(shared_.mutex_);
  shared_.allocators_.insert(this);
}

SharedAllocator::~SharedAllocator() {
  platform::MutexLock lock(shared_.mutex_);
  RetireLocked();
  shared_.allocators_.erase(this);
}

bool SharedAllocator::NextHole() {
  const int start = used_.NextFree(next_line_);
  if (start == kLinesPerBlock) return false;
  next_line_ = used_.NextUsed(start);
  const uintptr_t base = shared_.space_.AddressOf(block_);
  cursor_ = base + static_cast<uintptr_t>(start) * kLineSize;
  limit_ = base + static_cast<uintptr_t>(next_line_) * kLineSize;
  return true;
}

uintptr_t SharedAllocator::TakeFromHole(size_t size) {
  if (block_ == kNoBlock || !NextHole()) {
    platform::MutexLock lock(shared_.mutex_);
    const BlockIndex next = shared_.TakeBlockLocked(/*recyclable=*/true);
    if (next == kNoBlock) return 0;
    if (block_ != kNoBlock) shared_.full_.Push(shared_.space_, block_);
    block_ = next;
    used_ = LineMap::Of(shared_.space_, block_);
    next_line_ = 0;
    NextHole();  // succeeds: the block is fresh, or has kRecyclableLines at least
  }
  const uintptr_t at = cursor_;  // a hole is at least one line, and so large enough
  cursor_ += size;
  return at;
}

uintptr_t SharedAllocator::TakeFromOverflow(size_t size) {
  if (overflow_limit_ - overflow_cursor_ < size) {
    platform::MutexLock lock(shared_.mutex_);
    const BlockIndex fresh = shared_.TakeBlockLocked(/*recyclable=*/false);
    if (fresh == kNoBlock) return 0;
    if (overflow_block_ != kNoBlock) shared_.FileLocked(overflow_block_);
    overflow_block_ = fresh;
    overflow_cursor_ = shared_.space_.AddressOf(fresh);
    overflow_limit_ = overflow_cursor_ + kBlockSize;
  }
  const uintptr_t at = overflow_cursor_;
  overflow_cursor_ += size;
  return at;
}

void SharedAllocator::RetireLocked() {
  if (block_ != kNoBlock) shared_.FileLocked(block_);
  if (overflow_block_ != kNoBlock) shared_.FileLocked(overflow_block_);
  block_ = overflow_block_ = kNoBlock;
  cursor_ = limit_ = overflow_cursor_ = overflow_limit_ = 0;
  next_line_ = kLinesPerBlock;
}

}  // namespace Atoll
