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

}  // namespace

SendStatus PackMessage(IsolateState& sender, Ref root, Message& message,
                       const Explanation& explanation) {
  return Pack(sender, root, message, explanation);
}

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
  const SendStatus counted = CountMessage(*entry, *message, explanation);
  if (ATOLL_UNLIKELY(counted != SendStatus::kDelivered)) {
    message->kind->discard(group, message);
    return counted;
  }
  return PostMessage(messaging, *entry, message, explanation);
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
  const SendStatus counted = CountMessage(*entry, *message, explanation);
  if (counted != SendStatus::kDelivered) {
    messaging.FreeMessage(message);
    return counted;
  }
  return PostMessage(messaging, *entry, message, explanation);
}

}  // namespace Atoll
