// The waiting of an isolate that has a thread of its own.
#ifndef ATOLL_ISOLATE_ENTERED_THREAD_H_
#define ATOLL_ISOLATE_ENTERED_THREAD_H_

#include <cstdint>

#include "isolate/inbox.h"
#include "safepoint/platform.h"

namespace Atoll {

/// What the scheduler is to isolates that workers run. Outlives the isolate.
struct EnteredThread {
  /// The isolate has something to do, and the caller owns it: passes it to its thread.
  void Wake();
  /// Gives up the isolate until it has something to do, or the time is up. The caller's mutator is
  /// native. False: the time is up. Either way the caller owns the isolate again.
  bool Wait(Inbox& inbox, uint64_t nanos);

 private:
  platform::Mutex mutex_;
  platform::ConditionVariable wake_;
  bool woken_ = false;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_ENTERED_THREAD_H_
