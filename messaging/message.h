// A message on its way.
#ifndef ATOLL_MESSAGING_MESSAGE_H_
#define ATOLL_MESSAGING_MESSAGE_H_

#include <cstdint>
#include <string>

#include "isolate/image.h"
#include "isolate/inbox.h"
#include "isolate/residence.h"
#include "messaging/port_table.h"

namespace Atoll {

/// Two cache lines, of which a small message's second is read only if it has over 24 bytes.
struct Message : Envelope {
  uint64_t port_key;
  uint32_t port_index;
  uint32_t is_counted;  ///< at the port's entry
  uint64_t bytes;
  // Which of these there is, is its kind.
  union {
    SmallImage small;
    Image image;
    Residence* residence;  ///< with a root to carry
  };

  // Not defaulted: one member of the union is not trivial, and its kind's functions end it.
  Message() {}   // NOLINT(modernize-use-equals-default)
  ~Message() {}  // NOLINT(modernize-use-equals-default)
};
static_assert(sizeof(Message) <= 128);

struct MessagingState;

/// Explains refused messages: to whoever sends one, and only if he asks.
struct Explanation {
  GroupState& group;
  Status* why;

  SendStatus Say(SendStatus status, StatusCode code, const std::string& words) const;
  /// No open port of the group was found.
  SendStatus Closed(const MessagingState& messaging, const SendPort& port) const;
  SendStatus NoMemory() const;
};

/// Packs a copy of what `root` reaches; kDelivered if that went well, and then the message's kind
/// is set.
SendStatus PackMessage(IsolateState& sender, Ref root, Message& message,
                       const Explanation& explanation);
/// Counts a message of `bytes` at its port, if that is bounded. Anything but kDelivered: not
/// counted.
ATOLL_COLD SendStatus CountAtBoundedPort(PortEntry& entry, Message& message,
                                         const Explanation& explanation);
inline SendStatus CountMessage(PortEntry& entry, Message& message, const Explanation& explanation) {
  message.is_counted = 0;
  // Relaxed, both: see PortEntry.
  if (ATOLL_LIKELY(entry.max_messages.load(std::memory_order_relaxed) == 0 &&
                   entry.max_bytes.load(std::memory_order_relaxed) == 0)) {
    return SendStatus::kDelivered;
  }
  return CountAtBoundedPort(entry, message, explanation);
}
/// Puts a message, which was counted, into its port's inbox. Anything but kDelivered: it is the
/// caller's still.
SendStatus PostMessage(MessagingState& messaging, PortEntry& entry, Message* message,
                       const Explanation& explanation);

extern const EnvelopeKind kSmallMessage;
extern const EnvelopeKind kImageMessage;
extern const EnvelopeKind kRegionMessage;

}  // namespace Atoll

#endif  // ATOLL_MESSAGING_MESSAGE_H_
