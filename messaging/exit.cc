#include <new>
#include <string>
#include <utility>

#include "atoll/handles.h"
#include "heap/heap_state.h"
#include "heap/mutator_record.h"
#include "heap/region_state.h"
#include "isolate/graph_checks.h"
#include "isolate/small_graph.h"
#include "messaging/messaging_state.h"

namespace Atoll {
namespace {

// What is copied instead: a region's worth of garbage is not dragged along by so little.
constexpr size_t kTinyBytes = 4096;

// Changes whenever the region's mutator allocates or collects, and by a Become.
struct AllocationMark {
  uintptr_t top = 0;
  size_t blocks = 0;
  uint64_t collections = 0;
  uint64_t becomes = 0;

  static AllocationMark Of(const Mutator& mutator) {
    const RegionState& region = mutator.region().state();
    return {mutator.record().top(), region.blocks.load(std::memory_order_relaxed),  // own
            region.collection_epoch, region.heap.becomes};
  }
  friend bool operator==(const AllocationMark&, const AllocationMark&) = default;
};

// Packs a message that is better copied than handed over with all that lies about it.
bool TryPackTiny(IsolateState& isolate, Ref root, Message* message) {
  if (!IsSmallGraph(isolate.mutator(), root, kTinyBytes)) return false;
  Image image;
  auto packing = isolate.group_state().CopierOfThread().Pack(
      isolate.mutator(), std::span<const Ref>(&root, 1), kTinyBytes, &message->small, &image);
  // An object that cannot be copied may well be handed over.
  if (!packing.ok() || packing.value() == GraphCopier::Packing::kTooLarge) return false;
  if (packing.value() == GraphCopier::Packing::kSmall) {
    message->kind = &kSmallMessage;
  } else {
    message->kind = &kImageMessage;
    new (&message->image) Image(std::move(image));
  }
  return true;
}

}  // namespace

struct ExitOffer final : HandOver {
  explicit ExitOffer(GroupState& of_group) : HandOver{Pass, Packed}, group(of_group) {}

  static ExitTicket Ticket(ExitOffer* offer) { return ExitTicket(offer); }
  // After the isolate's end.
  static void Pass(HandOver& hand_over, Residence* residence);
  static PackedGraph Packed(HandOver& hand_over);

  GroupState& group;
  Message* message = nullptr;
  AllocationMark mark;
};

void ExitOffer::Pass(HandOver& hand_over, Residence* residence) {
  auto& offer = static_cast<ExitOffer&>(hand_over);
  Message* message = offer.message;
  MessagingState& messaging = MessagingState::Of(WorkerThread::Current()->group);
  if (residence != nullptr) message->residence = residence;
  if (PostMessage(messaging, *messaging.ports.At(message->port_index), message,
                  {messaging.group, nullptr}) != SendStatus::kDelivered) {
    message->kind->discard(messaging.group, message);
  }
  delete &offer;
}

PackedGraph ExitOffer::Packed(HandOver& hand_over) {
  Message* message = static_cast<ExitOffer&>(hand_over).message;
  return message->kind->packed == nullptr ? PackedGraph{} : message->kind->packed(message);
}

ExitTicket::~ExitTicket() {
  if (offer_ == nullptr) return;
  if (offer_->isolate != nullptr) offer_->isolate->WithdrawOffer();
  MessagingState& messaging = MessagingState::Of(offer_->group);
  if (offer_->message->kind == &kRegionMessage) {
    messaging.Uncount(*offer_->message);
    messaging.FreeMessage(offer_->message);
  } else {
    offer_->message->kind->discard(messaging.group, offer_->message);
  }
  delete offer_;
}

// What refuses is out of the way: a hand-over that goes well runs from memory that is cold by now,
// line after line.
ATOLL_COLD static Status NotCommitted(const char* why,
                                      StatusCode code = StatusCode::kFailedPrecondition) {
  return {code, std::string("an ExitTicket was not committed: ") + why};
}

ATOLL_COLD static Status NotPrepared(StatusCode code, const std::string& words) {
  return {code, "sendAndExit was refused: " + words};
}
ATOLL_COLD static Status NotByAnotherThread() {
  return NotPrepared(StatusCode::kFailedPrecondition,
                     "this thread does not run the isolate; call it in one of the isolate's turns");
}
ATOLL_COLD static Status NotWhileExiting(const Isolate& isolate) {
  return NotPrepared(StatusCode::kFailedPrecondition,
                     std::string("isolate \"") + isolate.name() + "\" is exiting already");
}
ATOLL_COLD static Status NotWithSeveralMutators(const Isolate& isolate, size_t mutators) {
  return NotPrepared(StatusCode::kFailedPrecondition,
                     std::string("isolate \"") + isolate.name() + "\" has " +
                         std::to_string(mutators) +
                         " mutators attached, which would go on using what is handed over; detach "
                         "all but the isolate's own");
}

Status ExitTicket::Commit() {
  if (ATOLL_UNLIKELY(offer_ == nullptr)) {
    return NotCommitted("it was committed before, or moved from");
  }
  if (ATOLL_UNLIKELY(offer_->isolate == nullptr)) {
    return NotCommitted("the turn that prepared it has ended, or has prepared another since");
  }
  IsolateState& isolate = *offer_->isolate;
  if (ATOLL_UNLIKELY(Isolate::Current() != &isolate)) {
    return NotCommitted("this thread does not run its isolate");
  }
  if (ATOLL_UNLIKELY(offer_->mark != AllocationMark::Of(isolate.mutator()))) {
    return NotCommitted(
        "the isolate has allocated or collected since PrepareExit, so what was validated is not "
        "what would be sent; prepare again");
  }
  // What was validated may have been stored into since; where nothing is unsendable it is no
  // matter.
  if (ATOLL_UNLIKELY(isolate.mutator().region().state().unsendable_count != 0) &&
      offer_->message->kind == &kRegionMessage) {
    const Status sendable = CheckSendable(isolate.mutator(), isolate.residence->carried);
    if (sendable.code() == StatusCode::kResourceExhausted) {
      return NotCommitted(sendable.message().c_str(), sendable.code());
    }
    if (!sendable.ok()) return NotCommitted(sendable.message().c_str());
  }
  offer_ = nullptr;  // the isolate's now
  isolate.reason = ExitReason::kHandedOver;
  isolate.Set(IsolateState::kExiting);
  return Status::Ok();
}

Result<ExitTicket> PrepareExit(Isolate& isolate, const SendPort& port, Ref root, SendStatus* status,
                               const ExitOptions& options) {
  SendStatus ignored;
  if (status == nullptr) status = &ignored;
  *status = SendStatus::kRefused;
  if (ATOLL_UNLIKELY(Isolate::Current() != &isolate)) return NotByAnotherThread();
  auto& state = static_cast<IsolateState&>(isolate);
  if (ATOLL_UNLIKELY(state.Is(IsolateState::kExiting))) return NotWhileExiting(isolate);
  RegionState& region = isolate.mutator().region().state();
  if (ATOLL_UNLIKELY(region.mutators.size() != 1)) {
    return NotWithSeveralMutators(isolate, region.mutators.size());
  }
  MessagingState& messaging = MessagingState::Of(state.group_state());
  Status why;
  const Explanation explanation{state.group_state(), &why};
  PortEntry* entry = port.group == messaging.id ? messaging.Find(port) : nullptr;
  if (ATOLL_UNLIKELY(entry == nullptr)) {
    *status = explanation.Closed(messaging, port);
    return why;
  }
  Message* message = messaging.NewMessage();
  auto* offer = message == nullptr ? nullptr : new (std::nothrow) ExitOffer(state.group_state());
  if (ATOLL_UNLIKELY(offer == nullptr)) {
    *status = explanation.NoMemory();
    if (message != nullptr) messaging.FreeMessage(message);
    return why;
  }
  message->port_key = port.key;
  message->port_index = port.index;
  message->is_counted = 0;
  state.WithdrawOffer();
  state.offer = offer;
  offer->isolate = &state;
  offer->message = message;
  message->kind = &kRegionMessage;
  // From here on the ticket's end frees what there is.
  ExitTicket ticket = ExitOffer::Ticket(offer);

  StackScope scope(isolate.mutator());
  StackRef kept(isolate.mutator(), root);
  if (!options.always_adopt && TryPackTiny(state, root, message)) {
    message->bytes = kTinyBytes;
    offer->takes_residence = false;
  } else {
    if (ATOLL_UNLIKELY(region.unsendable_count != 0)) {
      if (Status sendable = CheckSendable(isolate.mutator(), kept.Get()); !sendable.ok()) {
        return sendable;
      }
    }
    // Relaxed: own.
    message->bytes = region.blocks.load(std::memory_order_relaxed) * kBlockSize;
    state.residence->carried = kept.Get();
  }
  *status = CountMessage(*entry, *message, explanation);
  if (ATOLL_UNLIKELY(*status != SendStatus::kDelivered)) return why;
  offer->mark = AllocationMark::Of(isolate.mutator());
  return ticket;
}

}  // namespace Atoll
