// What is asked of an isolate as a whole, by envelopes of the isolate layer.
#ifndef ATOLL_ISOLATE_CONTROL_H_
#define ATOLL_ISOLATE_CONTROL_H_

#include "atoll/isolate.h"

namespace Atoll {

struct Envelope;

/// See IsolateGroup.
void PostKill(GroupState& group, IsolateId isolate, ExitListener done);
void PostListener(GroupState& group, IsolateId isolate, ExitListener listener);
/// Calls all that listen to an isolate that has ended.
void CallListeners(Envelope* listeners, const ExitInfo& info);
bool PostPause(GroupState& group, IsolateId isolate, bool pause);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_CONTROL_H_
