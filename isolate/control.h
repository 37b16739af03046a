// What is asked of an isolate as a whole, by envelopes of the isolate layer.
#ifndef ATOLL_ISOLATE_CONTROL_H_
#define ATOLL_ISOLATE_CONTROL_H_

#include <atomic>
#include <cstdint>

#include "atoll/isolate.h"
#include "isolate/inbox.h"
#include "safepoint/platform.h"

namespace Atoll {

struct IsolateRecord;

/// See IsolateGroup.
void PostKill(GroupState& group, IsolateId isolate, ExitListener done);
void PostListener(GroupState& group, IsolateId isolate, ExitListener listener);
bool PostPause(GroupState& group, IsolateId isolate, bool pause);

/// Before an envelope is discarded since its isolate has ended: if it asked for that, its listener
/// will be told how. `how` stays until it is discarded.
void NoteHowItEnded(Envelope* envelope, const ExitInfo& how);

/// Who asked after an isolate while it was ending: its inbox was closed, but it had not been
/// cleaned up yet. Their requests wait here until it has.
class LateRequests {
 public:
  /// The end of an isolate, its generation taken out of its record before: answers who waits for
  /// it. Cheap when nobody does.
  void Answer(const ExitInfo& how) {
    // Sequentially consistent, against Wait: who has counted himself too late to be seen here finds
    // the generation gone.
    if (ATOLL_UNLIKELY(count_.load() != 0)) AnswerSlow(how);
  }
  /// False: the isolate has gone, and the request is the caller's still. The inbox of `record` has
  /// refused the request.
  bool Wait(const IsolateRecord& record, IsolateId isolate, Envelope* request);

 private:
  ATOLL_COLD void AnswerSlow(const ExitInfo& how);

  platform::Mutex mutex_;
  std::atomic<uint32_t> count_{0};  // written under mutex_
  Envelope* first_ = nullptr;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_CONTROL_H_
