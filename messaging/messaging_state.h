// What messaging keeps for a group, and for each thread that runs isolates.
#ifndef ATOLL_MESSAGING_MESSAGING_STATE_H_
#define ATOLL_MESSAGING_MESSAGING_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "isolate/group_state.h"
#include "messaging/message.h"
#include "messaging/port_table.h"

namespace Atoll {

/// Messages that are free, at hand for one thread. A list of pointers: taking one reads none, which
/// another core may have used last.
struct MessageCache final : WorkerThread::Extension {
  static constexpr uint32_t kCapacity = 256;
  static constexpr uint32_t kBatch = kCapacity / 2;  ///< moved under one lock
  static constexpr uint32_t kAhead = 8;              ///< messages fetched ahead of their turn

  explicit MessageCache(struct MessagingState& state) : messaging(state) {}
  ~MessageCache() override { Flush(); }
  void Flush() override;
  /// One of those at hand, of which there is one.
  ATOLL_ALWAYS_INLINE Message* Take() {
    const uint32_t at = --count;
    // Whoever freed it may have been another core: written to later, it would be waited for.
    const auto* ahead = reinterpret_cast<const std::byte*>(free[at >= kAhead ? at - kAhead : 0]);
    __builtin_prefetch(ahead, /*for writing*/ 1);
    __builtin_prefetch(ahead + sizeof(Message) / 2, /*for writing*/ 1);
    Message* message = free[at];
    message->sent_before =
        std::exchange(last_sent[sent++ % kAhead], reinterpret_cast<uintptr_t>(message));
    return message;
  }

  struct MessagingState& messaging;
  uint32_t count = 0;
  uint32_t sent = 0;
  uintptr_t last_sent[kAhead] = {};  // addresses
  Message* free[kCapacity];
  PortTable::Cache ports;
};

struct MessagingState final : GroupState::Extension {
  explicit MessagingState(GroupState& group_state);
  ~MessagingState() override;

  /// The group's; made when first asked for.
  static MessagingState& Of(GroupState& group) {
    // Acquire: it is complete.
    auto* extension = group.extension.load(std::memory_order_acquire);
    return ATOLL_LIKELY(extension != nullptr) ? static_cast<MessagingState&>(*extension)
                                              : Make(group);
  }

  /// An empty message; null when there is no memory.
  ATOLL_ALWAYS_INLINE Message* NewMessage() {
    MessageCache* cache = CacheOfThread();
    if (ATOLL_UNLIKELY(cache == nullptr || cache->count == 0)) return NewMessageSlow(cache);
    return cache->Take();
  }
  ATOLL_ALWAYS_INLINE void FreeMessage(Message* message) {
    MessageCache* cache = CacheOfThread();
    if (ATOLL_UNLIKELY(cache == nullptr || cache->count == MessageCache::kCapacity)) {
      return FreeMessageSlow(cache, message);
    }
    cache->free[cache->count++] = message;
  }
  void Trim() override;

  /// The entry of a port of this group that is open; null if it is not.
  PortEntry* Find(const SendPort& port) const {
    PortEntry* entry = ports.At(port.index);
    return ATOLL_LIKELY(entry != nullptr &&
                        entry->key.load(std::memory_order_acquire) == port.key && port.key != 0)
               ? entry
               : nullptr;
  }
  /// Subtracts what a message was counted as.
  void Uncount(const Message& message) {
    if (ATOLL_LIKELY(!message.is_counted)) return;
    ports.At(message.port_index)->waiting.Subtract(message.port_key, message.bytes);
  }
  /// The port, which the calling isolate has just opened, tells its data, a PortData, when the
  /// isolate ends.
  void TellOfEnd(const SendPort& port) { ports.At(port.index)->owns_data = 1; }
  uint64_t NewKey();
  /// Null on threads that run no isolates of the group.
  ATOLL_ALWAYS_INLINE MessageCache* CacheOfThread() {
    WorkerThread* thread = WorkerThread::CurrentOf(group);
    if (ATOLL_UNLIKELY(thread == nullptr)) return nullptr;
    WorkerThread::Extension* cache = thread->extension.get();
    return ATOLL_LIKELY(cache != nullptr) ? static_cast<MessageCache*>(cache) : MakeCache(*thread);
  }

  GroupState& group;
  const uint32_t id;
  PortTable ports;

 private:
  ATOLL_COLD static MessagingState& Make(GroupState& group);
  friend struct MessageCache;
  ATOLL_COLD MessageCache* MakeCache(WorkerThread& thread);
  ATOLL_COLD Message* NewMessageSlow(MessageCache* cache);
  ATOLL_COLD void FreeMessageSlow(MessageCache* cache, Message* message);
  // Gives back the last `count` of a cache.
  ATOLL_COLD void ReturnBatch(MessageCache& cache, uint32_t count);

  const uint64_t key_seed_;
  std::atomic<uint64_t> keys_{1};  // relaxed: unique is all that they need to be
  platform::Mutex mutex_;
  std::vector<Message*> free_;  // under mutex_
};

}  // namespace Atoll

#endif  // ATOLL_MESSAGING_MESSAGING_STATE_H_
