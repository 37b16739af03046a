#include "isolate/monitor.h"

#include <algorithm>

#include "heap/heap_state.h"
#include "isolate/group_state.h"

namespace Atoll {
namespace {

constexpr uint64_t kShortestNanos = 20'000;
constexpr uint64_t kLongestNanos = 10'000'000;
// Turns end after 200 us, unless one message takes longer.
constexpr uint64_t kLongTurnNanos = 1'000'000;
constexpr int kLooksBeforeSlower = 50;
// The second time gives back what was not needed since the first.
constexpr uint64_t kTrimNanos = 300'000'000;
constexpr int kTrims = 2;
constexpr uint64_t kNever = BlockPool::kNever;

}  // namespace

void Monitor::Start() {
  thread_ = platform::Thread("atoll-monitor", [this] { Main(); });
}

void Monitor::Stop() {
  {
    platform::MutexLock lock(mutex_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.Join();
}

void Monitor::NoteBusy() {
  // Sequentially consistent, against Main: it is asleep before it looks whether all are idle, and
  // the caller is not idle before it looks whether it is asleep.
  if (!asleep_.load()) return;
  platform::MutexLock lock(mutex_);
  asleep_.store(false);
  wake_.NotifyAll();
}

void Monitor::Main() {
  std::vector<Seen> seen(group_.scheduler.workers().size());
  uint64_t delay = kShortestNanos;
  int looks_without_work = 0;
  platform::MutexLock lock(mutex_);
  while (!stopping_) {
    asleep_.store(true);
    if (group_.scheduler.is_idle() && group_.homeless.empty()) {
      WhileIdle();
      delay = kShortestNanos;
      looks_without_work = 0;
    }
    asleep_.store(false);
    if (stopping_) return;
    wake_.WaitFor(mutex_, delay);
    if (stopping_) return;
    mutex_.Unlock();
    bool did_any = group_.HouseTheHomeless();
    for (size_t i = 0; i < seen.size(); ++i) {
      did_any |= Look(*group_.scheduler.workers()[i], seen[i]);
    }
    if (platform::NowNanos() >= next_decay_) Decay(/*may_be_freed=*/true);
    mutex_.Lock();
    if (did_any) {
      delay = kShortestNanos;
      looks_without_work = 0;
    } else if (++looks_without_work > kLooksBeforeSlower) {
      delay = std::min(delay * 2, kLongestNanos);
    }
  }
}

void Monitor::WhileIdle() {
  int trims = 0;
  next_decay_ = 0;
  while (asleep_.load() && !stopping_) {
    uint64_t nanos = kTrimNanos;
    if (trims == kTrims) {
      if (next_decay_ == kNever) {
        wake_.Wait(mutex_);
        continue;
      }
      const uint64_t now = platform::NowNanos();
      nanos = next_decay_ > now ? next_decay_ - now : 0;
    }
    if (nanos != 0 && wake_.WaitFor(mutex_, nanos)) continue;
    mutex_.Unlock();
    if (trims < kTrims) {
      group_.Trim();
      ++trims;
    }
    // Relaxed: who enters calls NoteBusy afterwards.
    Decay(/*may_be_freed=*/group_.entered_threads.load(std::memory_order_relaxed) != 0);
    mutex_.Lock();
  }
}

void Monitor::Decay(bool may_be_freed) {
  uint64_t after = group_.heap->state().pool.Decay();
  if (may_be_freed) {
    after = std::min(after, std::max(group_.options.heap.decay_nanos, kLongestNanos));
  }
  const uint64_t now = platform::NowNanos();
  next_decay_ = after > kNever - now ? kNever : now + after;
}

bool Monitor::Look(Worker& worker, Seen& seen) {
  // Relaxed, but for what is followed: a look, see Worker.
  const uint64_t turns = worker.turns.load(std::memory_order_relaxed);
  IsolateRecord* const next = worker.next.load(std::memory_order_relaxed);
  Residence* const running = worker.running.load(std::memory_order_acquire);
  // Who is stopped at a safepoint is not away: a new thread would be stopped as well.
  const MutatorState state =
      running == nullptr ? MutatorState::kManaged : running->mutator().state();
  const bool is_away = state == MutatorState::kNative || state == MutatorState::kBlocked;
  const bool same_turn = turns == seen.turns;
  bool did_any = false;
  if (same_turn && is_away && seen.was_away) did_any = HandOn(worker, *running);
  if (!did_any && same_turn && next != nullptr && next == seen.next) {
    did_any = group_.scheduler.ShareNext(worker);
  }
  if (same_turn && !worker.queue.seems_empty()) group_.scheduler.WakeOneIfNeeded();
  const uint64_t now = platform::NowNanos();
  const uint64_t since = same_turn ? seen.since : now;
  if (running != nullptr && now - since > kLongTurnNanos && !worker.kept.seems_empty()) {
    group_.scheduler.ReleaseKept(worker);
    did_any = true;
  }
  seen = {turns, is_away && !did_any, next, since};
  return did_any;
}

bool Monitor::HandOn(Worker& worker, Residence& residence) {
  bool taken = false;
  // One that has come back meanwhile may not poll for long: it is not waited for.
  group_.heap->safepoints().TryHandshake(residence.mutator(), [&](MutatorThread&) {
    // It is held, so its thread can not be using the worker, if the turn is still this residence's.
    if (worker.running.load(std::memory_order_relaxed) != &residence) return;
    worker.running.store(nullptr, std::memory_order_relaxed);
    worker.thread->worker.store(nullptr, std::memory_order_relaxed);
    worker.thread = nullptr;
    taken = true;
  });
  if (taken) group_.scheduler.GiveAway(worker);
  return taken;
}

}  // namespace Atoll
