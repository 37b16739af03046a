#include "heap/block_pool.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "atoll/config.h"
#include "heap/poison.h"

namespace Atoll {
namespace {

// The mask of `blocks` (1 to 63) adjacent bits at bit 0.
uint64_t RunMask(size_t blocks) {
  return blocks == kBlocksPerChunk ? ~uint64_t{0} : (uint64_t{1} << blocks) - 1;
}

// The lowest bit at which `blocks` adjacent bits of the mask are set, or -1.
int FindRun(uint64_t mask, size_t blocks) {
  uint64_t starts = mask;
  size_t have = 1;
  while (have < blocks && starts != 0) {
    const size_t step = std::min(have, blocks - have);
    starts &= starts >> step;
    have += step;
  }
  return starts == 0 ? -1 : std::countr_zero(starts);
}

}  // namespace

void BlockPool::ChunkList::Push(Chunk* chunk) {
  chunk->previous = nullptr;
  chunk->next = head;
  if (head != nullptr) head->previous = chunk;
  head = chunk;
}

void BlockPool::ChunkList::Remove(Chunk* chunk) {
  (chunk->previous != nullptr ? chunk->previous->next : head) = chunk->next;
  if (chunk->next != nullptr) chunk->next->previous = chunk->previous;
}

BlockPool::BlockPool(AddressSpace& space, const Options& options)
    : space_(space), options_(options) {}

BlockPool::~BlockPool() {
  for (auto& [first, chunk] : chunks_) {
    UnpoisonMemory(space_.AddressOf(first), kChunkSize);
    space_.ReturnChunks(first, 1);
  }
}

size_t BlockPool::reserve_bytes() const {
  return std::max<size_t>(options_.limit_bytes / 8, size_t{1} << 20);
}

bool BlockPool::FitsLocked(size_t blocks, Allowance allowance) const {
  const size_t used = (mapped_blocks_ - free_blocks_ + blocks) * kBlockSize +
                      static_cast<size_t>(std::max<int64_t>(external_bytes_, 0));
  const size_t limit =
      options_.limit_bytes + (allowance == Allowance::kReserve ? reserve_bytes() : 0);
  return used <= limit;
}

uint64_t BlockPool::TouchHugePage(BlockIndex first, size_t count) const {
  void* memory = reinterpret_cast<void*>(space_.AddressOf(first));
  platform::AdviseHugePages(memory, count * kChunkSize);
  const uint64_t began = platform::NowNanos();
  *static_cast<volatile uint8_t*>(memory) = 0;
  return platform::NowNanos() - began;
}

uint64_t BlockPool::TouchSmallPages(BlockIndex chunk) const {
  // In parts, of which the quickest counts: one may be interrupted.
  constexpr size_t kParts = 4;
  constexpr size_t kPartBytes = kChunkSize / kParts;
  uint64_t least = UINT64_MAX;
  for (size_t part = 0; part < kParts; ++part) {
    const uint64_t began = platform::NowNanos();
    platform::TouchFresh(reinterpret_cast<void*>(space_.AddressOf(chunk) + part * kPartBytes),
                         kPartBytes);
    least = std::min(least, platform::NowNanos() - began);
  }
  return kParts * least;
}

BlockPool::Chunk* BlockPool::AddChunksLocked(size_t count) {
  const bool matters = options_.huge_pages && HugePagePolicy::Matters(mapped_blocks_ * kBlockSize);
  const bool huge = matters && huge_page_policy_.Wants();
  // Without the lock: what the system takes its time for is no matter of the heap's other regions.
  mutex_.Unlock();
  const BlockIndex first = space_.TakeChunks(count, options_.compressible);
  uint64_t touch_nanos = 0;
  if (first != kNoBlock && matters) {
    touch_nanos = huge ? TouchHugePage(first, count) : TouchSmallPages(first);
  }
  mutex_.Lock();
  if (first == kNoBlock) return nullptr;
  if (matters) {
    huge ? huge_page_policy_.NoteHugePage(touch_nanos)
         : huge_page_policy_.NoteSmallPages(touch_nanos);
  }
  Chunk* head = nullptr;
  const uint64_t now = platform::NowNanos();
  for (size_t i = count; i-- > 0;) {
    auto chunk = std::make_unique<Chunk>();
    chunk->first = first + static_cast<BlockIndex>(i * kBlocksPerChunk);
    chunk->free_mask = ~uint64_t{0};
    chunk->free_since = now;
    head = chunk.get();
    whole_.Push(head);
    chunks_.emplace(head->first, std::move(chunk));
    for (BlockIndex block = head->first; block < head->first + kBlocksPerChunk; ++block) {
      space_.info(block) = BlockInfo{};
      space_.info(block).space = Space::kFree;
      space_.set_tag(block, 0);
    }
  }
  mapped_blocks_ += count * kBlocksPerChunk;
  free_blocks_ += count * kBlocksPerChunk;
  return head;
}

bool BlockPool::MapInitial(size_t bytes) {
  platform::MutexLock lock(mutex_);
  const size_t blocks = (bytes + kChunkSize - 1) / kChunkSize * kBlocksPerChunk;
  while (mapped_blocks_ < blocks) {
    // One by one, so that they are huge pages or small ones as any others.
    const Chunk* chunk = AddChunksLocked(1);
    if (chunk == nullptr) return false;
    platform::TouchFresh(reinterpret_cast<void*>(space_.AddressOf(chunk->first)), kChunkSize);
  }
  kept_blocks_ = mapped_blocks_;
  return true;
}

// `count` adjacent chunks that are wholly free, or null. A few starts are tried.
BlockPool::Chunk* BlockPool::FindWholeChunksLocked(size_t count) const {
  int tries = 16;
  for (Chunk* start = whole_.head; start != nullptr && tries-- > 0; start = start->next) {
    size_t have = 1;
    while (have < count) {
      const auto next =
          chunks_.find(start->first + static_cast<BlockIndex>(have * kBlocksPerChunk));
      if (next == chunks_.end() || next->second->free_mask != ~uint64_t{0}) break;
      ++have;
    }
    if (have == count) return start;
  }
  return nullptr;
}

void BlockPool::FileLocked(Chunk* chunk, uint64_t old_mask) {
  auto list_of = [this](uint64_t mask) -> ChunkList* {
    if (mask == 0) return nullptr;
    return mask == ~uint64_t{0} ? &whole_ : &partial_;
  };
  ChunkList* from = list_of(old_mask);
  ChunkList* to = list_of(chunk->free_mask);
  if (from == to) return;
  if (from != nullptr) from->Remove(chunk);
  if (to != nullptr) to->Push(chunk);
  if (to == &whole_) chunk->free_since = platform::NowNanos();
}

uint32_t BlockPool::UserOfThread() {
  static std::atomic<uint32_t> next{0};
  static constinit thread_local uint32_t user = kNoUser;
  // Relaxed: only the number matters.
  if (user == kNoUser) user = next.fetch_add(1, std::memory_order_relaxed) % kUsers;
  return user;
}

void BlockPool::UseLocked(Chunk* chunk, uint32_t user) {
  if (used_by_[user] != nullptr) used_by_[user]->user = kNoUser;
  used_by_[user] = chunk;
  if (chunk == nullptr) return;
  if (chunk->user != kNoUser) used_by_[chunk->user] = nullptr;
  chunk->user = user;
}

void BlockPool::Leave() {
  platform::MutexLock lock(mutex_);
  UseLocked(nullptr, UserOfThread());
}

BlockIndex BlockPool::TakeRunLocked(size_t blocks, Allowance allowance) {
  const uint32_t user = UserOfThread();
  if (Chunk* own = used_by_[user]; own != nullptr) {
    const int at = FindRun(own->free_mask, blocks);
    if (at >= 0) return TakeFromLocked(own, at, blocks);
  }
  // A few partial chunks are looked through, so that the search is bounded.
  int tries = kUsers;
  for (Chunk* chunk = partial_.head; chunk != nullptr && tries-- > 0; chunk = chunk->next) {
    if (chunk->user != kNoUser) continue;
    const int at = FindRun(chunk->free_mask, blocks);
    if (at < 0) continue;
    UseLocked(chunk, user);
    return TakeFromLocked(chunk, at, blocks);
  }
  Chunk* chunk = whole_.head != nullptr ? whole_.head : AddChunksLocked(1);
  if (!FitsLocked(blocks, allowance)) return kNoBlock;
  if (chunk != nullptr) {
    UseLocked(chunk, user);
    return TakeFromLocked(chunk, 0, blocks);
  }
  for (chunk = partial_.head; chunk != nullptr; chunk = chunk->next) {  // any run will do
    const int at = FindRun(chunk->free_mask, blocks);
    if (at >= 0) return TakeFromLocked(chunk, at, blocks);
  }
  return kNoBlock;
}

BlockIndex BlockPool::TakeFromLocked(Chunk* chunk, int at, size_t blocks) {
  const uint64_t old_mask = chunk->free_mask;
  chunk->free_mask &= ~(RunMask(blocks) << at);
  FileLocked(chunk, old_mask);
  free_blocks_ -= blocks;
  return chunk->first + static_cast<BlockIndex>(at);
}

void BlockPool::Prepare(BlockIndex first, size_t blocks) const {
  for (size_t i = 0; i < blocks; ++i) {
    BlockInfo& info = space_.info(first + static_cast<BlockIndex>(i));
    info = BlockInfo{};
    info.run_blocks = 1;
  }
  space_.info(first).run_blocks = static_cast<uint32_t>(blocks);
  UnpoisonMemory(space_.AddressOf(first), blocks * kBlockSize);
}

BlockIndex BlockPool::Take(size_t blocks, Allowance allowance, bool* zeroed) {
  if (zeroed != nullptr) *zeroed = false;
  platform::MutexLock lock(mutex_);
  if (!FitsLocked(blocks, allowance)) return kNoBlock;
  BlockIndex first = kNoBlock;
  if (blocks < kBlocksPerChunk) {
    first = TakeRunLocked(blocks, allowance);
  } else {
    const size_t count = (blocks + kBlocksPerChunk - 1) / kBlocksPerChunk;
    Chunk* chunk = FindWholeChunksLocked(count);
    if (chunk == nullptr) {
      chunk = AddChunksLocked(count);
      if (!FitsLocked(blocks, allowance)) return kNoBlock;
      if (zeroed != nullptr) *zeroed = chunk != nullptr;
    }
    if (chunk != nullptr) {
      first = chunk->first;
      for (size_t left = blocks; left > 0;) {
        const size_t here = std::min<size_t>(left, kBlocksPerChunk);
        TakeFromLocked(chunk, 0, here);
        left -= here;
        if (left > 0) chunk = chunks_.at(chunk->first + kBlocksPerChunk).get();
      }
    }
  }
  if (first != kNoBlock) Prepare(first, blocks);
  return first;
}

void BlockPool::Give(BlockIndex first, size_t blocks) {
  for (BlockIndex block = first; block < first + blocks; ++block) {
    space_.set_tag(block, 0);
    space_.info(block) = BlockInfo{};
    space_.info(block).space = Space::kFree;
    if (options_.poison) FillPoison(space_.AddressOf(block), kBlockSize);
  }
  PoisonMemory(space_.AddressOf(first), blocks * kBlockSize);
  platform::MutexLock lock(mutex_);
  free_blocks_ += blocks;
  while (blocks > 0) {
    const BlockIndex chunk_first = first & ~BlockIndex{kBlocksPerChunk - 1};
    Chunk* chunk = chunks_.at(chunk_first).get();
    const size_t at = first - chunk_first;
    const size_t here = std::min<size_t>(blocks, kBlocksPerChunk - at);
    const uint64_t old_mask = chunk->free_mask;
    chunk->free_mask |= RunMask(here) << at;
    FileLocked(chunk, old_mask);
    first += static_cast<BlockIndex>(here);
    blocks -= here;
  }
}

bool BlockPool::AddExternalBytes(int64_t delta) {
  platform::MutexLock lock(mutex_);
  external_bytes_ += delta;
  return FitsLocked(0, Allowance::kLimit);
}

uint64_t BlockPool::Decay(size_t most) {
  std::vector<BlockIndex> due;
  const uint64_t after = [&] {
    platform::MutexLock lock(mutex_);
    if (whole_.head == nullptr) return kNever;
    const uint64_t now = platform::NowNanos();
    if (now < next_decay_) return next_decay_ - now;
    if (now < options_.decay_nanos) return options_.decay_nanos - now;
    const uint64_t oldest = TakeOutLocked(now - options_.decay_nanos, most, due);
    if (due.size() == most) return uint64_t{0};
    const uint64_t wait = options_.decay_nanos / 4;
    next_decay_ = wait > kNever - now ? kNever : now + wait;
    if (oldest == kNever) return kNever;
    return std::max(next_decay_, oldest + options_.decay_nanos) - now;
  }();
  ReturnToSystem(due);
  return after;
}

void BlockPool::ReturnFreeChunks() {
  std::vector<BlockIndex> due;
  {
    platform::MutexLock lock(mutex_);
    TakeOutLocked(UINT64_MAX, SIZE_MAX, due);
  }
  ReturnToSystem(due);
}

uint64_t BlockPool::TakeOutLocked(uint64_t free_since_before, size_t most,
                                  std::vector<BlockIndex>& due) {
  uint64_t oldest = kNever;
  for (Chunk* chunk = whole_.head; chunk != nullptr && due.size() < most;) {
    if (mapped_blocks_ <= kept_blocks_) return kNever;
    Chunk* next = chunk->next;
    if (chunk->free_since <= free_since_before) {
      whole_.Remove(chunk);
      mapped_blocks_ -= kBlocksPerChunk;
      free_blocks_ -= kBlocksPerChunk;
      for (BlockIndex block = chunk->first; block < chunk->first + kBlocksPerChunk; ++block) {
        space_.info(block).space = Space::kUnmapped;
      }
      if (chunk->user != kNoUser) UseLocked(nullptr, chunk->user);
      due.push_back(chunk->first);
      chunks_.erase(chunk->first);
    } else {
      oldest = std::min(oldest, chunk->free_since);
    }
    chunk = next;
  }
  return oldest;
}

void BlockPool::ReturnToSystem(const std::vector<BlockIndex>& chunks) const {
  for (const BlockIndex first : chunks) {
    UnpoisonMemory(space_.AddressOf(first), kChunkSize);
    space_.ReturnChunks(first, 1);
  }
}

size_t BlockPool::mapped_blocks() const {
  platform::MutexLock lock(mutex_);
  return mapped_blocks_;
}
size_t BlockPool::free_blocks() const {
  platform::MutexLock lock(mutex_);
  return free_blocks_;
}
size_t BlockPool::external_bytes() const {
  platform::MutexLock lock(mutex_);
  return static_cast<size_t>(std::max<int64_t>(external_bytes_, 0));
}
size_t BlockPool::used_bytes() const {
  platform::MutexLock lock(mutex_);
  return (mapped_blocks_ - free_blocks_) * kBlockSize +
         static_cast<size_t>(std::max<int64_t>(external_bytes_, 0));
}

size_t BlockPool::ForEachFree(FunctionRef<void(BlockIndex)> fn) const {
  platform::MutexLock lock(mutex_);
  for (const auto& [first, chunk] : chunks_) {
    for (uint64_t mask = chunk->free_mask; mask != 0; mask &= mask - 1) {
      fn(first + static_cast<BlockIndex>(std::countr_zero(mask)));
    }
  }
  return mapped_blocks_;
}

}  // namespace Atoll
