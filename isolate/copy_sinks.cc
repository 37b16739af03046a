#include "isolate/copy_sinks.h"

#include <algorithm>

#include "heap/heap_state.h"

namespace Atoll {

RegionSink::Bases::~Bases() {
  if (addresses_ != nullptr) allocator_.Free(addresses_, capacity_ * sizeof(uintptr_t));
}

bool RegionSink::Bases::TryReserveOne() {
  if (size_ < capacity_) return true;
  if (size_ == kMaxBases) return false;
  const size_t capacity = capacity_ == 0 ? 64 : 2 * capacity_;
  auto* addresses = static_cast<uintptr_t*>(allocator_.Allocate(capacity * sizeof(uintptr_t)));
  if (addresses == nullptr) return false;
  std::copy_n(addresses_, size_, addresses);
  if (addresses_ != nullptr) allocator_.Free(addresses_, capacity_ * sizeof(uintptr_t));
  addresses_ = addresses;
  capacity_ = capacity;
  return true;
}

void RegionSink::CloseBlock() {
  if (block_ == kNoBlock) return;
  const AddressSpace& space = *region_.heap.space;
  space.info(block_).top = static_cast<uint32_t>(cursor_ - space.AddressOf(block_));
  block_ = kNoBlock;
  cursor_ = limit_ = 0;
}

bool RegionSink::AllocateSlow(size_t size, Copy* copy) {
  const AddressSpace& space = *region_.heap.space;
  if (!bases_.TryReserveOne()) return false;
  const auto destination = static_cast<uint32_t>(bases_.size() << kGranuleBits);
  if (size >= kLargeFrom) {
    const size_t run = (size + kBlockSize - 1) / kBlockSize;
    platform::MutexLock lock(region_.allocation_mutex);
    const BlockIndex head = region_.TakeLargeRun(run, BlockPool::Allowance::kLimit);
    if (head == kNoBlock) return false;
    region_.filling_large.Push(space, head);
    const uintptr_t at = space.AddressOf(head);
    bases_.Push(at);
    *copy = {at, at, destination};
    return true;
  }
  CloseBlock();
  platform::MutexLock lock(region_.allocation_mutex);
  block_ = region_.TakeYoungBlock(BlockPool::Allowance::kLimit);
  if (block_ == kNoBlock) return false;
  region_.filling_young.Push(space, block_);
  const uintptr_t at = space.AddressOf(block_);
  bases_.Push(at);
  destination_ = destination;
  *copy = {at, at, destination};
  cursor_ = at + size;
  limit_ = at + kBlockSize;
  return true;
}

void RegionSink::Commit() {
  const AddressSpace& space = *region_.heap.space;
  CloseBlock();
  platform::MutexLock lock(region_.allocation_mutex);
  region_.eden_blocks += region_.filling_young.block_count();
  region_.young_large_bytes += region_.filling_large.bytes();
  region_.own->young.Splice(space, region_.filling_young);
  region_.own->young_large.Splice(space, region_.filling_large);
}

void RegionSink::Abandon() {
  block_ = kNoBlock;
  cursor_ = limit_ = 0;
  platform::MutexLock lock(region_.allocation_mutex);
  region_.FreeList(region_.filling_young);
  region_.FreeList(region_.filling_large);
}

}  // namespace Atoll
