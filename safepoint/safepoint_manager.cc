#include <algorithm>
#include <utility>

#include "atoll/safepoint.h"
#include "safepoint/platform.h"
#include "safepoint/safepoint_manager_impl.h"

namespace Atoll {

const char* ToString(SafepointLevel level) {
  switch (level) {
    case SafepointLevel::kGC:
      return "kGC";
    case SafepointLevel::kDeopt:
      return "kDeopt";
    case SafepointLevel::kReload:
      return "kReload";
  }
  return "no known level";
}

SafepointManager::SafepointManager(SafepointOptions options)
    : impl_(new Impl(this, std::move(options))) {
  platform::InitializeFences();
}

SafepointManager::~SafepointManager() {
  ATOLL_CHECK(impl_->mutators.empty(),
              "a safepoint manager is destroyed with %zu mutators attached, %s among them: detach "
              "them first",
              impl_->mutators.size(), impl_->mutators[0]->name().c_str());
}

Status SafepointManager::Attach(MutatorThread* mutator) {
  if (mutator->manager() != nullptr) {
    return {StatusCode::kFailedPrecondition,
            "the mutator " + mutator->name() +
                " is attached to a safepoint manager already: detach it there first"};
  }
  Impl& impl = *impl_;
  platform::MutexLock lock(impl.mutex);
  mutator->manager_.store(this, std::memory_order_relaxed);
  mutator->index_ = impl.mutators.size();
  impl.mutators.push_back(mutator);
  if (impl.group_owned) {
    mutator->held_by_group_ = true;
    impl.Raise(*mutator, /*asked=*/false);
  }
  return Status::Ok();
}

bool SafepointManager::InsideStop() const { return Impl::Innermost(this) != nullptr; }

bool SafepointManager::Holds(const MutatorThread& target) const {
  const platform::MutexLock lock(impl_->mutex);
  return Impl::OwnHolds(this, target) > 0;
}

Status SafepointManager::Detach(MutatorThread* mutator) {
  if (mutator->manager() != this) {
    return {StatusCode::kInvalidArgument,
            "the mutator " + mutator->name() + " is not attached to this safepoint manager"};
  }
  const bool own_thread = MutatorThread::Current() == mutator;
  const MutatorState state = mutator->state();
  if (state != MutatorState::kNative && !own_thread) {
    return {StatusCode::kFailedPrecondition,
            "the mutator " + mutator->name() +
                " runs on another thread: let it enter native state, or detach it there"};
  }
  Impl& impl = *impl_;
  if (InsideStop()) {
    return {StatusCode::kFailedPrecondition,
            "the mutator " + mutator->name() +
                " cannot be detached inside a stop of this thread's: detach it after that"};
  }

  Requester requester(impl);
  impl.mutex.Lock();
  // The mutator is native or blocked: who wants to shake hands with it does so by itself.
  while (mutator->hold_count_ > 0 || mutator->handshakes_ != nullptr) impl.WaitForRelease();
  Impl::Undetain(*mutator);
  impl.mutators.back()->index_ = mutator->index_;
  impl.mutators[mutator->index_] = impl.mutators.back();
  impl.mutators.pop_back();
  if (own_thread) requester.EndNative();
  requester.Finish();
  mutator->manager_.store(nullptr, std::memory_order_relaxed);
  impl.mutex.Unlock();
  if (own_thread) MutatorThread::ClearCurrent();
  return Status::Ok();
}

void SafepointManager::StopMutators(std::span<MutatorThread* const> set, const char* reason,
                                    FunctionRef<void(const StoppedScope&)> fn) {
  MutatorThread* const self = MutatorThread::Current();
  std::vector<MutatorThread*> targets;
  targets.reserve(set.size());
  for (MutatorThread* mutator : set) {
    ATOLL_CHECK(mutator->manager() == this,
                "%s is to be stopped by a manager it is not attached to", mutator->name().c_str());
    if (mutator != self) targets.push_back(mutator);
  }

  Frame frame{this, Frame::kSet, SafepointLevel::kGC, targets, Impl::frames};
  const StoppedScope scope(*this, SafepointLevel::kGC, /*whole_group=*/false);
  const auto run = [&] {
    Impl::frames = &frame;
    fn(scope);
    Impl::frames = frame.previous;
  };
  if (targets.empty() && self != nullptr && self->manager() == this &&
      self->state() == MutatorState::kManaged) {
    run();  // nobody to stop, and others wait for this mutator as it is
    return;
  }

  Impl& impl = *impl_;
  Requester requester(impl);
  impl.mutex.Lock();
  const auto taken = [](const MutatorThread* target) { return target->hold_count_ > 0; };
  while (!requester.MayRun() ||
         (!requester.nested() && std::any_of(targets.begin(), targets.end(), taken))) {
    impl.WaitForRelease();
  }
  ++impl.set_stops;
  const uint64_t start = platform::NowNanos();
  for (MutatorThread* target : targets) impl.Raise(*target, /*asked=*/true);
  impl.mutex.Unlock();

  impl.AwaitArrival(targets, /*group=*/false, reason, start);
  requester.WaitAndRun();
  impl.mutex.Unlock();
  run();

  impl.mutex.Lock();
  for (MutatorThread* target : targets) impl.Lower(*target);
  impl.WakeReleased();
  requester.Finish();
  impl.mutex.Unlock();
  impl.NotifyReleased();
}

Status SafepointManager::RunWithMutatorsStopped(SafepointLevel level, const char* reason,
                                                FunctionRef<void(const StoppedScope&)> fn) {
  const Frame* outer = Impl::Innermost(this);
  if (outer != nullptr && level > outer->level) {
    return {StatusCode::kFailedPrecondition,
            std::string("a stop at level ") + ToString(level) + " (" + reason +
                ") was asked for inside one at level " + ToString(outer->level) +
                ", whose code is not prepared for it: ask for " + ToString(level) +
                " in the outermost stop, or after that has ended"};
  }
  const bool granted = Impl::OwnsGroup(this);
  Frame frame{this, granted ? Frame::kGranted : Frame::kGroup, level, {}, Impl::frames};
  const StoppedScope scope(*this, level, /*whole_group=*/true);
  const auto run = [&] {
    Impl::frames = &frame;
    fn(scope);
    Impl::frames = frame.previous;
  };
  if (granted) {
    run();
    return Status::Ok();
  }

  Impl& impl = *impl_;
  MutatorThread* const self = MutatorThread::Current();
  std::vector<MutatorThread*> targets;
  Requester requester(impl);
  impl.mutex.Lock();
  while (impl.group_owned || !requester.MayRun()) impl.WaitForRelease();
  impl.group_owned = true;
  impl.group_reason = reason;
  requester.OwnGroup();
  const uint64_t start = platform::NowNanos();
  // Relaxed: a statistic, written under the lock.
  impl.group_stops.store(impl.group_stops.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
  targets.reserve(impl.mutators.size());
  for (MutatorThread* target : impl.mutators) {
    if (target == self) continue;
    target->held_by_group_ = true;
    impl.Raise(*target, /*asked=*/true);
    targets.push_back(target);
  }
  impl.mutex.Unlock();

  impl.AwaitArrival(targets, /*group=*/true, reason, start);
  requester.WaitAndRun();
  impl.mutex.Unlock();
  run();

  impl.mutex.Lock();
  // Those attached meanwhile are held too, and were not in `targets`.
  for (MutatorThread* target : impl.mutators) {
    if (!target->held_by_group_) continue;
    target->held_by_group_ = false;
    impl.Lower(*target);
  }
  impl.group_owned = false;
  impl.group_reason = nullptr;
  impl.WakeReleased();
  requester.Finish();
  impl.mutex.Unlock();
  impl.NotifyReleased();
  return Status::Ok();
}

TimeToSafepointStats SafepointManager::stats() const {
  platform::MutexLock lock(impl_->mutex);
  TimeToSafepointStats stats;
  stats.histogram = impl_->time_to_safepoint;
  stats.count = stats.histogram.Count();
  stats.p50_nanos = stats.histogram.Quantile(0.5);
  stats.p99_nanos = stats.histogram.Quantile(0.99);
  stats.max_nanos = stats.histogram.Max();
  stats.slowest_mutator = impl_->slowest_mutator;
  stats.group_stops = group_stops();
  stats.set_stops = impl_->set_stops;
  stats.handshakes = impl_->handshakes;
  stats.stop_fences = impl_->stop_fences;
  stats.handshake_fences = impl_->handshake_fences;
  return stats;
}

uint64_t SafepointManager::group_stops() const {
  return impl_->group_stops.load(std::memory_order_relaxed);
}

const char* SafepointManager::current_reason() const {
  platform::MutexLock lock(impl_->mutex);
  return impl_->group_reason;
}

size_t SafepointManager::mutator_count() const {
  platform::MutexLock lock(impl_->mutex);
  return impl_->mutators.size();
}

}  // namespace Atoll
