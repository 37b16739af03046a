#include "safepoint/safepoint_manager_impl.h"

#include <stdio.h>

#include <algorithm>
#include <utility>

namespace Atoll {

SafepointManager::Impl::Impl(SafepointManager* owner, SafepointOptions given)
    : manager(owner), options(std::move(given)) {}

// ---- This thread's stops

constinit thread_local SafepointManager::Frame* SafepointManager::Impl::frames = nullptr;

const SafepointManager::Frame* SafepointManager::Impl::Innermost(const SafepointManager* manager) {
  for (const Frame* frame = frames; frame != nullptr; frame = frame->previous) {
    if (frame->manager == manager) return frame;
  }
  return nullptr;
}

bool SafepointManager::Impl::OwnsGroup(const SafepointManager* manager) {
  for (const Frame* frame = frames; frame != nullptr; frame = frame->previous) {
    if (frame->manager == manager && frame->kind == Frame::kGroup) return true;
  }
  return false;
}

uint32_t SafepointManager::Impl::OwnHolds(const SafepointManager* manager,
                                          const MutatorThread& target) {
  uint32_t holds = 0;
  for (const Frame* frame = frames; frame != nullptr; frame = frame->previous) {
    if (frame->manager != manager) continue;
    if (frame->kind == Frame::kGroup && target.held_by_group_) ++holds;
    if (frame->kind != Frame::kSet) continue;
    holds +=
        static_cast<uint32_t>(std::count(frame->targets.begin(), frame->targets.end(), &target));
  }
  return holds;
}

// ---- Holds

void SafepointManager::Impl::Raise(MutatorThread& target, bool asked) {
  ++target.hold_count_;
  // Acquire-release: ordered against the target's state by the fences; the release side continues
  // the sequence that LeaveNative's load reads from.
  target.poll_word_.fetch_or(MutatorThread::kStop, std::memory_order_acq_rel);
  ATOLL_SCHEDULE_POINT("hold raised");
  if (!asked) return;
  // Relaxed: a statistic with one writer at a time.
  target.stops_asked_.store(target.stops_asked_.load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
}

void SafepointManager::Impl::Lower(MutatorThread& target) {
  ATOLL_CHECK(target.hold_count_ > 0, "a hold on %s is taken back twice", target.name().c_str());
  if (--target.hold_count_ > 0) return;
  // Release: a mutator that leaves native state and reads this sees all that was done in the stop.
  target.poll_word_.fetch_and(~MutatorThread::kStop, std::memory_order_release);
  ATOLL_SCHEDULE_POINT("hold lowered");
}

void SafepointManager::Impl::Detain(MutatorThread& target) {
  if (target.state() != MutatorState::kNative) return;
  // Relaxed: read back under the lock, or with a hold.
  target.poll_word_.fetch_or(MutatorThread::kDetained, std::memory_order_relaxed);
  ATOLL_SCHEDULE_POINT("detained");
}

void SafepointManager::Impl::Undetain(MutatorThread& mutator) {
  // Relaxed, both: the bit is taken back under the lock only.
  if ((mutator.poll_word_.load(std::memory_order_relaxed) & MutatorThread::kDetained) == 0) return;
  mutator.poll_word_.fetch_and(~MutatorThread::kDetained, std::memory_order_relaxed);
}

void SafepointManager::Impl::WakeReleased() {
  for (Waiter* waiter : waiters) {
    if (waiter->awaiting_release) waiter->condition.NotifyOne();
  }
}

void SafepointManager::Impl::NotifyReleased() {
  ATOLL_SCHEDULE_POINT("released");
  // Relaxed: see its declaration.
  if (parked.load(std::memory_order_relaxed) > 0) resume.NotifyAll();
}

void SafepointManager::Impl::WaitForRelease() {
  // Relaxed: written under the lock.
  parked.store(parked.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  resume.Wait(mutex);
  parked.store(parked.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

void SafepointManager::Impl::BecomeManaged(MutatorThread& mutator) {
  while (mutator.hold_count_ > 0) WaitForRelease();
  Undetain(mutator);
  // Release: ordered by the lock; see the protocol.
  mutator.state_.store(MutatorState::kManaged, std::memory_order_release);
}

// ---- Arrivals

bool SafepointManager::Impl::IsStopped(const MutatorThread& target, bool fenced) {
  // Acquire (both): what the mutator, or the one that ran a handshake for it, wrote before.
  if (target.claimed_.load(std::memory_order_acquire)) return false;
  const MutatorState state = target.state();
  // Relaxed: the bit cannot go while the mutator is held, nor under the lock.
  if (state == MutatorState::kNative) {
    return fenced ||
           (target.poll_word_.load(std::memory_order_relaxed) & MutatorThread::kDetained) != 0;
  }
  return state != MutatorState::kManaged;
}

void SafepointManager::Impl::WakeWaitersFor(const MutatorThread& mutator) {
  for (Waiter* waiter : waiters) {
    if (waiter->awaiting == &mutator) waiter->condition.NotifyOne();
  }
}

void SafepointManager::Impl::WakeWaitersForForeign() {
  for (Waiter* waiter : waiters) {
    if (waiter->awaiting_foreign) waiter->condition.NotifyOne();
  }
}

void SafepointManager::Impl::AwaitArrival(std::span<MutatorThread*> targets, bool group,
                                          const char* reason, uint64_t start) {
  std::span<MutatorThread*> pending = targets;  // a prefix of targets
  const MutatorThread* last = nullptr;
  bool fenced = false;
  bool any_native = false;
  bool any_managed = false;
  const auto look = [&](bool first) {
    any_native = any_managed = false;
    for (size_t i = 0; i < pending.size();) {
      ATOLL_SCHEDULE_POINT("await arrival: look");
      if (IsStopped(*pending[i], fenced)) {
        // A stop of the group runs one fence for all anyway.
        if (fenced && !group) Detain(*pending[i]);
        if (!first) last = pending[i];
        std::swap(pending[i], pending.back());
        pending = pending.first(pending.size() - 1);
        continue;
      }
      (pending[i]->state() == MutatorState::kNative ? any_native : any_managed) = true;
      ++i;
    }
  };
  const auto fence = [&] {
    platform::HeavyFence();
    fenced = true;
    look(false);
  };

  // Spin for those who answer at once, then yield to those who have no core.
  look(true);
  uint64_t now = platform::NowNanos();
  while (any_managed && now - start < options.spin_nanos) {
    for (int i = 0; i < 8 && any_managed; ++i) {
      platform::SpinPause();
      look(false);
    }
    now = platform::NowNanos();
  }
  if (any_native) {
    fence();
    now = platform::NowNanos();
  }
  const bool impatiently = any_managed;
  if (impatiently) impatient.fetch_add(1, std::memory_order_relaxed);
  while (any_managed && now - start < kYieldNanos) {
    platform::YieldThread();
    look(false);
    if (any_native && !fenced) fence();
    now = platform::NowNanos();
  }

  mutex.Lock();
  if (!pending.empty() || (group && foreign_running > 0)) {
    Waiter waiter;
    waiters.push_back(&waiter);
    uint64_t next_report = options.watchdog_nanos;
    for (;;) {
      look(false);
      if (pending.empty() && (!group || foreign_running == 0)) break;
      if (any_native && !fenced) {
        mutex.Unlock();
        fence();
        mutex.Lock();
        continue;
      }
      waiter.awaiting = pending.empty() ? nullptr : pending[0];
      waiter.awaiting_foreign = pending.empty();
      const uint64_t waited = platform::NowNanos() - start;
      if (pending.empty() || (fenced && next_report == 0)) {
        waiter.condition.Wait(mutex);
      } else if (next_report != 0 && waited >= next_report) {
        const MutatorThread& slow = *pending[0];
        next_report *= 2;
        mutex.Unlock();
        Report(slow.name(), waited, reason);
        mutex.Lock();
      } else if (fenced) {
        waiter.condition.WaitFor(mutex, next_report - waited);
      } else if (!waiter.condition.WaitFor(mutex, kFirstPark)) {
        mutex.Unlock();
        fence();
        mutex.Lock();
      }
    }
    std::erase(waiters, &waiter);
    now = platform::NowNanos();
  }
  if (impatiently) impatient.fetch_sub(1, std::memory_order_relaxed);
  if (fenced) ++stop_fences;
  RecordArrival(now - start, last);
}

void SafepointManager::Impl::RecordArrival(uint64_t nanos, const MutatorThread* last) {
  time_to_safepoint.Record(nanos);
  if (last == nullptr || nanos < slowest_nanos) return;
  slowest_nanos = nanos;
  slowest_mutator = last->name();
}

void SafepointManager::Impl::Report(const std::string& name, uint64_t nanos,
                                    const char* reason) const {
  if (options.watchdog) {
    options.watchdog(name, nanos);
    return;
  }
  fprintf(stderr, "atoll: the mutator %s has not reached a safepoint for %.3f s (%s)\n",
          name.c_str(), static_cast<double>(nanos) / 1e9, reason);
}

// ---- Answers

void SafepointManager::Impl::Answer(MutatorThread& mutator) {
  // Relaxed, here and in `held`: hints only, the lock follows.
  const bool stop =
      (mutator.poll_word_.load(std::memory_order_relaxed) & MutatorThread::kStop) != 0;
  if (stop) {
    // Release: who finds it stopped sees what it wrote. No lock is needed to arrive, only to leave.
    // (For a handshake alone it stays managed, so that its requester leaves the function to it.)
    mutator.state_.store(MutatorState::kAtSafepoint, std::memory_order_release);
    ATOLL_SCHEDULE_POINT("answer: at safepoint");
    // A short stop ends before parking would have paid off.
    const auto held = [&] {
      return (mutator.poll_word_.load(std::memory_order_relaxed) & MutatorThread::kStop) != 0 &&
             impatient.load(std::memory_order_relaxed) == 0;
    };
    if (held()) {
      const uint64_t start = platform::NowNanos();
      do {
        for (int i = 0; i < 8 && held(); ++i) platform::SpinPause();
      } while (held() && platform::NowNanos() - start < kReleaseSpinNanos);
    }
  }
  platform::MutexLock lock(mutex);
  ArriveIfHeld(mutator);
  BecomeManaged(mutator);
  RunHandshakes(mutator);
}

void SafepointManager::Impl::ArriveIfHeld(MutatorThread& mutator) {
  if (mutator.hold_count_ == 0) return;
  // Release: as in Answer.
  mutator.state_.store(MutatorState::kAtSafepoint, std::memory_order_release);
  WakeWaitersFor(mutator);
}

// ---- Requester

SafepointManager::Requester::Requester(Impl& impl)
    : impl_(impl),
      self_(MutatorThread::Current()),
      own_(self_ != nullptr && self_->manager() == impl.manager),
      nested_(Impl::Innermost(impl.manager) != nullptr),
      owns_group_(Impl::OwnsGroup(impl.manager)) {
  if (self_ != nullptr) {
    before_ = self_->state();
    if (before_ == MutatorState::kManaged) {
      self_->EnterBlocked();
    } else if (own_) {
      // Release: as in EnterBlocked. Nobody waits for the arrival of a mutator that is native.
      self_->state_.store(MutatorState::kBlocked, std::memory_order_release);
    }
  }
  if (!own_ && nested_) {
    platform::MutexLock lock(impl_.mutex);
    --impl_.foreign_running;
    impl_.WakeWaitersForForeign();
  }
}

SafepointManager::Requester::~Requester() {
  if (!own_ && self_ != nullptr && before_ == MutatorState::kManaged) self_->LeaveBlocked();
}

bool SafepointManager::Requester::MayRun() const {
  return own_ ? self_->hold_count_ == 0 : !impl_.group_owned || owns_group_;
}

void SafepointManager::Requester::Run() {
  running_ = true;
  if (own_) {
    Impl::Undetain(*self_);
    // Release: ordered by the lock; see the protocol.
    self_->state_.store(MutatorState::kManaged, std::memory_order_release);
  } else {
    ++impl_.foreign_running;
  }
}

void SafepointManager::Requester::WaitAndRun() {
  while (!MayRun()) impl_.WaitForRelease();
  Run();
}

void SafepointManager::Requester::Finish() {
  if (!own_) {
    if (nested_ && !running_) WaitAndRun();
    if (!nested_ && running_) {
      --impl_.foreign_running;
      impl_.WakeWaitersForForeign();
    }
    return;
  }
  if (before_ == MutatorState::kManaged) {
    if (!running_) WaitAndRun();
    return;
  }
  // Release: as in EnterNative; the lock stands in for its fence.
  self_->state_.store(before_, std::memory_order_release);
  impl_.WakeWaitersFor(*self_);
}

}  // namespace Atoll
