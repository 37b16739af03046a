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

// An empty message for the port; null: no memory.
Message* NewMessageTo(MessagingState& messaging, const SendPort& port) {
  Message* message = messaging.NewMessage();
  if (ATOLL_UNLIKELY(message == nullptr)) return nullptr;
  message->port_key = port.key;
  message->port_index = port.index;
  message->is_counted = 0;
  return message;
}

// Packs what is more than one object, and sets the message's kind if that went well: kDelivered.
// What the copier has left to its commit is still to be done.
SendStatus PackGraph(IsolateState& sender, StackRef& root, Message& message, bool publishes,
                     const Explanation& explanation) {
  Mutator& mutator = sender.mutator();
  const auto is_killed = [&sender] { return sender.IsKilled(); };
  const CopyOptions options{.is_cancelled = is_killed, .publishes = publishes};
  GraphCopier& copier = sender.group_state().CopierOfThread();
  const auto refuse = [&](const Status& status) {
    if (explanation.why != nullptr) *explanation.why = status;
    return SendStatus::kRefused;
  };
  Image image;
  const Ref word = root.Get();
  auto packing = copier.Pack(mutator, std::span<const Ref>(&word, 1), kLargeObjectThreshold,
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
      copier.CopyInto(mutator, root.Get(), residence->mutator(), &residence->carried, options);
  if (!status.ok()) {
    sender.group_state().residences.Give(residence);
    return refuse(status);
  }
  message.kind = &kRegionMessage;
  message.bytes = residence->region().stats().block_bytes + copier.transfer_bytes();
  message.residence = residence;
  return SendStatus::kDelivered;
}

// Sends what is more than one object, or a large one. The message is the callee's.
ATOLL_COLD SendStatus SendGraph(IsolateState& sender, const SendPort& port, PortEntry& entry,
                                StackRef& root, Message* message, bool publishes,
                                const Explanation& explanation) {
  GroupState& group = sender.group_state();
  MessagingState& messaging = MessagingState::Of(group);
  Mutator& mutator = sender.mutator();
  const SendStatus packed = PackGraph(sender, root, *message, publishes, explanation);
  if (packed != SendStatus::kDelivered) {
    messaging.FreeMessage(message);
    return packed;
  }
  // From here to the end there is no safepoint.
  const SendStatus counted = CountMessage(entry, *message, explanation);
  if (counted != SendStatus::kDelivered) {
    message->kind->discard(group, message);
    return counted;
  }
  GraphCopier& copier = group.CopierOfThread();
  if (!copier.Commit(mutator)) {
    // Another mutator has got hold of what was to become shared: then it is copied.
    message->kind->discard(group, message);
    message = NewMessageTo(messaging, port);
    if (message == nullptr) return explanation.NoMemory();
    return SendGraph(sender, port, entry, root, message, /*publishes=*/false, explanation);
  }
  const SendStatus posted = PostMessage(messaging, entry, message, explanation);
  if (posted != SendStatus::kDelivered) {
    copier.TakeBackTransfers(mutator);
    message->kind->discard(group, message);
  }
  return posted;
}

}  // namespace

SendStatus PackMessage(IsolateState& sender, Ref root, Message& message, GraphCopier** to_commit,
                       const Explanation& explanation) {
  if (TryPackOne(sender.mutator(), root, &message.small)) {
    message.kind = &kSmallMessage;
    message.bytes = message.small.data_words * sizeof(Word);
    *to_commit = nullptr;
    return SendStatus::kDelivered;
  }
  StackScope scope(sender.mutator());
  StackRef kept(sender.mutator(), root);
  *to_commit = &sender.group_state().CopierOfThread();
  return PackGraph(sender, kept, message, /*publishes=*/false, explanation);
}

SendStatus Send(Isolate& sender, const SendPort& port, Ref root, Status* why) {
  auto& state = static_cast<IsolateState&>(sender);
  GroupState& group = state.group_state();
  MessagingState& messaging = MessagingState::Of(group);
  const Explanation explanation{group, why};
  PortEntry* entry = port.group == messaging.id ? messaging.Find(port) : nullptr;
  if (ATOLL_UNLIKELY(entry == nullptr)) return explanation.Closed(messaging, port);
  Message* message = NewMessageTo(messaging, port);
  if (ATOLL_UNLIKELY(message == nullptr)) return explanation.NoMemory();
  if (ATOLL_UNLIKELY(!TryPackOne(state.mutator(), root, &message->small))) {
    StackScope scope(state.mutator());
    StackRef kept(state.mutator(), root);
    return SendGraph(state, port, *entry, kept, message, /*publishes=*/true, explanation);
  }
  message->kind = &kSmallMessage;
  message->bytes = message->small.data_words * sizeof(Word);
  SendStatus status = CountMessage(*entry, *message, explanation);
  if (ATOLL_LIKELY(status == SendStatus::kDelivered)) {
    status = PostMessage(messaging, *entry, message, explanation);
  }
  if (ATOLL_UNLIKELY(status != SendStatus::kDelivered)) message->kind->discard(group, message);
  return status;
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
  Message* message = NewMessageTo(messaging, port);
  if (message == nullptr) return explanation.NoMemory();
  message->kind = &kSmallMessage;
  message->bytes = 0;
  message->small = SmallImage{};
  message->small.root = word.word;
  SendStatus status = CountMessage(*entry, *message, explanation);
  if (status == SendStatus::kDelivered) {
    status = PostMessage(messaging, *entry, message, explanation);
  }
  if (status != SendStatus::kDelivered) message->kind->discard(state, message);
  return status;
}

}  // namespace Atoll
