// What messaging keeps for a group, and for each thread that runs isolates.
#ifndef ATOLL_MESSAGING_MESSAGING_STATE_H_
#define ATOLL_MESSAGING_MESSAGING_STATE_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "isolate/group_state.h"
#include "messaging/message.h"
#include "messaging/port_table.h"

namespace Atoll {

/// Messages that are free, at hand for one thread.
struct MessageCache final : WorkerThread::Extension {
  static constexpr uint32_t kCapacity = 256;

  explicit MessageCache(struct MessagingState& state) : messaging(state) {}
  ~MessageCache() override { Flush(); }
  void Flush() override;

  struct MessagingState& messaging;
  Message* first = nullptr;
  uint32_t count = 0;
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
  Message* NewMessage();
  void FreeMessage(Message* message);
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
  MessageCache* CacheOfThread();

  GroupState& group;
  const uint32_t id;
  PortTable ports;

 private:
  ATOLL_COLD static MessagingState& Make(GroupState& group);
  friend struct MessageCache;
  ATOLL_COLD Message* NewMessageSlow(MessageCache* cache);
  void ReturnBatch(Message* first, uint32_t count);

  const uint64_t key_seed_;
  std::atomic<uint64_t> keys_{1};  // relaxed: unique is all that they need to be
  platform::Mutex mutex_;
  std::vector<Message*>
      batches_;  // lists of free messages, the first saying how many; under mutex_
};

}  // namespace Atoll

#endif  // ATOLL_MESSAGING_MESSAGING_STATE_H_
