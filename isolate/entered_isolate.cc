#include <string>
#include <utility>

#include "isolate/entered_thread.h"
#include "isolate/group_state.h"
#include "isolate/turn.h"

namespace Atoll {

void EnteredThread::Wake() {
  platform::MutexLock lock(mutex_);
  woken_ = true;
  wake_.NotifyAll();
}

bool EnteredThread::Wait(Inbox& inbox, uint64_t nanos) {
  if (!inbox.TryIdle()) return true;
  const uint64_t now = platform::NowNanos();
  const uint64_t end = nanos > UINT64_MAX - now ? UINT64_MAX : now + nanos;
  platform::MutexLock lock(mutex_);
  while (!woken_) {
    if (end == UINT64_MAX) {
      wake_.Wait(mutex_);
      continue;
    }
    const uint64_t time = platform::NowNanos();
    if (time < end) {
      wake_.WaitFor(mutex_, end - time);
    } else if (inbox.TryOwn()) {
      return false;
    } else {
      // Somebody has filled the inbox, and is on the way to Wake.
      wake_.Wait(mutex_);
    }
  }
  woken_ = false;
  return true;
}

struct EnteredIsolate::Inside {
  explicit Inside(GroupState& group) : thread(group) {}

  WorkerThread thread;
  EnteredThread home;
  IsolateState* isolate = nullptr;
};

EnteredIsolate::EnteredIsolate(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}

Result<std::unique_ptr<EnteredIsolate>> EnteredIsolate::Enter(IsolateGroup& group,
                                                              const SpawnOptions& options) {
  if (WorkerThread::Current() != nullptr) {
    return Status(StatusCode::kFailedPrecondition,
                  std::string("isolate \"") + options.name + "\" cannot be entered: this thread " +
                      (Isolate::Current() == nullptr ? "runs isolates"
                                                     : "is in another isolate; leave that first"));
  }
  GroupState& state = group.state();
  auto inside = std::make_unique<Inside>(state);
  WorkerThread::SetCurrent(&inside->thread);
  Residence* residence = state.residences.Take();
  auto made = residence == nullptr
                  ? Result<IsolateRecord*>(Status(StatusCode::kResourceExhausted,
                                                  "no memory for the region of an isolate"))
                  : state.Make(options, &inside->home);
  if (!made.ok()) {
    if (residence != nullptr) state.residences.GiveEmpty(residence);
    inside->thread.Flush();
    WorkerThread::SetCurrent(nullptr);
    return made.status();
  }
  IsolateState& isolate = made.value()->state();
  inside->isolate = &isolate;
  residence->mutator().LeaveNative();
  const Status moved = isolate.MoveIn(*residence);
  ATOLL_CHECK(moved.ok(), "%s", moved.message().c_str());  // nothing was parked
  isolate.EnterTurn();
  isolate.HandleMessages();
  // Relaxed: the monitor looks at it once it has been woken.
  state.entered_threads.fetch_add(1, std::memory_order_relaxed);
  state.monitor.NoteBusy();
  std::unique_ptr<EnteredIsolate> entered(new EnteredIsolate(std::move(inside)));
  if (isolate.Is(IsolateState::kExiting)) {
    return isolate.error != nullptr
               ? *isolate.error
               : Status(StatusCode::kFailedPrecondition,
                        std::string("isolate \"") + options.name + "\" was killed at once");
  }
  return entered;
}

EnteredIsolate::~EnteredIsolate() {
  GroupState& group = inside_->thread.group;
  inside_->isolate->End(inside_->thread);
  inside_->thread.Flush();
  WorkerThread::SetCurrent(nullptr);
  group.entered_threads.fetch_sub(1, std::memory_order_relaxed);  // see above
  group.monitor.NoteBusy();
}

Isolate& EnteredIsolate::isolate() const { return *inside_->isolate; }

EnteredIsolate::Received EnteredIsolate::Receive(uint64_t timeout_nanos) {
  IsolateState& isolate = *inside_->isolate;
  for (;;) {
    const int handled = isolate.HandleMessages();
    if (isolate.Is(IsolateState::kExiting)) return Received::kEnded;
    if (handled != 0) return Received::kHandled;
    isolate.mutator().EnterNative();
    const bool woken = inside_->home.Wait(isolate.record.inbox, timeout_nanos);
    isolate.mutator().LeaveNative();
    if (!woken) return Received::kTimedOut;
  }
}

}  // namespace Atoll
