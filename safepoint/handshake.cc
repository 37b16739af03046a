#include <deque>

#include "atoll/safepoint.h"
#include "safepoint/platform.h"
#include "safepoint/safepoint_manager_impl.h"

/// A handshake is a request in the target's queue, which two may take up, whoever comes first to it
/// under the lock: the target, at a poll or on its way back to managed state; or the requester,
/// when it finds the target stopped and held by nobody else (then it *claims* it: a hold of its
/// own, and a flag that keeps others from taking the target for stopped until the function has
/// returned).

namespace Atoll {

void SafepointManager::Impl::QueueHandshake(MutatorThread& target,
                                            MutatorThread::HandshakeRequest& request) {
  MutatorThread::HandshakeRequest** end = &target.handshakes_;
  while (*end != nullptr) end = &(*end)->next;
  *end = &request;
  // Acquire-release: as for kStop in Raise.
  target.poll_word_.fetch_or(MutatorThread::kHandshake, std::memory_order_acq_rel);
  ATOLL_SCHEDULE_POINT("handshake queued");
}

void SafepointManager::Impl::UnqueueHandshake(MutatorThread& target,
                                              MutatorThread::HandshakeRequest& request) {
  MutatorThread::HandshakeRequest** link = &target.handshakes_;
  while (*link != &request) link = &(*link)->next;
  *link = request.next;
  request.queued = false;
  ++handshakes;
  if (target.handshakes_ != nullptr) return;
  // Release: as for kStop in Lower.
  target.poll_word_.fetch_and(~MutatorThread::kHandshake, std::memory_order_release);
  ATOLL_SCHEDULE_POINT("handshake unqueued");
}

void SafepointManager::Impl::RunHandshakes(MutatorThread& mutator) {
  while (mutator.handshakes_ != nullptr) {
    MutatorThread::HandshakeRequest& request = *mutator.handshakes_;
    UnqueueHandshake(mutator, request);
    mutex.Unlock();
    request.fn(mutator);
    mutex.Lock();
    // Release: a spinning requester sees what fn wrote. It takes the lock before it lets go of the
    // request.
    request.done.store(true, std::memory_order_release);
    request.waiter->condition.NotifyOne();
    ArriveIfHeld(mutator);
    BecomeManaged(mutator);
  }
}

template <typename Unanswered>
void SafepointManager::Impl::SpinWhile(uint64_t start, const Unanswered& unanswered) const {
  uint64_t now = start;
  while (unanswered() && now - start < kYieldNanos) {
    if (now - start < options.spin_nanos) {
      for (int i = 0; i < 8 && unanswered(); ++i) platform::SpinPause();
    } else {
      platform::YieldThread();
    }
    now = platform::NowNanos();
  }
}

void SafepointManager::Handshake(MutatorThread& target, FunctionRef<void(MutatorThread&)> fn) {
  ATOLL_CHECK(target.manager() == this, "handshake with %s, which is not attached to this manager",
              target.name().c_str());
  if (&target == MutatorThread::Current()) {
    const bool managed = target.state() == MutatorState::kManaged;
    if (!managed) target.LeaveNative();
    fn(target);
    if (!managed) target.EnterNative();
    platform::MutexLock lock(impl_->mutex);
    ++impl_->handshakes;
    return;
  }

  Requester requester(*impl_);
  Waiter waiter;
  MutatorThread::HandshakeRequest request{fn, &waiter};
  impl_->mutex.Lock();
  impl_->QueueHandshake(target, request);
  impl_->mutex.Unlock();

  impl_->SpinWhile(platform::NowNanos(), [&] {
    // Acquire: what fn wrote, if the target has run it.
    return !request.done.load(std::memory_order_acquire) &&
           target.state() == MutatorState::kManaged;
  });
  AwaitHandshake(requester, target, request, /*fenced=*/false);
}

bool SafepointManager::TryHandshake(MutatorThread& target, FunctionRef<void(MutatorThread&)> fn) {
  ATOLL_CHECK(target.manager() == this, "handshake with %s, which is not attached to this manager",
              target.name().c_str());
  Impl& impl = *impl_;
  const auto is_away = [&target] {
    const MutatorState state = target.state();
    return state == MutatorState::kNative || state == MutatorState::kBlocked;
  };
  bool is_done = false;
  {
    platform::MutexLock lock(impl.mutex);
    if (target.hold_count_ != 0 || !is_away()) return false;
    impl.Raise(target, /*asked=*/false);
    impl.mutex.Unlock();
    platform::HeavyFence();
    impl.mutex.Lock();
    ++impl.handshake_fences;
    // Another hold: its owner may take the target for stopped, and has it for himself.
    if (target.hold_count_ == 1 && is_away()) {
      fn(target);
      ++impl.handshakes;
      is_done = true;
    }
    impl.Lower(target);
    impl.WakeReleased();
  }
  impl.NotifyReleased();
  return is_done;
}

void SafepointManager::HandshakeAll(FunctionRef<void(MutatorThread&)> fn) {
  struct Asked {
    Asked(FunctionRef<void(MutatorThread&)> run, MutatorThread& mutator)
        : target(mutator), request{run, &waiter} {}
    MutatorThread& target;
    Waiter waiter;
    MutatorThread::HandshakeRequest request;
    bool is_running = false;  // when it was asked: it answers at its next poll
  };
  MutatorThread* const self = MutatorThread::Current();
  const bool is_own = self != nullptr && self->manager() == this;
  std::deque<Asked> asked;
  bool fenced = false;  // for all of them, if any is native
  impl_->mutex.Lock();
  // All at once: a mutator with a request in its queue is not detached (see Detach).
  for (MutatorThread* mutator : impl_->mutators) {
    if (mutator == self) continue;
    Asked& one = asked.emplace_back(fn, *mutator);
    impl_->QueueHandshake(*mutator, one.request);
    const MutatorState state = mutator->state();
    one.is_running = state == MutatorState::kManaged;
    fenced |= state == MutatorState::kNative && !Impl::IsStopped(*mutator, /*fenced=*/false);
  }
  if (fenced) ++impl_->handshake_fences;
  impl_->mutex.Unlock();
  if (fenced) platform::HeavyFence();
  const uint64_t start = platform::NowNanos();
  for (Asked& one : asked) {
    Requester requester(*impl_);
    // Who answers while this thread spins need not wake it. (Not even the target's state may be
    // looked at: it may have answered, and be gone.)
    impl_->SpinWhile(start, [&one] {
      // Relaxed: what fn wrote is read after AwaitHandshake, which takes the lock.
      return one.is_running && !one.request.done.load(std::memory_order_relaxed);
    });
    AwaitHandshake(requester, one.target, one.request, fenced);
  }
  if (is_own) Handshake(*self, fn);
}

void SafepointManager::AwaitHandshake(Requester& requester, MutatorThread& target,
                                      MutatorThread::HandshakeRequest& request, bool fenced) {
  Impl& impl = *impl_;
  Waiter& waiter = *request.waiter;
  const uint64_t start = platform::NowNanos();
  // From here the target is looked at with the lock only, and while the request is not done: then
  // it is not detached.
  impl.mutex.Lock();
  impl.waiters.push_back(&waiter);
  uint64_t next_report = impl.options.watchdog_nanos;
  const auto unlocked = [&](auto step) {
    impl.mutex.Unlock();
    step();
    impl.mutex.Lock();
  };
  const auto fence = [&] {
    unlocked([] { platform::HeavyFence(); });
    ++impl.handshake_fences;
    fenced = true;
  };
  // Relaxed: set under the lock.
  while (!request.done.load(std::memory_order_relaxed)) {
    waiter.awaiting = &target;
    waiter.awaiting_release = false;
    if (request.queued) {
      if (!fenced && target.state() == MutatorState::kNative && !Impl::IsStopped(target, fenced)) {
        fence();
        continue;
      }
      if (Impl::IsStopped(target, fenced)) {
        if (requester.MayRun() && target.hold_count_ == Impl::OwnHolds(this, target)) {
          // In this order: were the poll word empty between the two, the target could come back
          // from native state without seeing that it is held.
          impl.Raise(target, /*asked=*/false);
          if (fenced) Impl::Detain(target);
          impl.UnqueueHandshake(target, request);
          // Release: see IsStopped, which reads it after having raised a hold under the lock.
          target.claimed_.store(true, std::memory_order_release);
          requester.Run();
          unlocked([&] { request.fn(target); });
          target.claimed_.store(false, std::memory_order_release);
          impl.Lower(target);
          impl.WakeWaitersFor(target);
          impl.WakeReleased();
          break;
        }
        // Somebody holds the target, or this thread.
        waiter.awaiting_release = true;
      }
    }
    const uint64_t waited = platform::NowNanos() - start;
    const bool watched = request.queued && !waiter.awaiting_release && next_report != 0;
    if (watched && waited >= next_report) {
      next_report *= 2;
      // A copy of the name: once unlocked, the target may end.
      unlocked([&, name = target.name()] { impl.Report(name, waited, "handshake"); });
    } else if (!fenced && !waiter.awaiting_release) {
      if (!waiter.condition.WaitFor(impl.mutex, Impl::kFirstPark)) {
        fence();
      }
    } else if (watched) {
      waiter.condition.WaitFor(impl.mutex, next_report - waited);
    } else {
      waiter.condition.Wait(impl.mutex);
    }
  }
  std::erase(impl.waiters, &waiter);
  requester.Finish();
  impl.mutex.Unlock();
  impl.NotifyReleased();
}

}  // namespace Atoll
