#include "messaging/messaging_state.h"

#include <algorithm>
#include <new>

#include "heap/heap_state.h"

namespace Atoll {
namespace {

// Numbers of groups; relaxed: unique is all that they need to be.
std::atomic<uint32_t> next_group{1};

// splitmix64 (Steele, Lea, Flood 2014): different words for different words.
uint64_t Mix(uint64_t word) {
  word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9u;
  word = (word ^ word >> 27) * 0x94D049BB133111EBu;
  return word ^ word >> 31;
}

}  // namespace

void MessageCache::Flush() {
  messaging.ReturnBatch(*this, count);
  messaging.ports.Flush(ports);
}

MessagingState::MessagingState(GroupState& group_state)
    : group(group_state),
      id(next_group.fetch_add(1, std::memory_order_relaxed)),
      ports(group.heap->state().options.huge_pages),
      key_seed_(Mix(platform::NowNanos() ^ reinterpret_cast<uintptr_t>(this))) {}

MessagingState::~MessagingState() { Trim(); }

MessagingState& MessagingState::Make(GroupState& group) {
  auto* made = new MessagingState(group);
  GroupState::Extension* present = nullptr;
  if (!group.extension.compare_exchange_strong(present, made)) {
    delete made;
    return static_cast<MessagingState&>(*present);
  }
  return *made;
}

uint64_t MessagingState::NewKey() {
  // The seed is added before mixing, so keys are as many as numbers; zero is skipped.
  for (;;) {
    const uint64_t key = Mix(key_seed_ + keys_.fetch_add(1, std::memory_order_relaxed));
    if (key != 0) return key;
  }
}

MessageCache* MessagingState::MakeCache(WorkerThread& thread) {
  thread.extension = std::make_unique<MessageCache>(*this);
  return static_cast<MessageCache*>(thread.extension.get());
}

Message* MessagingState::NewMessageSlow(MessageCache* cache) {
  if (cache != nullptr) {
    platform::MutexLock lock(mutex_);
    const size_t count = std::min<size_t>(free_.size(), MessageCache::kBatch);
    std::copy(free_.end() - static_cast<ptrdiff_t>(count), free_.end(), cache->free);
    free_.resize(free_.size() - count);
    cache->count = static_cast<uint32_t>(count);
  }
  if (cache != nullptr && cache->count != 0) return cache->Take();
  void* memory = group.heap->state().allocator.Allocate(sizeof(Message));
  return memory == nullptr ? nullptr : new (memory) Message;
}

void MessagingState::FreeMessageSlow(MessageCache* cache, Message* message) {
  if (cache == nullptr) {
    group.heap->state().allocator.Free(message, sizeof(Message));
    return;
  }
  ReturnBatch(*cache, MessageCache::kBatch);
  cache->free[cache->count++] = message;
}

void MessagingState::ReturnBatch(MessageCache& cache, uint32_t count) {
  platform::MutexLock lock(mutex_);
  cache.count -= count;
  free_.insert(free_.end(), cache.free + cache.count, cache.free + cache.count + count);
}

void MessagingState::Trim() {
  std::vector<Message*> free;
  {
    platform::MutexLock lock(mutex_);
    free.swap(free_);
  }
  for (Message* message : free) group.heap->state().allocator.Free(message, sizeof(Message));
  ports.Trim();
}

}  // namespace Atoll
