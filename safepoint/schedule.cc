#include "safepoint/schedule.h"

#include "safepoint/schedule_hooks.h"

#if ATOLL_SCHEDULES

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <semaphore>
#include <utility>

namespace Atoll {

namespace {

class Engine;

enum class ThreadStatus : uint8_t { kRunnable, kBlocked, kTimed, kFinished };

}  // namespace

namespace platform::schedule {

/// A scheduled thread. All fields belong to whichever thread runs; the baton passes that right on.
struct Child {
  Engine* engine = nullptr;
  int index = 0;
  ThreadStatus status = ThreadStatus::kRunnable;
  const void* blocked_on = nullptr;
  uint64_t deadline = 0;
  bool timed_out = false;
  const char* last_point = "start";
  std::function<void()> entry;  // of Run's threads
  pthread_t thread{};
  std::binary_semaphore baton{0};
};

}  // namespace platform::schedule

namespace {

using platform::schedule::Child;

// Is any engine running? Relaxed: a thread that matters was started by the engine, after the store.
std::atomic<bool> any_engine{false};
thread_local Child* current_child = nullptr;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  size_t Below(size_t n) { return static_cast<size_t>(Next() % n); }

 private:
  uint64_t state_;
};

/// One run. Lives on the heap, and stays there when its threads are stuck.
class Engine {
 public:
  Engine(uint64_t seed, uint64_t max_steps) : random_(seed), max_steps_(max_steps) {
    // Some bugs need many switches, some need few: a seed decides how often, on average, the
    // running thread goes on at a point.
    constexpr uint32_t kStay[] = {0, 50, 75, 90};
    stay_percent_ = kStay[random_.Below(std::size(kStay))];
  }

  Child* Add(std::function<void()> entry) {
    auto child = std::make_unique<Child>();
    child->engine = this;
    child->index = static_cast<int>(children_.size());
    child->entry = std::move(entry);
    children_.push_back(std::move(child));
    return children_.back().get();
  }

  SeededScheduler::Outcome Run() {
    const size_t own = children_.size();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    // All on one core: handing the baton over is then a switch, not a wake-up of another core.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(std::max(0, sched_getcpu()), &one);
    pthread_attr_setaffinity_np(&attributes, sizeof one, &one);
    for (size_t i = 0; i < own; ++i) {
      Child* child = children_[i].get();
      const int error = pthread_create(&child->thread, &attributes, &Engine::Main, child);
      ATOLL_CHECK(error == 0, "cannot start a scheduled thread: %s", strerror(error));
    }
    pthread_attr_destroy(&attributes);
    PassOn(nullptr);
    done_.acquire();
    for (size_t i = 0; i < own; ++i) {
      if (outcome_.finished) {
        pthread_join(children_[i]->thread, nullptr);
      } else {
        pthread_detach(children_[i]->thread);
      }
    }
    return std::move(outcome_);
  }

  void Point(Child* self, const char* name, bool others_first) {
    Note(self, name);
    yielding_ = others_first;
    SwitchFrom(self);
  }

  bool Block(Child* self, const void* address, const char* name, bool timed, uint64_t nanos) {
    Note(self, name);
    self->status = timed ? ThreadStatus::kTimed : ThreadStatus::kBlocked;
    self->blocked_on = address;
    self->deadline = now_ + nanos;
    self->timed_out = false;
    SwitchFrom(self);
    return !self->timed_out;
  }

  void Wake(const void* address, bool all) {
    std::vector<Child*> waiting;
    for (auto& child : children_) {
      const bool waits =
          child->status == ThreadStatus::kBlocked || child->status == ThreadStatus::kTimed;
      if (waits && child->blocked_on == address) waiting.push_back(child.get());
    }
    if (waiting.empty()) return;
    if (!all) waiting = {waiting[random_.Below(waiting.size())]};
    for (Child* child : waiting) child->status = ThreadStatus::kRunnable;
  }

  uint64_t Now() { return now_ += kNanosPerStep; }

  void Finish(Child* self) {
    Note(self, "end");
    self->status = ThreadStatus::kFinished;
    Wake(self, true);
    current_child = nullptr;
    PassOn(nullptr);
  }

 private:
  static constexpr uint64_t kNanosPerStep = 500;

  static void* Main(void* argument) {
    Child* self = static_cast<Child*>(argument);
    platform::schedule::RunChild(self, self->entry);
    return nullptr;
  }

  void Note(Child* self, const char* name) {
    self->last_point = name;
    outcome_.trace.push_back({self->index, name});
    now_ += kNanosPerStep;
  }

  void SwitchFrom(Child* self) {
    if (PassOn(self)) return;
    self->baton.acquire();
  }

  /// Lets the next thread run; true when that is `self`.
  bool PassOn(Child* self) {
    if (outcome_.trace.size() >= max_steps_) {
      GiveUp("no end after " + std::to_string(max_steps_) + " steps");
      return false;
    }
    Child* next = Choose(self);
    yielding_ = false;
    if (next == nullptr) {
      const bool finished = std::all_of(children_.begin(), children_.end(), [](const auto& child) {
        return child->status == ThreadStatus::kFinished;
      });
      if (finished) {
        outcome_.finished = true;
        done_.release();
      } else {
        GiveUp("deadlock: no thread can go on");
      }
      return false;
    }
    if (next == self) return true;
    next->baton.release();
    return false;
  }

  Child* Choose(Child* self) {
    std::vector<Child*> runnable;
    std::vector<Child*> timed;
    for (auto& child : children_) {
      if (child->status == ThreadStatus::kRunnable) runnable.push_back(child.get());
      if (child->status == ThreadStatus::kTimed) timed.push_back(child.get());
    }
    if (yielding_ && runnable.size() > 1) std::erase(runnable, self);
    // A timeout may come at any moment; it must come when nothing else can happen.
    if (!timed.empty() && (runnable.empty() || random_.Below(16) == 0)) {
      Child* child = runnable.empty() ? *std::min_element(timed.begin(), timed.end(),
                                                          [](const Child* a, const Child* b) {
                                                            return a->deadline < b->deadline;
                                                          })
                                      : timed[random_.Below(timed.size())];
      now_ = std::max(now_, child->deadline);
      child->status = ThreadStatus::kRunnable;
      child->timed_out = true;
      return child;
    }
    if (runnable.empty()) return nullptr;
    const bool may_stay = self != nullptr && self->status == ThreadStatus::kRunnable && !yielding_;
    if (may_stay && random_.Below(100) < stay_percent_) return self;
    return runnable[random_.Below(runnable.size())];
  }

  /// Ends the run without its threads, which stay where they are for good.
  void GiveUp(const std::string& why) {
    outcome_.finished = false;
    outcome_.report = why;
    for (auto& child : children_) {
      const char* status = child->status == ThreadStatus::kRunnable  ? "can run"
                           : child->status == ThreadStatus::kBlocked ? "blocked"
                           : child->status == ThreadStatus::kTimed   ? "waits for time"
                                                                     : "has ended";
      outcome_.report += "\n  thread " + std::to_string(child->index) + " " + status +
                         ", last at: " + child->last_point;
    }
    done_.release();
  }

  Random random_;
  const uint64_t max_steps_;
  uint32_t stay_percent_ = 0;
  bool yielding_ = false;
  uint64_t now_ = 1'000'000;
  std::vector<std::unique_ptr<Child>> children_;
  SeededScheduler::Outcome outcome_;
  std::binary_semaphore done_{0};
};

}  // namespace

namespace platform::schedule {

bool Active() { return any_engine.load(std::memory_order_relaxed) && current_child != nullptr; }

void Point(const char* name) {
  if (Active()) current_child->engine->Point(current_child, name, false);
}

void Yield(const char* name) { current_child->engine->Point(current_child, name, true); }

uint64_t Now() { return current_child->engine->Now(); }

void Block(const void* address, const char* name) {
  current_child->engine->Block(current_child, address, name, false, 0);
}

bool BlockFor(const void* address, uint64_t nanos, const char* name) {
  return current_child->engine->Block(current_child, address, name, true, nanos);
}

void WakeOne(const void* address) { current_child->engine->Wake(address, false); }
void WakeAll(const void* address) { current_child->engine->Wake(address, true); }

Child* AddChild() { return current_child->engine->Add({}); }

void RunChild(Child* child, const std::function<void()>& entry) {
  child->baton.acquire();
  current_child = child;
  entry();
  child->engine->Finish(child);
}

void JoinChild(Child* child) {
  Point("join thread");
  while (child->status != ThreadStatus::kFinished) Block(child, "wait for thread's end");
}

}  // namespace platform::schedule

bool SeededScheduler::Step::operator==(const Step& other) const {
  return thread == other.thread && strcmp(point, other.point) == 0;
}

SeededScheduler::Outcome SeededScheduler::Run(uint64_t seed,
                                              std::vector<std::function<void()>> threads) {
  auto engine = std::make_unique<Engine>(seed, max_steps_);
  for (auto& thread : threads) engine->Add(std::move(thread));
  ATOLL_CHECK(!any_engine.exchange(true), "two seeded schedulers run at once");
  Outcome outcome = engine->Run();
  any_engine.store(false);
  if (!outcome.finished) static_cast<void>(engine.release());  // its threads are stuck in it
  return outcome;
}

std::string SeededScheduler::Format(const std::vector<Step>& trace, size_t last) {
  std::string text;
  for (size_t i = trace.size() > last ? trace.size() - last : 0; i < trace.size(); ++i) {
    text += "  thread " + std::to_string(trace[i].thread) + ": " + trace[i].point + "\n";
  }
  return text;
}

bool UnderSeededScheduler() { return platform::schedule::Active(); }

}  // namespace Atoll

#else

namespace Atoll::platform::schedule {

void Point(const char*) {}

}  // namespace Atoll::platform::schedule

#endif  // ATOLL_SCHEDULES
