#include "messaging/message.h"

#include <utility>

#include "messaging/messaging_state.h"

namespace Atoll {
namespace {

// The port that the message is for, if it is still open and the isolate's; else null.
PortEntry* PortOf(IsolateState& isolate, MessagingState& messaging, const Message& message) {
  PortEntry* entry = messaging.ports.At(message.port_index);
  // Relaxed, both: the isolate's own, or another's, which is only compared.
  const bool is_own = entry->key.load(std::memory_order_relaxed) == message.port_key &&
                      entry->owner.load(std::memory_order_relaxed) == &isolate.record;
  return ATOLL_LIKELY(is_own) ? entry : nullptr;
}

void Free(MessagingState& messaging, Message* message) {
  messaging.Uncount(*message);
  messaging.FreeMessage(message);
}

// Makes the message's objects again. Error: no memory; it is lost, and its isolate ends.
bool UnpackInto(IsolateState& isolate, const PackedGraph& graph, Ref* root) {
  const Status status = Unpack(isolate.mutator(), graph, &root->word);
  if (ATOLL_LIKELY(status.ok())) return true;
  isolate.FailWith({status.code(), "a message was lost: " + status.message()});
  return false;
}

void DeliverSmall(IsolateState& isolate, Envelope* envelope) {
  auto* message = static_cast<Message*>(envelope);
  MessagingState& messaging = MessagingState::Of(isolate.group_state());
  PortEntry* entry = PortOf(isolate, messaging, *message);
  Ref root;
  const bool ok = entry != nullptr && UnpackInto(isolate, message->small.view(), &root);
  isolate.in_hand = nullptr;
  Free(messaging, message);
  if (ATOLL_LIKELY(ok)) entry->handler(isolate, root, entry->data);
}
void DiscardSmall(GroupState& group, Envelope* envelope) {
  Free(MessagingState::Of(group), static_cast<Message*>(envelope));
}
void VisitSmall(Envelope* envelope, RootVisitor& visitor) {
  static_cast<Message*>(envelope)->small.view().VisitSharedRefs(visitor);
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
  const bool ok = entry != nullptr && UnpackInto(isolate, message->image.view(), &root);
  isolate.in_hand = nullptr;
  DiscardImage(isolate.group_state(), message);
  if (ok) entry->handler(isolate, root, entry->data);
}
void VisitImage(Envelope* envelope, RootVisitor& visitor) {
  static_cast<Message*>(envelope)->image.view().VisitSharedRefs(visitor);
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
    isolate.FailWith({status.code(), "a message was lost: " + status.message()});
    return DiscardRegion(group, message);
  }
  const Ref root = std::exchange(residence->carried, Ref{});
  group.residences.GiveEmpty(residence);
  Free(MessagingState::Of(group), message);
  entry->handler(isolate, root, entry->data);
}

}  // namespace

const EnvelopeKind kSmallMessage{DeliverSmall, DiscardSmall, VisitSmall, false};
const EnvelopeKind kImageMessage{DeliverImage, DiscardImage, VisitImage, false};
const EnvelopeKind kRegionMessage{DeliverRegion, DiscardRegion, nullptr, false};

}  // namespace Atoll
