#ifndef ATOLL_TESTS_SAFEPOINT_TEST_MUTATORS_H_
#define ATOLL_TESTS_SAFEPOINT_TEST_MUTATORS_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "atoll/safepoint.h"
#include "safepoint/platform.h"

namespace Atoll::testing {

/// A mutator that counts what it is asked.
class TestMutator : public MutatorThread {
 public:
  explicit TestMutator(std::string name) : MutatorThread(std::move(name)) {}

  std::atomic<uint32_t> poll_bits{0};
  std::atomic<int> on_poll_calls{0};

 protected:
  void OnPoll(uint32_t client_bits) override {
    poll_bits.fetch_or(client_bits);
    on_poll_calls.fetch_add(1);
  }
};

/// Waits, without spinning for long, until `condition` holds.
template <typename Condition>
void WaitUntil(Condition condition) {
  while (!condition()) platform::YieldThread();
}

/// A mutator on a thread of its own that calls `step` in a loop, managed, until it is destroyed;
/// by default it polls.
class RunningMutator {
 public:
  RunningMutator(
      SafepointManager& manager, const std::string& name,
      std::function<void(TestMutator&)> step = [](TestMutator& m) { m.Poll(); })
      : mutator_(name), step_(std::move(step)) {
    thread_ = platform::Thread(name, [this, &manager] {
      const Status attached = manager.Attach(&mutator_);
      ATOLL_CHECK(attached.ok(), "%s", attached.message().c_str());
      mutator_.LeaveNative();
      running_ = true;  // not before: what is native counts as stopped
      while (!end_.load(std::memory_order_relaxed)) {
        steps_.store(steps_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        step_(mutator_);
      }
      const Status detached = manager.Detach(&mutator_);
      ATOLL_CHECK(detached.ok(), "%s", detached.message().c_str());
    });
    WaitUntil([this] { return running_.load(); });
  }
  ~RunningMutator() { End(); }

  void End() {
    if (!thread_.joinable()) return;
    end_ = true;
    thread_.Join();
  }

  TestMutator& mutator() { return mutator_; }
  uint64_t steps() const { return steps_.load(std::memory_order_relaxed); }

 private:
  TestMutator mutator_;
  std::function<void(TestMutator&)> step_;
  std::atomic<bool> running_{false};
  std::atomic<bool> end_{false};
  std::atomic<uint64_t> steps_{0};
  platform::Thread thread_;
};

/// The calling thread as a managed mutator for a scope.
class OwnMutator {
 public:
  OwnMutator(SafepointManager& manager, const std::string& name)
      : manager_(manager), mutator_(name) {
    const Status attached = manager_.Attach(&mutator_);
    ATOLL_CHECK(attached.ok(), "%s", attached.message().c_str());
    mutator_.LeaveNative();
  }
  ~OwnMutator() {
    const Status detached = manager_.Detach(&mutator_);
    ATOLL_CHECK(detached.ok(), "%s", detached.message().c_str());
  }
  TestMutator& mutator() { return mutator_; }

 private:
  SafepointManager& manager_;
  TestMutator mutator_;
};

/// Does the mutator stand still now? (Its state may be kManaged for a moment all the same, on its
/// way from native to being held.)
inline bool StandsStill(RunningMutator& running) {
  const uint64_t before = running.steps();
  for (int i = 0; i < 100; ++i) platform::YieldThread();
  return running.steps() == before;
}

inline void PollAndVisitNative(TestMutator& mutator) {
  mutator.Poll();
  NativeScope native(mutator);
}

}  // namespace Atoll::testing

#endif  // ATOLL_TESTS_SAFEPOINT_TEST_MUTATORS_H_
