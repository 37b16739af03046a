#include "messaging/messaging_state.h"

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
  if (first != nullptr) messaging.ReturnBatch(first, count);
  first = nullptr;
  count = 0;
  messaging.ports.Flush(ports);
}

MessagingState::MessagingState(GroupState& group_state)
    : group(group_state),
      id(next_group.fetch_add(1, std::memory_order_relaxed)),
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

MessageCache* MessagingState::CacheOfThread() {
  WorkerThread* thread = WorkerThread::CurrentOf(group);
  if (ATOLL_UNLIKELY(thread == nullptr)) return nullptr;
  if (ATOLL_UNLIKELY(thread->extension == nullptr)) {
    thread->extension = std::make_unique<MessageCache>(*this);
  }
  return static_cast<MessageCache*>(thread->extension.get());
}

Message* MessagingState::NewMessage() {
  MessageCache* cache = CacheOfThread();
  if (ATOLL_LIKELY(cache != nullptr && cache->first != nullptr)) {
    Message* message = cache->first;
    cache->first = static_cast<Message*>(message->next);
    --cache->count;
    return message;
  }
  return NewMessageSlow(cache);
}

Message* MessagingState::NewMessageSlow(MessageCache* cache) {
  if (cache != nullptr) {
    platform::MutexLock lock(mutex_);
    if (!batches_.empty()) {
      Message* first = batches_.back();
      batches_.pop_back();
      cache->first = static_cast<Message*>(first->next);
      cache->count = static_cast<uint32_t>(first->bytes) - 1;
      return first;
    }
  }
  void* memory = group.heap->state().allocator.Allocate(sizeof(Message));
  return memory == nullptr ? nullptr : new (memory) Message;
}

void MessagingState::FreeMessage(Message* message) {
  MessageCache* cache = CacheOfThread();
  if (ATOLL_UNLIKELY(cache == nullptr)) {
    group.heap->state().allocator.Free(message, sizeof(Message));
    return;
  }
  if (ATOLL_UNLIKELY(cache->count == MessageCache::kCapacity)) {
    ReturnBatch(cache->first, cache->count);
    cache->first = nullptr;
    cache->count = 0;
  }
  message->next = cache->first;
  cache->first = message;
  ++cache->count;
}

void MessagingState::ReturnBatch(Message* first, uint32_t count) {
  first->bytes = count;
  platform::MutexLock lock(mutex_);
  batches_.push_back(first);
}

void MessagingState::Trim() {
  std::vector<Message*> batches;
  {
    platform::MutexLock lock(mutex_);
    batches.swap(batches_);
  }
  for (Envelope* message : batches) {
    while (message != nullptr) {
      Envelope* next = message->next;
      group.heap->state().allocator.Free(message, sizeof(Message));
      message = next;
    }
  }
  ports.Trim();
}

}  // namespace Atoll
