#include "isolate/control.h"

#include "isolate/group_state.h"

namespace Atoll {
namespace {

struct ControlEnvelope : Envelope {
  IsolateId isolate;
  ExitListener done;
};

void Call(ControlEnvelope* control, const ExitInfo& info) {
  if (control->done.fn != nullptr) control->done.fn(control->done.data, info);
  delete control;
}
// The isolate had ended before it could be told.
void CallGone(GroupState&, Envelope* envelope) {
  auto* control = static_cast<ControlEnvelope*>(envelope);
  Call(control, {control->isolate, ExitReason::kGone, Status()});
}

// The isolate's record may have become another's since the envelope was sent.
bool IsFor(const IsolateState& isolate, const ControlEnvelope* control) {
  return isolate.id() == control->isolate;
}

void DeliverListener(IsolateState& isolate, Envelope* envelope) {
  if (!IsFor(isolate, static_cast<ControlEnvelope*>(envelope))) {
    return CallGone(isolate.group_state(), envelope);
  }
  envelope->next = isolate.listeners;
  isolate.listeners = envelope;
}
void DeliverKill(IsolateState& isolate, Envelope* envelope) {
  if (IsFor(isolate, static_cast<ControlEnvelope*>(envelope)) &&
      !isolate.Is(IsolateState::kExiting)) {
    isolate.reason = ExitReason::kKilled;
    isolate.Set(IsolateState::kExiting);
  }
  DeliverListener(isolate, envelope);
}
constexpr EnvelopeKind kKill{DeliverKill, CallGone, nullptr, true};
constexpr EnvelopeKind kListen{DeliverListener, CallGone, nullptr, true};

void DiscardPause(GroupState&, Envelope* envelope) {
  delete static_cast<ControlEnvelope*>(envelope);
}
void DeliverPause(IsolateState& isolate, Envelope* envelope) {
  if (IsFor(isolate, static_cast<ControlEnvelope*>(envelope))) isolate.Set(IsolateState::kPaused);
  DiscardPause(isolate.group_state(), envelope);
}
void DeliverResume(IsolateState& isolate, Envelope* envelope) {
  if (IsFor(isolate, static_cast<ControlEnvelope*>(envelope))) isolate.Unset(IsolateState::kPaused);
  DiscardPause(isolate.group_state(), envelope);
}
constexpr EnvelopeKind kPause{DeliverPause, DiscardPause, nullptr, true};
constexpr EnvelopeKind kResume{DeliverResume, DiscardPause, nullptr, true};

}  // namespace

void PostKill(GroupState& group, IsolateId isolate, ExitListener done) {
  if (IsolateRecord* record = group.RecordOf(isolate)) {
    // For its polls. Never from a newer isolate of the record back to an older. Relaxed: see
    // IsolateRecord.
    uint64_t known = record->kill.load(std::memory_order_relaxed);
    while (
        known < isolate.generation &&
        !record->kill.compare_exchange_weak(known, isolate.generation, std::memory_order_relaxed)) {
    }
  }
  auto* control = new ControlEnvelope{{&kKill, nullptr}, isolate, done};
  if (!group.Post(isolate, control)) CallGone(group, control);
}

void PostListener(GroupState& group, IsolateId isolate, ExitListener listener) {
  auto* control = new ControlEnvelope{{&kListen, nullptr}, isolate, listener};
  if (!group.Post(isolate, control)) CallGone(group, control);
}

void CallListeners(Envelope* listeners, const ExitInfo& info) {
  while (listeners != nullptr) {
    Envelope* next = listeners->next;
    Call(static_cast<ControlEnvelope*>(listeners), info);
    listeners = next;
  }
}

bool PostPause(GroupState& group, IsolateId isolate, bool pause) {
  auto* control = new ControlEnvelope{{pause ? &kPause : &kResume, nullptr}, isolate, {}};
  if (group.Post(isolate, control)) return true;
  delete control;
  return false;
}

}  // namespace Atoll
