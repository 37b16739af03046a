// One turn of an isolate: what happens between two decisions of the scheduler.
#ifndef ATOLL_ISOLATE_TURN_H_
#define ATOLL_ISOLATE_TURN_H_

#include "isolate/isolate_state.h"

namespace Atoll {

struct WorkerThread;

/// Runs the isolate, which the caller owns, and gives it up: idle, ready again, or gone.
void RunTurn(WorkerThread& thread, IsolateRecord& record);

/// The end of what a turn does on the heap: its mutator is native and this thread's no more.
void LeaveMutator(WorkerThread& thread, Residence& residence);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_TURN_H_
