#include "messaging/message.h"

#include <algorithm>
#include <utility>

#include "messaging/messaging_state.h"

namespace Atoll {
namespace {

// The port that the message is for, if it is still open and the isolate's; else null.
ATOLL_ALWAYS_INLINE PortEntry* PortOf(IsolateState& isolate, MessagingState& messaging,
                                      const Message& message) {
  PortEntry* entry = messaging.ports.At(message.port_index);
  // Relaxed, both: the isolate's own, or another's, which is only compared.
  const bool is_own = entry->key.load(std::memory_order_relaxed) == message.port_key &&
                      entry->owner.load(std::memory_order_relaxed) == &isolate.record;
  return ATOLL_LIKELY(is_own) ? entry : nullptr;
}

ATOLL_ALWAYS_INLINE void Free(MessagingState& messaging, Message* message) {
  messaging.Uncount(*message);
  messaging.FreeMessage(message);
}

// There was no memory to make its objects again: its isolate ends.
ATOLL_COLD void Lose(IsolateState& isolate, const Status& why) {
  isolate.FailWith({why.code(), "a message was lost: " + why.message()});
}

void DeliverSmall(IsolateState& isolate, Envelope* envelope) {
  auto* message = static_cast<Message*>(envelope);
  MessagingState& messaging = MessagingState::Of(isolate.group_state());
  PortEntry* entry = PortOf(isolate, messaging, *message);
  Ref root;
  const bool ok = entry != nullptr && UnpackSmall(isolate.mutator(), message->small, &root.word);
  if (ATOLL_UNLIKELY(entry != nullptr && !ok)) Lose(isolate, isolate.mutator().last_error());
  isolate.in_hand = nullptr;
  Free(messaging, message);
  if (ATOLL_LIKELY(ok)) entry->handler(isolate, root, entry->data);
}
void DiscardSmall(GroupState& group, Envelope* envelope) {
  Free(MessagingState::Of(group), static_cast<Message*>(envelope));
}
PackedGraph PackedSmall(Envelope* envelope) {
  return static_cast<Message*>(envelope)->small.view();
}

void DiscardImage(GroupState& group, Envelope* envelope) {
  auto* message = static_cast<Message*>(envelope);
  message->image.~Image();
  Free(MessagingState::Of(group), message);
}
void DeliverImage(IsolateState& isolate, Envelope* envelope) {
  auto* message = static_cast<Message*>(envelope);
  PortEntry* entry = PortOf(isolate, MessagingState::Of(isolate.group_state()), *message);
  Ref root;
  Status unpacked;
  if (entry != nullptr) {
    unpacked = Unpack(isolate.mutator(), message->image.view(), &root.word);
    if (!unpacked.ok()) Lose(isolate, unpacked);
  }
  isolate.in_hand = nullptr;
  DiscardImage(isolate.group_state(), message);
  if (entry != nullptr && unpacked.ok()) entry->handler(isolate, root, entry->data);
}
PackedGraph PackedImage(Envelope* envelope) {
  return static_cast<Message*>(envelope)->image.view();
}

void DiscardRegion(GroupState& group, Envelope* envelope) {
  auto* message = static_cast<Message*>(envelope);
  group.residences.Give(message->residence);
  Free(MessagingState::Of(group), message);
}
void DeliverRegion(IsolateState& isolate, Envelope* envelope) {
  auto* message = static_cast<Message*>(envelope);
  GroupState& group = isolate.group_state();
  PortEntry* entry = PortOf(isolate, MessagingState::Of(group), *message);
  isolate.in_hand = nullptr;
  if (entry == nullptr) return DiscardRegion(group, message);
  Residence* residence = message->residence;
  const Status status = isolate.mutator().region().Adopt(residence->region());
  if (!status.ok()) {
    Lose(isolate, status);
    return DiscardRegion(group, message);
  }
  const Ref root = std::exchange(residence->carried, Ref{});
  group.residences.GiveEmpty(residence);
  Free(MessagingState::Of(group), message);
  entry->handler(isolate, root, entry->data);
}

}  // namespace

SendStatus Explanation::Say(SendStatus status, StatusCode code, const std::string& words) const {
  if (why != nullptr) {
    *why = {code, "a message of group \"" + std::string(group.options.name) +
                      "\" was not sent: " + words};
  }
  return status;
}

SendStatus Explanation::Closed(const MessagingState& messaging, const SendPort& port) const {
  if (port.key == 0) {
    return Say(SendStatus::kClosed, StatusCode::kInvalidArgument,
               "the SendPort is empty; open a ReceivePort and take its send_port()");
  }
  if (port.group != messaging.id) {
    return Say(SendStatus::kRefused, StatusCode::kInvalidArgument,
               "its port is of group " + std::to_string(port.group) + ", and the sender of group " +
                   std::to_string(messaging.id) +
                   "; ports reach isolates of their own group alone");
  }
  return Say(SendStatus::kClosed, StatusCode::kFailedPrecondition,
             "its port is closed, or the port's isolate has ended");
}

SendStatus Explanation::NoMemory() const {
  return Say(SendStatus::kRefused, StatusCode::kResourceExhausted,
             "no memory for it; drop objects, or raise the heap's limit");
}

SendStatus CountAtBoundedPort(PortEntry& entry, Message& message, const Explanation& explanation) {
  // Relaxed, all: see PortEntry.
  const uint32_t max_messages = entry.max_messages.load(std::memory_order_relaxed);
  const size_t max_bytes = entry.max_bytes.load(std::memory_order_relaxed);
  // Immediates and references to shared objects take room, too.
  message.bytes = std::max<uint64_t>(message.bytes, sizeof(Word));
  if (max_bytes != 0 && message.bytes > max_bytes) {
    return explanation.Say(SendStatus::kOverQuota, StatusCode::kResourceExhausted,
                           "it takes " + std::to_string(message.bytes) +
                               " bytes, and its port takes " + std::to_string(max_bytes) +
                               " in all; send less at a time, or open the port with more");
  }
  PortCount::Waiting waiting;
  switch (entry.waiting.Add(message.port_key, message.bytes, max_messages, max_bytes, &waiting)) {
    case PortCount::Added::kYes:
      message.is_counted = 1;
      return SendStatus::kDelivered;
    case PortCount::Added::kOtherPort:
      return explanation.Closed(
          MessagingState::Of(explanation.group),
          {message.port_index, MessagingState::Of(explanation.group).id, message.port_key});
    case PortCount::Added::kFull:
      break;
  }
  return explanation.Say(SendStatus::kFull, StatusCode::kResourceExhausted,
                         "its port is full: " + std::to_string(waiting.messages) + " messages of " +
                             std::to_string(waiting.bytes) +
                             " bytes wait there; send it again when some were handled");
}

SendStatus PostMessage(MessagingState& messaging, PortEntry& entry, Message* message,
                       const Explanation& explanation) {
  // Relaxed: see PortEntry.
  IsolateRecord* owner = entry.owner.load(std::memory_order_relaxed);
  switch (owner->inbox.Push(message)) {
    case Inbox::Pushed::kOwned:
      messaging.group.scheduler.Ready(owner);
      return SendStatus::kDelivered;
    case Inbox::Pushed::kContended:
      messaging.group.scheduler.NoteContention(*owner);
      [[fallthrough]];
    case Inbox::Pushed::kQueued:
      messaging.group.scheduler.NoteSend();
      return SendStatus::kDelivered;
    case Inbox::Pushed::kClosed:
      break;
  }
  return explanation.Closed(messaging, {message->port_index, messaging.id, message->port_key});
}

const EnvelopeKind kSmallMessage{DeliverSmall, DiscardSmall, PackedSmall, false};
const EnvelopeKind kImageMessage{DeliverImage, DiscardImage, PackedImage, false};
const EnvelopeKind kRegionMessage{DeliverRegion, DiscardRegion, nullptr, false};

}  // namespace Atoll
