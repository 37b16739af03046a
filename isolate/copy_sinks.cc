#include "isolate/copy_sinks.h"

#include <algorithm>

#include "heap/heap_state.h"
#include "heap/share_copies.h"

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
  cursor_ = limit_ = block_end_ = 0;
}

uintptr_t RegionSink::AllocateSlow(size_t size) {
  const AddressSpace& space = *region_.heap.space;
  if (block_end_ - cursor_ >= size) {  // a large object came between
    limit_ = block_end_;
    destination_ = block_destination_;
    return Allocate(size);
  }
  if (!bases_.TryReserveOne()) return 0;
  CloseBlock();
  BlockIndex block = kNoBlock;
  {
    platform::MutexLock lock(region_.allocation_mutex);
    block = region_.TakeYoungBlock(BlockPool::Allowance::kLimit);
    if (block == kNoBlock) return 0;
    region_.filling_young.Push(space, block);
  }
  const uintptr_t at = space.AddressOf(block);
  destination_ = block_destination_ = NewBase(at);
  block_ = block;
  cursor_ = at + size;
  limit_ = block_end_ = at + kBlockSize;
  return at;
}

uintptr_t RegionSink::AllocateLarge(size_t size) {
  const AddressSpace& space = *region_.heap.space;
  if (!bases_.TryReserveOne()) return 0;
  BlockIndex block = kNoBlock;
  {
    platform::MutexLock lock(region_.allocation_mutex);
    const size_t run = (size + kBlockSize - 1) / kBlockSize;
    block = region_.TakeLargeRun(run, BlockPool::Allowance::kLimit);
    if (block == kNoBlock) return 0;
    region_.filling_large.Push(space, block);
  }
  const uintptr_t at = space.AddressOf(block);
  destination_ = NewBase(at);
  limit_ = cursor_;  // the next small object sets the destination again
  return at;
}

uint32_t RegionSink::NewBase(uintptr_t address) {
  const auto destination = static_cast<uint32_t>(bases_.size() << kGranuleBits);
  bases_.Push(address);
  return destination;
}

void RegionSink::Commit() {
  const AddressSpace& space = *region_.heap.space;
  CloseBlock();
  platform::MutexLock lock(region_.allocation_mutex);
  if (region_.births_old) {
    while (!region_.filling_young.empty()) {
      region_.SettleBlock(region_.filling_young.Pop(space));
    }
    while (!region_.filling_large.empty()) {
      region_.SettleLarge(region_.filling_large.Pop(space));
    }
    return;
  }
  region_.eden_blocks += region_.filling_young.block_count();
  region_.young_large_bytes += region_.filling_large.bytes();
  region_.own->young.Splice(space, region_.filling_young);
  region_.own->young_large.Splice(space, region_.filling_large);
}

bool RegionSink::Share(FunctionRef<bool()> poll) {
  CloseBlock();
  return ShareCopies(region_, poll);
}

void RegionSink::Abandon() {
  block_ = kNoBlock;
  cursor_ = limit_ = block_end_ = 0;
  platform::MutexLock lock(region_.allocation_mutex);
  region_.FreeList(region_.filling_young);
  region_.FreeList(region_.filling_large);
}

}  // namespace Atoll
