#include <new>
#include <string>
#include <utility>

#include "atoll/handles.h"
#include "heap/heap_state.h"
#include "messaging/messaging_state.h"

namespace Atoll {

const char* ToString(SendStatus status) {
  switch (status) {
    case SendStatus::kDelivered:
      return "delivered";
    case SendStatus::kClosed:
      return "closed";
    case SendStatus::kFull:
      return "full";
    case SendStatus::kOverQuota:
      return "over quota";
    case SendStatus::kRefused:
      return "refused";
  }
  return "?";
}

namespace {

struct Explanation {
  GroupState& group;
  Status* why;

  ATOLL_COLD SendStatus Say(SendStatus status, StatusCode code, const std::string& words) const {
    if (why != nullptr)
      *why = {code, "a message of group \"" + std::string(group.options.name) +
                        "\" was not sent: " + words};
    return status;
  }
  ATOLL_COLD SendStatus Closed(const MessagingState& messaging, const SendPort& port) const {
    if (port.key == 0) {
      return Say(SendStatus::kClosed, StatusCode::kInvalidArgument,
                 "the SendPort is empty; open a ReceivePort and take its send_port()");
    }
    if (port.group != messaging.id) {
      return Say(SendStatus::kRefused, StatusCode::kInvalidArgument,
                 "its port is of group " + std::to_string(port.group) +
                     ", and the sender of group " + std::to_string(messaging.id) +
                     "; ports reach isolates of their own group alone");
    }
    return Say(SendStatus::kClosed, StatusCode::kFailedPrecondition,
               "its port is closed, or the port's isolate has ended");
  }
  ATOLL_COLD SendStatus NoMemory() const {
    return Say(SendStatus::kRefused, StatusCode::kResourceExhausted,
               "no memory for it; drop objects, or raise the heap's limit");
  }
};

// Counts the message at its port, if that is bounded.
SendStatus Count(MessagingState& messaging, PortEntry& entry, Message& message,
                 const SendPort& port, const Explanation& explanation) {
  // Relaxed, all: see PortEntry.
  const uint32_t max_messages = entry.max_messages.load(std::memory_order_relaxed);
  const size_t max_bytes = entry.max_bytes.load(std::memory_order_relaxed);
  message.is_counted = 0;
  if (ATOLL_LIKELY(max_messages == 0 && max_bytes == 0)) return SendStatus::kDelivered;
  if (max_bytes != 0 && message.bytes > max_bytes) {
    return explanation.Say(SendStatus::kOverQuota, StatusCode::kResourceExhausted,
                           "it takes " + std::to_string(message.bytes) +
                               " bytes, and its port takes " + std::to_string(max_bytes) +
                               " in all; send less at a time, or open the port with more");
  }
  PortCount::Waiting waiting;
  switch (entry.waiting.Add(port.key, message.bytes, max_messages, max_bytes, &waiting)) {
    case PortCount::Added::kYes:
      message.is_counted = 1;
      return SendStatus::kDelivered;
    case PortCount::Added::kOtherPort:
      return explanation.Closed(messaging, port);
    case PortCount::Added::kFull:
      break;
  }
  return explanation.Say(SendStatus::kFull, StatusCode::kResourceExhausted,
                         "its port is full: " + std::to_string(waiting.messages) + " messages of " +
                             std::to_string(waiting.bytes) +
                             " bytes wait there; send it again when some were handled");
}

// Packs what is more than one object; see Pack.
ATOLL_COLD SendStatus PackGraph(IsolateState& sender, Ref root, Message& message,
                                const Explanation& explanation) {
  Mutator& mutator = sender.mutator();
  HandleScope scope(mutator);
  LocalRef kept(mutator, root);
  const auto is_killed = [&sender] { return sender.IsKilled(); };
  const CopyOptions options{.is_cancelled = is_killed};
  GraphCopier& copier = sender.group_state().CopierOfThread();
  const auto refuse = [&](const Status& status) {
    if (explanation.why != nullptr) *explanation.why = status;
    return SendStatus::kRefused;
  };
  Image image;
  auto packing = copier.Pack(mutator, std::span<const Ref>(&root, 1), kLargeObjectThreshold,
                             &message.small, &image, options);
  if (!packing.ok()) return refuse(packing.status());
  switch (packing.value()) {
    case GraphCopier::Packing::kSmall:
      message.kind = &kSmallMessage;
      message.bytes = message.small.data_words * sizeof(Word);
      return SendStatus::kDelivered;
    case GraphCopier::Packing::kImage:
      message.kind = &kImageMessage;
      message.bytes = image.bytes();
      new (&message.image) Image(std::move(image));
      return SendStatus::kDelivered;
    case GraphCopier::Packing::kTooLarge:
      break;
  }
  Residence* residence = sender.group_state().residences.Take();
  if (residence == nullptr) return explanation.NoMemory();
  residence->SetLimit(0);
  const Status status =
      copier.CopyInto(mutator, kept.Get(), residence->mutator(), &residence->carried, options);
  if (!status.ok()) {
    sender.group_state().residences.Give(residence);
    return refuse(status);
  }
  message.kind = &kRegionMessage;
  message.bytes = residence->region().stats().block_bytes;
  message.residence = residence;
  return SendStatus::kDelivered;
}

// Packs the message; kDelivered if that went well, and then the message's kind is set.
ATOLL_ALWAYS_INLINE SendStatus Pack(IsolateState& sender, Ref root, Message& message,
                                    const Explanation& explanation) {
  if (ATOLL_UNLIKELY(!TryPackOne(sender.mutator(), root, &message.small))) {
    return PackGraph(sender, root, message, explanation);
  }
  message.kind = &kSmallMessage;
  message.bytes = message.small.data_words * sizeof(Word);
  return SendStatus::kDelivered;
}

// Puts a packed message into its port's inbox; frees it if it is not taken.
SendStatus Post(MessagingState& messaging, PortEntry& entry, Message* message, const SendPort& port,
                const Explanation& explanation) {
  SendStatus status = Count(messaging, entry, *message, port, explanation);
  if (ATOLL_LIKELY(status == SendStatus::kDelivered)) {
    // Relaxed: see PortEntry.
    IsolateRecord* owner = entry.owner.load(std::memory_order_relaxed);
    switch (owner->inbox.Push(message)) {
      case Inbox::Pushed::kOwned:
        messaging.group.scheduler.Ready(owner);
        return status;
      case Inbox::Pushed::kQueued:
        messaging.group.scheduler.NoteSend();
        return status;
      case Inbox::Pushed::kClosed:
        status = explanation.Closed(messaging, port);
    }
  }
  message->kind->discard(messaging.group, message);
  return status;
}

}  // namespace

SendStatus Send(Isolate& sender, const SendPort& port, Ref root, Status* why) {
  auto& state = static_cast<IsolateState&>(sender);
  GroupState& group = state.group_state();
  MessagingState& messaging = MessagingState::Of(group);
  const Explanation explanation{group, why};
  PortEntry* entry = port.group == messaging.id ? messaging.Find(port) : nullptr;
  if (ATOLL_UNLIKELY(entry == nullptr)) return explanation.Closed(messaging, port);
  Message* message = messaging.NewMessage();
  if (ATOLL_UNLIKELY(message == nullptr)) return explanation.NoMemory();
  message->port_key = port.key;
  message->port_index = port.index;
  message->is_counted = 0;
  const SendStatus packed = Pack(state, root, *message, explanation);
  if (ATOLL_UNLIKELY(packed != SendStatus::kDelivered)) {
    messaging.FreeMessage(message);
    return packed;
  }
  return Post(messaging, *entry, message, port, explanation);
}

SendStatus SendImmediate(IsolateGroup& group, const SendPort& port, Ref word, Status* why) {
  GroupState& state = group.state();
  MessagingState& messaging = MessagingState::Of(state);
  const Explanation explanation{state, why};
  PortEntry* entry = port.group == messaging.id ? messaging.Find(port) : nullptr;
  if (entry == nullptr) return explanation.Closed(messaging, port);
  const AddressSpace& space = *state.heap->state().space;
  if (state.heap->encoding().RefersInto(word.word, space.base(), space.size())) {
    return explanation.Say(SendStatus::kRefused, StatusCode::kInvalidArgument,
                           "it is a reference, and no isolate's turn sends it; send that by Send");
  }
  Message* message = messaging.NewMessage();
  if (message == nullptr) return explanation.NoMemory();
  message->kind = &kSmallMessage;
  message->port_key = port.key;
  message->port_index = port.index;
  message->is_counted = 0;
  message->bytes = 0;
  message->small = SmallImage{};
  message->small.root = word.word;
  return Post(messaging, *entry, message, port, explanation);
}

}  // namespace Atoll
