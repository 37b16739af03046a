#include "isolate/scheduler.h"

#include <algorithm>
#include <utility>

#include "heap/heap_state.h"
#include "isolate/entered_thread.h"
#include "isolate/group_state.h"
#include "isolate/turn.h"

namespace Atoll {
namespace {

// IsolateRecord::keeper: a worker's number plus 1, and until when, in 2^22 ns (4 ms) that wrap
// after 5 minutes. So a mark can be found so late that it seems to hold: then its isolate is kept
// until the time has come again, or its keeper is busy with something long.
constexpr uint32_t kWorkerBits = 16;
constexpr int kTickShift = 22;
uint16_t TickAt(uint64_t nanos) { return static_cast<uint16_t>(nanos >> kTickShift); }

}  // namespace

constinit thread_local WorkerThread* WorkerThread::current = nullptr;

// ---- ReadyQueue

void ReadyQueue::Push(IsolateRecord* record) {
  record->queue_next = nullptr;
  platform::MutexLock lock(mutex_);
  if (last_ == nullptr) {
    first_ = record;
  } else {
    last_->queue_next = record;
  }
  last_ = record;
  // Sequentially consistent, see empty(); written by the lock's holder only, so no addition.
  size_.store(size_.load(std::memory_order_relaxed) + 1);
}

IsolateRecord* ReadyQueue::Pop() {
  if (seems_empty()) return nullptr;
  platform::MutexLock lock(mutex_);
  IsolateRecord* record = first_;
  if (record == nullptr) return nullptr;
  first_ = record->queue_next;
  if (first_ == nullptr) last_ = nullptr;
  size_.store(size_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  return record;
}

IsolateRecord* ReadyQueue::Steal(ReadyQueue& to) {
  if (seems_empty()) return nullptr;
  IsolateRecord* stolen = nullptr;
  {
    platform::MutexLock lock(mutex_);
    const uint32_t size = size_.load(std::memory_order_relaxed);
    const uint32_t count = (size + 1) / 2;
    if (count == 0) return nullptr;
    stolen = first_;
    IsolateRecord* end = first_;
    for (uint32_t i = 1; i < count; ++i) end = end->queue_next;
    first_ = end->queue_next;
    if (first_ == nullptr) last_ = nullptr;
    end->queue_next = nullptr;
    size_.store(size - count, std::memory_order_relaxed);
  }
  for (IsolateRecord* record = stolen->queue_next; record != nullptr;) {
    IsolateRecord* next = record->queue_next;
    to.Push(record);
    record = next;
  }
  return stolen;
}

// ---- WorkerThread

WorkerThread::WorkerThread(GroupState& group_state)
    : group(group_state),
      memory(group_state.heap->state().allocator),
      copier(std::make_unique<GraphCopier>(*group_state.heap)) {
  residences.reserve(kResidencesAtHand);
}

Residence* WorkerThread::TakeResidence() {
  if (residences.empty()) return group.residences.Take();
  Residence* residence = residences.back();
  residences.pop_back();
  return residence;
}

void WorkerThread::GiveResidence(Residence* residence, bool is_empty) {
  if (!is_empty) residence->Clear();
  if (residences.size() == kResidencesAtHand) {
    group.residences.GiveEmpty(residence);
  } else {
    residences.push_back(residence);
  }
}

void WorkerThread::Flush() {
  for (Residence* residence : residences) group.residences.GiveEmpty(residence);
  residences.clear();
  group.isolates.Flush(records);
  if (extension != nullptr) extension->Flush();
  memory.Flush();
}

// ---- Scheduler

Scheduler::~Scheduler() { Stop(); }

void Scheduler::Start(int workers, uint32_t ring_size) {
  for (int i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->ring.entries.resize(ring_size);
  }
  for (auto& worker : workers_) AddThread(worker.get());
}

void Scheduler::Stop() {
  {
    platform::MutexLock lock(mutex_);
    stopping_ = true;
    for (auto& thread : threads_) thread->wake.NotifyAll();
  }
  for (auto& thread : threads_) {
    if (thread->thread.joinable()) thread->thread.Join();
  }
  threads_.clear();
}

void Scheduler::AddThread(Worker* worker) {
  platform::MutexLock lock(mutex_);
  WorkerThread& thread = *threads_.emplace_back(std::make_unique<WorkerThread>(group_));
  thread.worker.store(worker, std::memory_order_relaxed);  // it does not run yet
  worker->thread = &thread;
  thread.thread = platform::Thread("atoll-" + std::to_string(threads_.size()), [this, &thread] {
    WorkerThread::SetCurrent(&thread);
    Main(thread);
    thread.Flush();
    WorkerThread::SetCurrent(nullptr);
  });
}

void Scheduler::Main(WorkerThread& thread) {
  for (;;) {
    Worker* worker = thread.worker.load(std::memory_order_relaxed);  // own
    if (worker == nullptr) {
      if (!WaitForWorker(thread)) return;
      continue;
    }
    IsolateRecord* record = Next(thread, *worker);
    if (record == nullptr) {
      if (!WaitForWork(thread)) return;
      continue;
    }
    if (ATOLL_UNLIKELY(thread.searching)) {
      thread.searching = false;
      searching_.fetch_sub(1);
      if (AnyReady()) WakeOneIfNeeded();
    }
    // Relaxed: a look; whoever becomes idle looks at the queues himself.
    if (ATOLL_UNLIKELY(idle_count_.load(std::memory_order_relaxed) != 0) &&
        !worker->queue.seems_empty() && platform::NowNanos() - worker->waiting_since > kWaitNanos) {
      WakeOneIfNeeded();
    }
    RunTurn(thread, *record);
  }
}

IsolateRecord* Scheduler::Next(WorkerThread& thread, Worker& worker) {
  if (++thread.turns_taken % kGlobalInterval == 0) {
    if (IsolateRecord* record = global_.Pop()) return record;
  }
  // Relaxed: a look; only the monitor empties it besides this thread.
  if (worker.next.load(std::memory_order_relaxed) != nullptr) {
    IsolateRecord* next = worker.next.exchange(nullptr, std::memory_order_acquire);
    if (next != nullptr) {
      if (ATOLL_LIKELY(++thread.lifo_turns < kLifoTurns) ||
          (worker.queue.seems_empty() && worker.kept.seems_empty() && global_.seems_empty())) {
        return next;
      }
      worker.queue.Push(next);
    }
  }
  thread.lifo_turns = 0;
  const bool kept_first = thread.turns_taken % 2 == 0;
  for (ReadyQueue* queue :
       {kept_first ? &worker.kept : &worker.queue, kept_first ? &worker.queue : &worker.kept}) {
    if (IsolateRecord* record = queue->Pop()) return record;
  }
  if (IsolateRecord* record = global_.Pop()) return record;
  return StealFor(worker);
}

IsolateRecord* Scheduler::StealFor(Worker& worker) {
  const size_t count = workers_.size();
  size_t own = 0;
  while (workers_[own].get() != &worker) ++own;
  for (size_t i = 1; i < count; ++i) {
    if (IsolateRecord* record = workers_[(own + i) % count]->queue.Steal(worker.queue)) {
      // A thread that became idle meanwhile saw those that were on their way in no queue.
      if (!worker.queue.empty()) WakeOneIfNeeded();
      return record;
    }
  }
  return nullptr;
}

bool Scheduler::AnyReady() const {
  if (!global_.empty()) return true;
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& worker) { return !worker->queue.empty(); });
}

void Scheduler::Ready(IsolateRecord* record, bool lately) {
  if (ATOLL_UNLIKELY(record->home != nullptr)) return record->home->Wake();
  const uint32_t keeper = record->keeper.load(std::memory_order_relaxed);
  if (ATOLL_UNLIKELY(keeper != 0) && ReadyAtKeeper(record, keeper)) return;
  WorkerThread* thread = WorkerThread::CurrentOf(group_);
  // While its isolate is native its worker may be handed on at any moment, and nobody looks into
  // the LIFO slot of a worker that has just been found without work.
  const Isolate* running = Isolate::Current();
  if (running != nullptr && running->mutator().state() != MutatorState::kManaged) thread = nullptr;
  Worker* worker = thread == nullptr ? nullptr : thread->worker.load(std::memory_order_relaxed);
  if (worker == nullptr) {
    global_.Push(record);
  } else if (lately) {
    thread->sends_at_next = thread->sends;
    // Release: whoever moves it sees the record as its owner left it. Acquire: the same of the old.
    // An empty slot is filled by this thread alone, so that needs no exchange.
    if (ATOLL_LIKELY(worker->next.load(std::memory_order_relaxed) == nullptr)) {
      return worker->next.store(record, std::memory_order_release);
    }
    IsolateRecord* before = worker->next.exchange(record, std::memory_order_acq_rel);
    if (before == nullptr) return;
    worker->queue.Push(before);
  } else {
    const bool waits_alone = worker->queue.seems_empty();
    worker->queue.Push(record);
    if (waits_alone) {
      // This worker comes to it soon, with what it needs in the cache: another thread gets it only
      // if that takes long.
      if (idle_count_.load(std::memory_order_relaxed) != 0) {
        worker->waiting_since = platform::NowNanos();
      }
      return;
    }
  }
  WakeOneIfNeeded();
}

bool Scheduler::ReadyAtKeeper(IsolateRecord* record, uint32_t keeper) {
  const auto left = static_cast<int16_t>(static_cast<uint16_t>(keeper >> kWorkerBits) -
                                         TickAt(platform::NowNanos()));
  if (left <= 0) {
    record->keeper.store(0, std::memory_order_relaxed);
    return false;
  }
  Worker& worker = *workers_[keeper % (1u << kWorkerBits) - 1];
  worker.kept.Push(record);
  // Sequentially consistent, as in WakeOneIfNeeded: its thread looks here after it became idle.
  if (idle_count_.load() != 0) WakeThreadOf(worker);
  return true;
}

void Scheduler::NoteContention(IsolateRecord& target) {
  WorkerThread* thread = WorkerThread::CurrentOf(group_);
  if (thread == nullptr) return;
  WorkerThread::Contention& contention = thread->contention;
  if (contention.target != &target) {
    contention = {&target, 0, thread->sends, platform::NowNanos()};
  }
  ++contention.times;
}

void Scheduler::GatherIfCheaper(WorkerThread& thread, IsolateRecord& record) {
  const auto contention = std::exchange(thread.contention, {});
  if (contention.times < kContentions) return;
  const uint64_t sends = thread.sends - contention.sends;
  if (platform::NowNanos() - contention.since > sends * kNanosToPassOn) return;
  // All who send to it meet at the same worker, and those who send to another at another.
  const size_t worker = contention.target->index % workers_.size();
  const uint64_t until = platform::NowNanos() + kKeptNanos;
  Keep(*contention.target, worker, until);
  Keep(record, worker, until);
  gatherings_.fetch_add(1, std::memory_order_relaxed);
}

void Scheduler::Keep(IsolateRecord& record, size_t worker, uint64_t until) {
  if (worker >= (1u << kWorkerBits) - 1) return;
  const uint32_t mark = uint32_t{TickAt(until)} << kWorkerBits | static_cast<uint32_t>(worker + 1);
  record.keeper.store(mark, std::memory_order_relaxed);
}

void Scheduler::ReleaseKept(Worker& worker) {
  while (IsolateRecord* record = worker.kept.Pop()) {
    record->keeper.store(0, std::memory_order_relaxed);
    worker.queue.Push(record);
  }
  WakeOneIfNeeded();
}

void Scheduler::ShareNext(WorkerThread& thread) {
  Worker* worker = thread.worker.load(std::memory_order_relaxed);  // own
  if (worker != nullptr) ShareNext(*worker);
}

bool Scheduler::ShareNext(Worker& worker) {
  if (worker.next.load(std::memory_order_relaxed) == nullptr) return false;
  IsolateRecord* next = worker.next.exchange(nullptr, std::memory_order_acq_rel);
  if (next == nullptr) return false;
  worker.queue.Push(next);
  WakeOneIfNeeded();
  return true;
}

void Scheduler::WakeOneIfNeeded() {
  if (idle_count_.load() != 0 && searching_.load() == 0) WakeOne();
}

void Scheduler::WakeOne() {
  {
    platform::MutexLock lock(mutex_);
    if (idle_.empty()) return;
    Wake(idle_.end() - 1);
  }
  group_.monitor.NoteBusy();
}

void Scheduler::WakeThreadOf(const Worker& worker) {
  {
    platform::MutexLock lock(mutex_);
    const auto idle = std::find_if(idle_.begin(), idle_.end(), [&worker](const auto* thread) {
      // Relaxed: one that is idle keeps its worker.
      return thread->worker.load(std::memory_order_relaxed) == &worker;
    });
    if (idle == idle_.end()) return;
    Wake(idle);
  }
  group_.monitor.NoteBusy();
}

void Scheduler::Wake(std::vector<WorkerThread*>::iterator idle) {
  WorkerThread& thread = **idle;
  idle_.erase(idle);
  idle_count_.fetch_sub(1);
  searching_.fetch_add(1);
  thread.searching = true;
  thread.woken = true;
  thread.wake.NotifyOne();
}

bool Scheduler::WaitForWork(WorkerThread& thread) {
  if (thread.searching) {
    thread.searching = false;
    searching_.fetch_sub(1);
  }
  bool found = false;
  {
    platform::MutexLock lock(mutex_);
    if (stopping_) return false;
    idle_.push_back(&thread);
    idle_count_.fetch_add(1);
    // After this thread is seen to be idle: what became ready before is found here, what becomes
    // ready later wakes it.
    const Worker* own = thread.worker.load(std::memory_order_relaxed);
    found = AnyReady() || !own->kept.empty();
    if (found) {
      // As if it had been woken: whoever saw a searching thread has woken none, for several
      // isolates, it may be; and the monitor may have seen all idle.
      std::erase(idle_, &thread);
      idle_count_.fetch_sub(1);
      searching_.fetch_add(1);
      thread.searching = true;
    }
  }
  if (found) {
    group_.monitor.NoteBusy();
    return true;
  }
  return Sleep(thread);
}

bool Scheduler::Sleep(WorkerThread& thread) {
  platform::MutexLock lock(mutex_);
  bool flushed = false;
  while (!thread.woken && !stopping_) {
    if (flushed) {
      thread.wake.Wait(mutex_);
    } else if (!thread.wake.WaitFor(mutex_, kFlushNanos)) {
      thread.Flush();
      flushed = true;
    }
  }
  if (!thread.woken) {
    std::erase(idle_, &thread);
    idle_count_.fetch_sub(1);
  }
  thread.woken = false;
  return !stopping_;
}

bool Scheduler::WaitForWorker(WorkerThread& thread) {
  thread.Flush();
  platform::MutexLock lock(mutex_);
  if (thread.worker.load(std::memory_order_relaxed) == nullptr) spare_.push_back(&thread);
  while (!stopping_ && thread.worker.load(std::memory_order_relaxed) == nullptr) {
    thread.wake.Wait(mutex_);
  }
  return !stopping_;
}

void Scheduler::GiveAway(Worker& worker) {
  {
    platform::MutexLock lock(mutex_);
    if (!spare_.empty()) {
      WorkerThread* thread = spare_.back();
      spare_.pop_back();
      thread->worker.store(&worker, std::memory_order_relaxed);  // under the mutex it waits with
      worker.thread = thread;
      thread->wake.NotifyOne();
      return;
    }
  }
  AddThread(&worker);
}

}  // namespace Atoll
