// A group's inside, as isolate/ and messaging/ see it.
#ifndef ATOLL_ISOLATE_GROUP_STATE_H_
#define ATOLL_ISOLATE_GROUP_STATE_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "atoll/isolate.h"
#include "atoll/program.h"
#include "isolate/control.h"
#include "isolate/monitor.h"
#include "isolate/residence.h"
#include "isolate/scheduler.h"
#include "isolate/stable_table.h"

namespace Atoll {

struct GroupState final : GroupRoots {
  GroupState(const GroupOptions& group_options, std::unique_ptr<Heap> group_heap);
  ~GroupState() override;

  /// Makes an isolate whose first turn calls its entry. Errors: see IsolateGroup::Spawn.
  Result<IsolateId> Spawn(const SpawnOptions& options);
  /// The same for one that is not scheduled: the caller owns it. `home` wakes it; null: the
  /// scheduler.
  Result<IsolateRecord*> Make(const SpawnOptions& options, EnteredThread* home);
  /// The record of an isolate that may have gone; null when it surely has.
  IsolateRecord* RecordOf(IsolateId id) const;
  /// Sends an envelope of the isolate layer; false (and the envelope is the caller's) when the
  /// isolate has ended.
  bool Post(IsolateId id, Envelope* envelope);
  /// One isolate less.
  void NoteEnd();
  uint64_t NewGeneration();
  /// For the thread that runs a turn.
  GraphCopier& CopierOfThread() const { return *WorkerThread::Current()->copier; }
  /// Gives back memory that nothing uses.
  void Trim();
  /// Isolates that wait for a region go on as far as there are some. Whether any do.
  bool HouseTheHomeless();

  void VisitRoots(RootVisitor& visitor) override;
  void VisitWeakRoots(RootVisitor& visitor) override { program.VisitWeakRoots(visitor); }
  Status Verify() override;

  const GroupOptions options;
  GroupClient* const client;
  IsolateGroup* group = nullptr;
  std::unique_ptr<Heap> heap;
  Program program;
  StableTable<IsolateRecord> isolates;
  ResidencePool residences;
  Scheduler scheduler;
  // Isolates whose turn it was, and for which no region could be made: the monitor passes them to
  // the scheduler again when there is one.
  ReadyQueue homeless;
  Monitor monitor;
  LateRequests late_requests;
  struct Extension {
    virtual ~Extension() = default;
    virtual void Trim() = 0;
  };
  std::atomic<Extension*> extension{nullptr};  // of the layer above; owned

  // Relaxed: unique is all that they need to be.
  std::atomic<uint64_t> generations{1};
  // Spawned and not yet gone. Sequentially consistent, against `closing`: a spawn counts itself
  // before it looks whether the group shuts down.
  std::atomic<int64_t> isolate_count{0};
  std::atomic<bool> closing{false};
  std::atomic<uint32_t> entered_threads{0};  // EnteredIsolates; for the monitor

  platform::Mutex empty_mutex;
  platform::ConditionVariable empty;  // isolate_count has become 0
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_GROUP_STATE_H_
