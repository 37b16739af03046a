#include "isolate/turn.h"

#include <utility>

#include "isolate/group_state.h"

namespace Atoll {
namespace {

// Gives up an isolate that nothing more is to be done with now.
void GiveUp(GroupState& group, IsolateRecord& record) {
  if (!record.inbox.TryIdle()) group.scheduler.Ready(&record, /*lately=*/false);
}

// Parks the isolate of a ring's entry, which the caller owns, if it is still the one that the entry
// says.
void ParkResident(WorkerThread& thread, const ResidentRing::Entry& entry) {
  IsolateRecord& record = *entry.record;
  // Relaxed: its owner's.
  if (record.generation.load(std::memory_order_relaxed) == entry.generation) {
    IsolateState& isolate = record.state();
    isolate.Unset(IsolateState::kInRing);
    if (Residence* residence = isolate.residence) {
      residence->mutator().LeaveNative();
      bool is_empty = false;
      const bool parked = isolate.TryPark(thread, &is_empty);
      residence->mutator().EnterNative();
      MutatorThread::ClearCurrent();
      if (parked) thread.GiveResidence(residence, is_empty);
    }
  }
  GiveUp(thread.group, record);
}

// Lets the isolate keep its residence, and makes room for it: `oldest` is then idle, owned by the
// caller, and in the ring no more. False: there is no room.
bool StayResident(WorkerThread& thread, IsolateState& isolate, ResidentRing::Entry* oldest) {
  constexpr int kTries = 4;
  if (isolate.Is(IsolateState::kInRing)) return true;
  Worker* worker = thread.worker.load(std::memory_order_relaxed);  // own
  if (worker == nullptr || worker->ring.entries.empty()) return false;
  ResidentRing& ring = worker->ring;
  for (int i = 0; i < kTries; ++i) {
    ResidentRing::Entry& entry = ring.entries[ring.hand];
    ring.hand = ring.hand + 1 == ring.entries.size() ? 0 : ring.hand + 1;
    const bool is_gone =
        entry.record == nullptr ||
        // Relaxed: only compared; of an isolate that has gone it is another or zero.
        entry.record->generation.load(std::memory_order_relaxed) != entry.generation;
    // Owned at once: who left the ring without being parked would believe to be in it still.
    if (!is_gone && !entry.record->inbox.TryOwn()) continue;
    *oldest = is_gone ? ResidentRing::Entry{} : entry;
    entry = {&isolate.record, isolate.id().generation};
    isolate.Set(IsolateState::kInRing);
    return true;
  }
  return false;
}

}  // namespace

void LeaveMutator(WorkerThread& thread, Residence& residence) {
  // Before the mutator is native: whoever finds it native and still here, finds it in its turn.
  if (Worker* worker = thread.worker.load(std::memory_order_relaxed)) {  // own
    worker->running.store(nullptr, std::memory_order_relaxed);           // see Worker
  }
  residence.mutator().EnterNative();
  MutatorThread::ClearCurrent();
}

void RunTurn(WorkerThread& thread, IsolateRecord& record) {
  GroupState& group = thread.group;
  IsolateState& isolate = record.state();
  const bool is_away = isolate.residence == nullptr;
  Residence* residence = is_away ? thread.TakeResidence() : isolate.residence;
  if (ATOLL_UNLIKELY(residence == nullptr)) {
    // It waits until others have ended.
    group.homeless.Push(&record);
    return;
  }
  residence->mutator().LeaveNative();
  if (Worker* worker = thread.worker.load(std::memory_order_relaxed)) {  // own
    // Release: the monitor looks at its mutator.
    worker->running.store(residence, std::memory_order_release);
    // Relaxed: see Worker. Written by this thread only, so no addition.
    worker->turns.store(worker->turns.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
  }
  if (is_away) {
    if (Status status = isolate.MoveIn(*residence); ATOLL_UNLIKELY(!status.ok())) {
      isolate.FailWith(std::move(status));
    }
  }
  isolate.EnterTurn();
  isolate.HandleMessages();
  if (ATOLL_UNLIKELY(thread.contention.times != 0)) group.scheduler.GatherIfCheaper(thread, record);
  if (isolate.ShallEnd()) {
    isolate.End(thread);
    return;
  }
  isolate.LeaveTurn();

  const bool has_more = isolate.HasWork();
  ResidentRing::Entry oldest;
  bool parked = false;
  bool is_empty = false;
  if (!has_more) {
    parked = isolate.TryParkEmpty(&is_empty) ||
             (!StayResident(thread, isolate, &oldest) && isolate.TryPark(thread, &is_empty));
  }
  LeaveMutator(thread, *residence);
  if (parked) thread.GiveResidence(residence, is_empty);
  if (has_more) {
    group.scheduler.Ready(&record, /*lately=*/false);
  } else {
    GiveUp(group, record);
  }
  if (ATOLL_UNLIKELY(oldest.record != nullptr)) ParkResident(thread, oldest);
}

}  // namespace Atoll
