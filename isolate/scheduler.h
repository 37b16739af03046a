// Runs isolates that have something in their inboxes, on a fixed number of workers.
//
// A *worker* is a right to run isolates, with a queue of those that are ready; a *thread* has at
// most one. A worker is handed to another thread when its thread's isolate has been native for
// long (see monitor.h), so a thread may end its turn without one; then it waits for one as a spare.
//
// Ready isolates of a worker wait in
//   the LIFO slot    the one that was woken last, by the isolate that runs. It runs next, while the
//                    message is in the cache. Not stolen, but moved to the queue when the turn of
//                    who woke it becomes long
//   the queue        FIFO, under a lock. Other workers steal from its front.
// and those woken by threads without a worker in one queue of the group.
//
// Isolates that send to the same one from several workers, message upon message, are *gathered*:
// for a while one worker alone runs them and their receiver. They wait there in
//   the kept queue   FIFO, in turns with the queue; nobody steals from it.
// For what they pass costs less than passing it between processors. If a turn of that worker
// becomes long, others get them after all.
//
// A turn that wakes one isolate wakes no thread; the second one does, if a worker is idle and none
// is looking for work already. One isolate that waits in a queue for another turn wakes a thread
// only after 50 us.
#ifndef ATOLL_ISOLATE_SCHEDULER_H_
#define ATOLL_ISOLATE_SCHEDULER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "heap/group_allocator.h"
#include "isolate/graph_copier.h"
#include "isolate/isolate_state.h"
#include "isolate/stable_table.h"
#include "safepoint/platform.h"

namespace Atoll {

struct GroupState;

/// Isolates that are ready, first come, first served. Thread-safe.
class ReadyQueue {
 public:
  void Push(IsolateRecord* record);
  IsolateRecord* Pop();
  /// Moves about half of them, from the front, to `to`, and returns the first. Null if it is empty.
  IsolateRecord* Steal(ReadyQueue& to);
  // Sequentially consistent, against the count of idle threads: who makes a queue non-empty looks
  // for idle threads afterwards; who becomes idle looks at the queues afterwards.
  bool empty() const { return size_.load() == 0; }
  bool seems_empty() const { return size() == 0; }
  /// Out of date at once, unless nobody else pushes or pops.
  uint32_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  platform::Mutex mutex_;
  IsolateRecord* first_ = nullptr;
  IsolateRecord* last_ = nullptr;
  std::atomic<uint32_t> size_{0};  // written under mutex_
};

/// Resident isolates that a worker has run, oldest first: when it is full the oldest is parked.
struct ResidentRing {
  struct Entry {
    IsolateRecord* record = nullptr;
    uint64_t generation = 0;
  };
  std::vector<Entry> entries;
  size_t hand = 0;
};

struct WorkerThread;

struct Worker {
  // The LIFO slot. Exchanged by its thread and by the monitor, which moves it to the queue. Acquire
  // and release: whoever takes the isolate owns it.
  std::atomic<IsolateRecord*> next{nullptr};
  ReadyQueue queue;
  ReadyQueue kept;
  uint64_t waiting_since = 0;  // when the first one in the queue came; of the thread
  // For the monitor, which looks closer before it does anything. Set (release: it has just been
  // made, perhaps) and cleared in managed state. Only the monitor ends residences.
  std::atomic<Residence*> running{nullptr};
  std::atomic<uint64_t> turns{0};  // likewise; relaxed: only compared
  // Of the thread that has the worker; and the thread, which is written in the states that
  // WorkerThread::worker is written in.
  ResidentRing ring;
  WorkerThread* thread = nullptr;
};

/// A thread that runs isolates, and what it keeps at hand.
struct WorkerThread {
  explicit WorkerThread(GroupState& group_state);

  /// The one that this code runs on; null on other threads.
  static WorkerThread* Current() { return current; }
  /// This code runs on it from now on; null: on none.
  static void SetCurrent(WorkerThread* thread) {
    current = thread;
    GroupAllocator::Cache::Use(thread == nullptr ? nullptr : &thread->memory);
  }
  /// Likewise, and null on a thread of another group: an isolate may call other groups.
  static WorkerThread* CurrentOf(const GroupState& group) {
    return current != nullptr && &current->group == &group ? current : nullptr;
  }

  Residence* TakeResidence();
  void GiveResidence(Residence* residence, bool is_empty);
  /// Gives back all that it keeps.
  void Flush();

  GroupState& group;
  GroupAllocator::Cache memory;  // off the heap
  // Null: a spare. Changed by the own thread, and by the monitor while the isolate that the thread
  // runs is held in native state; relaxed, since that orders it.
  std::atomic<Worker*> worker{nullptr};
  uint32_t lifo_turns = 0;     // in a row
  uint32_t turns_taken = 0;    // for a look at the group's queue now and then
  uint32_t sends = 0;          // messages sent to isolates that were ready
  uint32_t sends_at_next = 0;  // when the LIFO slot was filled
  // Of the turn: an isolate that others were sending to at the same moment.
  struct Contention {
    IsolateRecord* target = nullptr;
    uint32_t times = 0;
    uint32_t sends = 0;  // before the first time
    uint64_t since = 0;
  };
  Contention contention;
  bool searching = false;  // counted in Scheduler::searching_
  std::unique_ptr<GraphCopier> copier;
  StableTable<IsolateRecord>::Cache records;
  uint64_t next_generation = 0;
  uint64_t generations_end = 0;
  std::vector<Residence*> residences;
  std::vector<Ref> roots;  // of the isolate that is being parked
  struct Extension {
    virtual ~Extension() = default;
    virtual void Flush() = 0;
  };
  std::unique_ptr<Extension> extension;  // of the layer above

  // Waiting; guarded by the scheduler's mutex.
  platform::ConditionVariable wake;
  bool woken = false;
  platform::Thread thread;

  static constinit thread_local WorkerThread* current;

 private:
  static constexpr size_t kResidencesAtHand = 16;
};

class Scheduler {
 public:
  static constexpr uint32_t kContentions = 4;  ///< in a turn: it was no accident
  explicit Scheduler(GroupState& group) : group_(group) {}
  ~Scheduler();

  void Start(int workers, uint32_t ring_size);
  /// Ends all threads. No isolate is left.
  void Stop();

  /// Takes over an isolate that has something to do. `lately`: the running isolate has just sent it
  /// something, and it shall run next.
  void Ready(IsolateRecord* record, bool lately = true);
  /// The running isolate has sent something to one that is ready already.
  void NoteSend() {
    WorkerThread* thread = WorkerThread::CurrentOf(group_);
    if (thread != nullptr &&
        ((++thread->sends - thread->sends_at_next) & (kSendsBeforeShare - 1)) == 0) {
      ShareNext(*thread);
    }
  }
  /// The running isolate has sent something to `target` at the same moment as another.
  ATOLL_COLD void NoteContention(IsolateRecord& target);
  /// After a turn in which NoteContention was called: gathers the isolate and the one that it sent
  /// to, if, all that contention included, it took less time for a message than processors take to
  /// pass one on.
  ATOLL_COLD void GatherIfCheaper(WorkerThread& thread, IsolateRecord& record);
  /// Until then, in NowNanos, the isolate runs on that worker alone.
  static void Keep(IsolateRecord& record, size_t worker, uint64_t until);
  /// What a worker keeps is anybody's again: it is busy with something long.
  void ReleaseKept(Worker& worker);
  /// How often isolates have been gathered.
  uint64_t gatherings() const { return gatherings_.load(std::memory_order_relaxed); }
  /// Moves what is in a worker's LIFO slot to its queue, for others to steal. False: nothing was.
  bool ShareNext(Worker& worker);
  /// Wakes a thread to steal what is in queues, if one is idle and none is on its way.
  void WakeOneIfNeeded();
  /// Has another thread go on with a worker whose thread was relieved of it.
  void GiveAway(Worker& worker);

  const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }
  /// Every worker waits for work.
  bool is_idle() const { return idle_count_.load() == workers_.size(); }

 private:
  static constexpr uint32_t kSendsBeforeShare = 1024;  // some 30 us
  static constexpr uint64_t kWaitNanos = 50'000;
  static constexpr uint32_t kLifoTurns = 16;
  static constexpr uint32_t kGlobalInterval = 61;
  static constexpr uint64_t kNanosToPassOn = 400;  // a message, between two busy processors
  static constexpr uint64_t kKeptNanos = 100'000'000;
  static constexpr uint64_t kFlushNanos = 100'000'000;  // idle for this long: caches are given back

  void AddThread(Worker* worker);
  void Main(WorkerThread& thread);
  IsolateRecord* Next(WorkerThread& thread, Worker& worker);
  IsolateRecord* StealFor(Worker& worker);
  // The keeper's queue, if the isolate has one still.
  bool ReadyAtKeeper(IsolateRecord* record, uint32_t keeper);
  bool AnyReady() const;
  ATOLL_COLD void ShareNext(WorkerThread& thread);
  ATOLL_COLD void WakeOne();
  // The thread of that worker, if it is idle.
  void WakeThreadOf(const Worker& worker);
  // Under the mutex: one of the idle.
  void Wake(std::vector<WorkerThread*>::iterator idle);
  // False: the scheduler stops.
  bool WaitForWork(WorkerThread& thread);
  // Of a thread that is among the idle: until it is woken.
  bool Sleep(WorkerThread& thread);
  bool WaitForWorker(WorkerThread& thread);

  GroupState& group_;
  std::vector<std::unique_ptr<Worker>> workers_;  // made before the first thread
  ReadyQueue global_;
  std::atomic<uint32_t> idle_count_{0};  // see ReadyQueue::empty
  std::atomic<uint64_t> gatherings_{0};  // relaxed: a count
  std::atomic<uint32_t> searching_{0};   // threads woken that have found nothing yet; likewise
  platform::Mutex mutex_;                // guards what follows
  std::vector<WorkerThread*> idle_;      // with a worker, waiting for work
  std::vector<WorkerThread*> spare_;     // without one
  std::vector<std::unique_ptr<WorkerThread>> threads_;
  bool stopping_ = false;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_SCHEDULER_H_
