// What is asked of an isolate as a whole, by envelopes of the isolate layer.
#ifndef ATOLL_ISOLATE_CONTROL_H_
#define ATOLL_ISOLATE_CONTROL_H_

#include "atoll/isolate.h"
#include "isolate/inbox.h"

namespace Atoll {

/// See IsolateGroup.
void PostKill(GroupState& group, IsolateId isolate, ExitListener done);
void PostListener(GroupState& group, IsolateId isolate, ExitListener listener);
bool PostPause(GroupState& group, IsolateId isolate, bool pause);

/// Before an envelope is discarded since its isolate has ended: if it asked for that, its listener
/// will be told how. `how` stays until it is discarded.
void NoteHowItEnded(Envelope* envelope, const ExitInfo& how);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_CONTROL_H_
