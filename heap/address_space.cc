#include "heap/address_space.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "atoll/config.h"

namespace Atoll {

namespace internal {
uintptr_t compression_base = 0;
}  // namespace internal

namespace {

constexpr size_t kDefaultReservation =
    (ATOLL_TSAN || ATOLL_ASAN) ? size_t{64} << 30 : size_t{1} << 40;
constexpr size_t kSmallestReservation = size_t{1} << 30;

platform::Mutex& InstanceMutex() {
  static platform::Mutex mutex;
  return mutex;
}
std::weak_ptr<AddressSpace>& Instance() {
  static std::weak_ptr<AddressSpace> instance;
  return instance;
}

}  // namespace

Result<std::shared_ptr<AddressSpace>> AddressSpace::Acquire(size_t bytes) {
  platform::MutexLock lock(InstanceMutex());
  if (auto existing = Instance().lock()) return existing;
  if (bytes == 0) bytes = kDefaultReservation;
  bytes = (bytes + kChunkSize - 1) & ~(kChunkSize - 1);
  const size_t asked = bytes;
  std::shared_ptr<AddressSpace> space(new AddressSpace());
  for (;;) {
    // So aligned, its first part does not straddle two ranges of compressed references.
    if (void* memory = platform::Reserve(bytes, std::min(std::bit_ceil(bytes), kCompressedRange))) {
      space->base_ = reinterpret_cast<uintptr_t>(memory);
      space->size_ = bytes;
      if (space->MapTables()) break;
      platform::Unmap(memory, bytes);
      space->base_ = 0;
    }
    if (bytes / 2 < kSmallestReservation) {
      return Status(StatusCode::kResourceExhausted,
                    "the system refuses to reserve even " + std::to_string(bytes) +
                        " bytes of address space for heaps; raise the address space limit "
                        "(ulimit -v) or vm.overcommit_memory");
    }
    bytes = (bytes / 2) & ~(kChunkSize - 1);
  }
  if (bytes != asked) {
    std::fprintf(stderr,
                 "atoll: reserved %zu MiB of address space, the system refused %zu MiB; heaps of "
                 "this process cannot grow beyond it\n",
                 bytes >> 20, asked >> 20);
  }
  internal::compression_base = space->base_ & ~(kCompressedRange - 1);
  Instance() = space;
  return space;
}

bool AddressSpace::MapTables() {
  const size_t blocks = size_ / kBlockSize;
  auto map = [](size_t bytes) { return platform::MapZeroed(bytes); };
  tags_ = static_cast<uint32_t*>(map(blocks * sizeof(uint32_t)));
  infos_ = static_cast<BlockInfo*>(map(blocks * sizeof(BlockInfo)));
  marks_ = static_cast<uint64_t*>(map(blocks * kMarkWordsPerBlock * sizeof(uint64_t)));
  covers_ = static_cast<uint64_t*>(map(blocks * kCoverWordsPerBlock * sizeof(uint64_t)));
  if (tags_ != nullptr && infos_ != nullptr && marks_ != nullptr && covers_ != nullptr) return true;
  auto unmap = [](auto*& table, size_t bytes) {
    if (table != nullptr) platform::Unmap(table, bytes);
    table = nullptr;
  };
  unmap(tags_, blocks * sizeof(uint32_t));
  unmap(infos_, blocks * sizeof(BlockInfo));
  unmap(marks_, blocks * kMarkWordsPerBlock * sizeof(uint64_t));
  unmap(covers_, blocks * kCoverWordsPerBlock * sizeof(uint64_t));
  return false;
}

AddressSpace::~AddressSpace() {
  if (base_ == 0) return;
  const size_t blocks = size_ / kBlockSize;
  platform::Unmap(reinterpret_cast<void*>(base_), size_);
  platform::Unmap(tags_, blocks * sizeof(uint32_t));
  platform::Unmap(infos_, blocks * sizeof(BlockInfo));
  platform::Unmap(marks_, blocks * kMarkWordsPerBlock * sizeof(uint64_t));
  platform::Unmap(covers_, blocks * kCoverWordsPerBlock * sizeof(uint64_t));
}

AddressSpace::Zone AddressSpace::ZoneFor(bool compressible) {
  constexpr size_t kCompressible = kCompressedRange / kChunkSize;
  const size_t chunks = size_ / kChunkSize;
  if (compressible) return {1, std::min(kCompressible, chunks), &next_compressible_};
  if (chunks < 2 * kCompressible) return {1, chunks, &next_compressible_};
  return {kCompressible, chunks, &next_other_};
}

BlockIndex AddressSpace::TakeChunks(size_t count, bool compressible) {
  platform::MutexLock lock(mutex_);
  const Zone zone = ZoneFor(compressible);
  size_t chunk = 0;
  auto found = returned_.begin();
  for (; found != returned_.end(); ++found) {
    chunk = std::max(found->first, zone.first);
    if (chunk + count <= std::min(found->first + found->second, zone.end)) break;
  }
  if (found == returned_.end()) {
    chunk = *zone.next;
    if (chunk + count > zone.end) return kNoBlock;
  }
  void* memory = reinterpret_cast<void*>(base_ + chunk * kChunkSize);
  if (!platform::Commit(memory, count * kChunkSize)) return kNoBlock;
  if (found != returned_.end()) {
    const size_t before = chunk - found->first;
    const size_t behind = found->second - before - count;
    if (before == 0) {
      returned_.erase(found);
    } else {
      found->second = before;
    }
    if (behind != 0) returned_[chunk + count] = behind;
  } else {
    *zone.next += count;
  }
  return static_cast<BlockIndex>(chunk * kBlocksPerChunk);
}

void AddressSpace::ReturnChunks(BlockIndex first, size_t count) {
  size_t chunk = first / kBlocksPerChunk;
  platform::Decommit(reinterpret_cast<void*>(base_ + chunk * kChunkSize), count * kChunkSize);
  platform::MutexLock lock(mutex_);
  auto next = returned_.lower_bound(chunk);
  if (next != returned_.end() && next->first == chunk + count) {
    count += next->second;
    next = returned_.erase(next);
  }
  if (next != returned_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == chunk) {
      chunk = before->first;
      count += before->second;
      returned_.erase(before);
    }
  }
  returned_[chunk] = count;
}

uint32_t AddressSpace::TakePartId() {
  if (platform::faults::ShouldFail(platform::faults::Request::kPartId)) return 0;
  platform::MutexLock lock(mutex_);
  if (!free_part_ids_.empty()) {
    const uint32_t id = free_part_ids_.back();
    free_part_ids_.pop_back();
    return id;
  }
  return next_part_id_ <= tag::kMaxPartId ? next_part_id_++ : 0;
}

void AddressSpace::ReturnPartId(uint32_t id) {
  platform::MutexLock lock(mutex_);
  free_part_ids_.push_back(id);
}

}  // namespace Atoll
