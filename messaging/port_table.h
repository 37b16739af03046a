// The open ports of a group. A look-up takes no lock, and an entry may have become another port's
// by the time it is used: so a message says which port it is for, and the isolate that gets it
// looks again.
#ifndef ATOLL_MESSAGING_PORT_TABLE_H_
#define ATOLL_MESSAGING_PORT_TABLE_H_

#include <atomic>
#include <cstdint>

#include "atoll/messaging.h"
#include "isolate/isolate_state.h"
#include "isolate/stable_table.h"
#include "messaging/port_count.h"

namespace Atoll {

/// What must hear of the end of its port's isolate: that closes the port too, and calls no handler.
struct PortData {
  void (*isolate_ended)(PortData* data);
};

struct alignas(64) PortEntry {
  // 0: closed. Release when opened, acquire when looked up: the owner is known.
  std::atomic<uint64_t> key;
  // Relaxed: read after key, and an owner that is not the port's any more is found out by it.
  std::atomic<IsolateRecord*> owner;
  // What waits, if the port is bounded: added by senders, subtracted by whoever frees a message.
  PortCount waiting;
  // Relaxed: written before key, and a bound that is another port's only misjudges a dead letter.
  std::atomic<uint32_t> max_messages;
  std::atomic<size_t> max_bytes;
  // The owner's.
  MessageHandler handler;
  void* data;
  uint32_t next;  // ports of the isolate
  uint32_t previous : 31;
  uint32_t owns_data : 1;  // `data` is a PortData
};
static_assert(sizeof(PortEntry) == 64);

using PortTable = StableTable<PortEntry>;

}  // namespace Atoll

#endif  // ATOLL_MESSAGING_PORT_TABLE_H_
