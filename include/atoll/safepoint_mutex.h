// Layer: safepoint
#ifndef ATOLL_SAFEPOINT_MUTEX_H_
#define ATOLL_SAFEPOINT_MUTEX_H_

#include <memory>

#include "atoll/config.h"

namespace Atoll {

namespace platform {
class Mutex;
}

/// A lock that mutators may wait for: a managed mutator waits in blocked state, so that a stop
/// never waits for a lock, and does not own the lock while it is held back itself.
///
/// **Lock() of a contended mutex is a safepoint** for the mutator that calls it. A mutator that
/// polls while it owns a SafepointMutex may be stopped with it; then whoever runs in that stop must
/// not want it. Ranks keep that, and deadlock, out: a thread locks in ascending order of rank. In
/// builds with ATOLL_CHECKS a violation aborts and names both mutexes. Not recursive.
///
/// 25 ns for an uncontended pair. Usable by threads that are no mutators.
class SafepointMutex {
 public:
  /// `name` is a string literal.
  SafepointMutex(int rank, const char* name);
  ~SafepointMutex();
  SafepointMutex(const SafepointMutex&) = delete;
  SafepointMutex& operator=(const SafepointMutex&) = delete;

  /// Every mutex that this thread owns must have a lower rank.
  void Lock();
  /// Never waits, so any rank will do.
  [[nodiscard]] bool TryLock();
  void Unlock();

  int rank() const { return rank_; }
  const char* name() const { return name_; }

 private:
  const std::unique_ptr<platform::Mutex> mutex_;
  const int rank_;
  const char* const name_;
};

class [[nodiscard]] SafepointMutexLock {
 public:
  explicit SafepointMutexLock(SafepointMutex& mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~SafepointMutexLock() { mutex_.Unlock(); }
  SafepointMutexLock(const SafepointMutexLock&) = delete;
  SafepointMutexLock& operator=(const SafepointMutexLock&) = delete;

 private:
  SafepointMutex& mutex_;
};

}  // namespace Atoll

#endif  // ATOLL_SAFEPOINT_MUTEX_H_
