#include "isolate/control.h"

#include <utility>

#include "isolate/group_state.h"

namespace Atoll {
namespace {

struct ControlEnvelope : Envelope {
  IsolateId isolate;
  ExitListener done;
  const ExitInfo* how = nullptr;  // the isolate has ended, if it is known
};

void CallDone(ControlEnvelope* control) {
  if (control->done.fn != nullptr) {
    const ExitInfo gone{control->isolate, ExitReason::kGone, Status()};
    control->done.fn(control->done.data, control->how == nullptr ? gone : *control->how);
  }
  delete control;
}

// The isolate's record may have become another's since the envelope was sent.
bool IsFor(const IsolateState& isolate, const ControlEnvelope* control) {
  return isolate.id() == control->isolate;
}

void DeliverKill(IsolateState& isolate, Envelope* envelope) {
  isolate.in_hand = nullptr;
  auto* control = static_cast<ControlEnvelope*>(envelope);
  if (!IsFor(isolate, control)) return isolate.RunOutside([&] { CallDone(control); });
  isolate.EndBecause(ExitReason::kKilled);
  // Discarded with all that waits, once the isolate has ended: then it is done.
  if (isolate.pending == nullptr) isolate.pending_last = envelope;
  envelope->next = std::exchange(isolate.pending, envelope);
}
void DeliverListener(IsolateState& isolate, Envelope* envelope) {
  isolate.in_hand = nullptr;
  auto* control = static_cast<ControlEnvelope*>(envelope);
  if (!IsFor(isolate, control)) return isolate.RunOutside([&] { CallDone(control); });
  // Discarded when the isolate has ended, as above.
  envelope->next = std::exchange(isolate.listeners, envelope);
}
void Discard(GroupState&, Envelope* envelope) { CallDone(static_cast<ControlEnvelope*>(envelope)); }
constexpr EnvelopeKind kKill{DeliverKill, Discard, nullptr, true};
constexpr EnvelopeKind kListen{DeliverListener, Discard, nullptr, true};

void DiscardPause(GroupState&, Envelope* envelope) {
  delete static_cast<ControlEnvelope*>(envelope);
}
void DeliverPause(IsolateState& isolate, Envelope* envelope) {
  isolate.in_hand = nullptr;
  if (IsFor(isolate, static_cast<ControlEnvelope*>(envelope))) {
    isolate.Set(IsolateState::kPaused);
    isolate.Unset(IsolateState::kSifted);
  }
  DiscardPause(isolate.group_state(), envelope);
}
void DeliverResume(IsolateState& isolate, Envelope* envelope) {
  isolate.in_hand = nullptr;
  if (IsFor(isolate, static_cast<ControlEnvelope*>(envelope))) isolate.Unset(IsolateState::kPaused);
  DiscardPause(isolate.group_state(), envelope);
}
constexpr EnvelopeKind kPause{DeliverPause, DiscardPause, nullptr, true};
constexpr EnvelopeKind kResume{DeliverResume, DiscardPause, nullptr, true};

}  // namespace

void NoteHowItEnded(Envelope* envelope, const ExitInfo& how) {
  if (!envelope->kind->is_control) return;
  auto* control = static_cast<ControlEnvelope*>(envelope);
  if (control->isolate == how.isolate) control->how = &how;
}

bool LateRequests::Wait(const IsolateRecord& record, IsolateId isolate, Envelope* request) {
  platform::MutexLock lock(mutex_);
  // Sequentially consistent, both: see Answer. Counted by the lock's holder only, so no addition.
  count_.store(count_.load(std::memory_order_relaxed) + 1);
  if (record.generation.load() != isolate.generation) {
    count_.store(count_.load(std::memory_order_relaxed) - 1);
    return false;
  }
  request->next = std::exchange(first_, request);
  return true;
}

void LateRequests::AnswerSlow(const ExitInfo& how) {
  Envelope* mine = nullptr;
  {
    platform::MutexLock lock(mutex_);
    uint32_t left = count_.load(std::memory_order_relaxed);
    for (Envelope** link = &first_; *link != nullptr;) {
      Envelope* request = *link;
      if (static_cast<ControlEnvelope*>(request)->isolate != how.isolate) {
        link = &request->next;
        continue;
      }
      *link = request->next;
      request->next = std::exchange(mine, request);
      --left;
    }
    count_.store(left);
  }
  while (mine != nullptr) {
    Envelope* next = mine->next;
    NoteHowItEnded(mine, how);
    CallDone(static_cast<ControlEnvelope*>(mine));
    mine = next;
  }
}

void PostKill(GroupState& group, IsolateId isolate, ExitListener done) {
  auto* control = new ControlEnvelope{{&kKill, nullptr}, isolate, done};
  IsolateRecord* record = group.RecordOf(isolate);
  if (record == nullptr) return CallDone(control);
  // Posted before its polls are told: else it could end, and refuse the envelope that ended it.
  if (!group.Post(isolate, control)) {
    if (!group.late_requests.Wait(*record, isolate, control)) CallDone(control);
    return;
  }
  // For its polls. Never from a newer isolate of the record back to an older: generations do not
  // grow in one record, but who finds a newer one's here, finds it in the record as well. Acquire
  // and release: for that.
  uint64_t known = record->kill.load(std::memory_order_acquire);
  while (known != isolate.generation &&
         record->generation.load(std::memory_order_relaxed) == isolate.generation &&
         !record->kill.compare_exchange_weak(known, isolate.generation, std::memory_order_acq_rel,
                                             std::memory_order_acquire)) {
  }
}

void PostListener(GroupState& group, IsolateId isolate, ExitListener listener) {
  auto* control = new ControlEnvelope{{&kListen, nullptr}, isolate, listener};
  const IsolateRecord* record = group.RecordOf(isolate);
  if (record == nullptr) return CallDone(control);
  if (group.Post(isolate, control)) return;
  if (!group.late_requests.Wait(*record, isolate, control)) CallDone(control);
}

bool PostPause(GroupState& group, IsolateId isolate, bool pause) {
  auto* control = new ControlEnvelope{{pause ? &kPause : &kResume, nullptr}, isolate, {}};
  if (group.Post(isolate, control)) return true;
  delete control;
  return false;
}

}  // namespace Atoll
