#include "atoll/safepoint_mutex.h"

#include "atoll/safepoint.h"
#include "safepoint/platform.h"

namespace Atoll {

namespace {

/// The mutexes this thread owns, in the order in which it got them. Kept for ATOLL_CHECKS only.
class OwnedMutexes {
 public:
  void CheckRank(const SafepointMutex& wanted) const {
    for (int i = 0; i < count_; ++i) {
      ATOLL_CHECK(owned_[i]->rank() < wanted.rank(),
                  "rank violation: locking %s (rank %d) while owning %s (rank %d); lock in "
                  "ascending order of rank",
                  wanted.name(), wanted.rank(), owned_[i]->name(), owned_[i]->rank());
    }
  }

  void Add(const SafepointMutex& mutex) {
    ATOLL_CHECK(count_ < kMaximum, "a thread owns more than %d mutexes", kMaximum);
    owned_[count_++] = &mutex;
  }

  void Remove(const SafepointMutex& mutex) {
    int i = count_ - 1;
    while (i >= 0 && owned_[i] != &mutex) --i;
    ATOLL_CHECK(i >= 0, "%s is unlocked by a thread that does not own it", mutex.name());
    for (--count_; i < count_; ++i) owned_[i] = owned_[i + 1];
  }

 private:
  static constexpr int kMaximum = 32;
  const SafepointMutex* owned_[kMaximum] = {};
  int count_ = 0;
};

constinit thread_local OwnedMutexes owned_mutexes;

}  // namespace

SafepointMutex::SafepointMutex(int rank, const char* name)
    : mutex_(new platform::Mutex), rank_(rank), name_(name) {}

SafepointMutex::~SafepointMutex() = default;

void SafepointMutex::Lock() {
  if (ATOLL_CHECKS != 0) owned_mutexes.CheckRank(*this);
  if (!mutex_->TryLock()) {
    MutatorThread* const self = MutatorThread::Current();
    if (self == nullptr || self->manager() == nullptr || self->state() != MutatorState::kManaged) {
      mutex_->Lock();
    } else {
      for (;;) {
        self->EnterBlocked();
        mutex_->Lock();
        if (self->TryLeaveBlocked()) break;
        // Held back: whoever holds us may want this mutex.
        mutex_->Unlock();
        self->LeaveBlocked();
        if (mutex_->TryLock()) break;
      }
    }
  }
  if (ATOLL_CHECKS != 0) owned_mutexes.Add(*this);
}

bool SafepointMutex::TryLock() {
  if (!mutex_->TryLock()) return false;
  if (ATOLL_CHECKS != 0) owned_mutexes.Add(*this);
  return true;
}

void SafepointMutex::Unlock() {
  if (ATOLL_CHECKS != 0) owned_mutexes.Remove(*this);
  mutex_->Unlock();
}

}  // namespace Atoll
