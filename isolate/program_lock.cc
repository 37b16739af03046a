#include "atoll/program_lock.h"

#include <cstdint>

#include "atoll/safepoint.h"
#include "safepoint/platform.h"

namespace Atoll {

struct ProgramLock::Impl {
  bool TryShare() {
    if (is_exclusive || waiting_exclusive != 0) return false;
    ++sharers;
    return true;
  }
  bool TryExclude() {
    if (is_exclusive || sharers != 0) return false;
    is_exclusive = true;
    return true;
  }
  void Unshare() {
    platform::MutexLock lock(mutex);
    if (--sharers == 0 && waiting_exclusive != 0) changed.NotifyAll();
  }
  void Unexclude() {
    platform::MutexLock lock(mutex);
    is_exclusive = false;
    changed.NotifyAll();
  }
  void WaitToShare() {
    platform::MutexLock lock(mutex);
    while (!TryShare()) changed.Wait(mutex);
  }
  void WaitToExclude() {
    platform::MutexLock lock(mutex);
    ++waiting_exclusive;
    while (!TryExclude()) changed.Wait(mutex);
    // Those who would share have waited for this one as well: they look again when it unlocks.
    --waiting_exclusive;
  }

  platform::Mutex mutex;  // held for a few instructions; guards what follows
  platform::ConditionVariable changed;
  uint32_t sharers = 0;
  uint32_t waiting_exclusive = 0;
  bool is_exclusive = false;
};

namespace {

/// try_lock() at once, or wait() where no stop waits for this thread; what was got while a stop
/// holds it back is given up again.
template <typename TryLock, typename Wait, typename Unlock>
void LockBlocked(TryLock try_lock, Wait wait, Unlock unlock) {
  if (try_lock()) return;
  MutatorThread* const self = MutatorThread::Current();
  if (self == nullptr || self->manager() == nullptr || self->state() != MutatorState::kManaged) {
    wait();
    return;
  }
  for (;;) {
    self->EnterBlocked();
    wait();
    if (self->TryLeaveBlocked()) return;
    // Held back: whoever holds us may want this lock.
    unlock();
    self->LeaveBlocked();
    if (try_lock()) return;
  }
}

}  // namespace

ProgramLock::ProgramLock() : impl_(new Impl) {}
ProgramLock::~ProgramLock() = default;

void ProgramLock::LockShared() {
  Impl& impl = *impl_;
  LockBlocked(
      [&] {
        platform::MutexLock lock(impl.mutex);
        return impl.TryShare();
      },
      [&] { impl.WaitToShare(); }, [&] { impl.Unshare(); });
}
void ProgramLock::UnlockShared() { impl_->Unshare(); }

void ProgramLock::LockExclusive() {
  Impl& impl = *impl_;
  LockBlocked(
      [&] {
        platform::MutexLock lock(impl.mutex);
        return impl.TryExclude();
      },
      [&] { impl.WaitToExclude(); }, [&] { impl.Unexclude(); });
}
void ProgramLock::UnlockExclusive() { impl_->Unexclude(); }

}  // namespace Atoll
