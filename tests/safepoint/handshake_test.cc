#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/safepoint/test_mutators.h"

namespace Atoll {
namespace {

using testing::OwnMutator;
using testing::RunningMutator;
using testing::TestMutator;
using testing::WaitUntil;

TEST(Handshake, RunsOnAManagedTargetsThread) {
  SafepointManager manager;
  RunningMutator target(manager, "target");
  WaitUntil([&] { return target.mutator().state() == MutatorState::kManaged; });
  int runs = 0;
  for (int i = 0; i < 100; ++i) {
    manager.Handshake(target.mutator(), [&](MutatorThread& mutator) {
      EXPECT_EQ(&mutator, &target.mutator());
      EXPECT_EQ(MutatorThread::Current(), &target.mutator());
      EXPECT_EQ(mutator.state(), MutatorState::kManaged);
      ++runs;
    });
  }
  EXPECT_EQ(runs, 100);
  EXPECT_EQ(manager.stats().handshakes, 100u);
  EXPECT_EQ(target.mutator().stops_asked(), 0u);
  EXPECT_FALSE(target.mutator().PollPending());
}

TEST(Handshake, RunsOnTheRequesterForANativeTargetAndHoldsItsReturn) {
  SafepointManager manager;
  std::atomic<bool> leave{false};
  std::atomic<bool> back{false};
  RunningMutator target(manager, "target", [&](TestMutator& mutator) {
    if (back) return mutator.Poll();
    mutator.EnterNative();
    WaitUntil([&] { return leave.load(); });
    mutator.LeaveNative();
    back = true;
  });
  WaitUntil([&] { return target.mutator().state() == MutatorState::kNative; });
  OwnMutator own(manager, "own");
  bool ran = false;
  manager.Handshake(target.mutator(), [&](MutatorThread& mutator) {
    ran = true;
    EXPECT_EQ(MutatorThread::Current(), &own.mutator());
    EXPECT_EQ(own.mutator().state(), MutatorState::kManaged);
    EXPECT_NE(mutator.state(), MutatorState::kManaged);
    leave = true;
    for (int i = 0; i < 1000; ++i) platform::YieldThread();
    EXPECT_FALSE(back);
  });
  EXPECT_TRUE(ran);
  WaitUntil([&] { return back.load(); });
}

TEST(Handshake, WithOneselfRunsDirectly) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  int runs = 0;
  const auto fn = [&](MutatorThread& mutator) {
    EXPECT_EQ(mutator.state(), MutatorState::kManaged);
    ++runs;
  };
  manager.Handshake(own.mutator(), fn);
  {
    NativeScope native(own.mutator());
    manager.Handshake(own.mutator(), fn);
    EXPECT_EQ(own.mutator().state(), MutatorState::kNative);
  }
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(manager.stats().handshakes, 2u);
}

TEST(Handshake, InsideAStopRunsOnTheRequester) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  RunningMutator target(manager, "target");
  int runs = 0;
  const auto shake = [&](const StoppedScope&) {
    manager.Handshake(target.mutator(), [&](MutatorThread&) {
      EXPECT_EQ(MutatorThread::Current(), &own.mutator());
      ++runs;
    });
  };
  EXPECT_TRUE(manager.RunWithMutatorsStopped(SafepointLevel::kGC, "test", shake).ok());
  MutatorThread* const set[] = {&target.mutator()};
  manager.StopMutators(set, "test", shake);
  EXPECT_EQ(runs, 2);
}

TEST(Handshake, WaitsForTheStopThatHoldsTheTarget) {
  SafepointManager manager;
  RunningMutator target(manager, "target");
  std::atomic<bool> asked{false};
  std::atomic<bool> ran{false};
  platform::Thread shaker;
  MutatorThread* const set[] = {&target.mutator()};
  manager.StopMutators(set, "test", [&](const StoppedScope&) {
    shaker = platform::Thread("shaker", [&] {
      asked = true;
      manager.Handshake(target.mutator(), [&](MutatorThread&) { ran = true; });
    });
    WaitUntil([&] { return asked.load(); });
    for (int i = 0; i < 1000; ++i) platform::YieldThread();
    EXPECT_FALSE(ran);
  });
  shaker.Join();
  EXPECT_TRUE(ran);
}

TEST(Handshake, MutatorsShakeHandsWithEachOther) {
  constexpr int kThreads = 3;
  constexpr int kRounds = ATOLL_TSAN ? 200 : 500;
  SafepointManager manager;
  std::vector<std::unique_ptr<TestMutator>> mutators;
  int counters[kThreads] = {};  // each touched at its mutator's safepoints only
  for (int t = 0; t < kThreads; ++t) {
    mutators.push_back(std::make_unique<TestMutator>("m" + std::to_string(t)));
    ASSERT_TRUE(manager.Attach(mutators.back().get()).ok());
  }
  std::vector<platform::Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back("shaker", [&, t] {
      mutators[t]->LeaveNative();
      for (int i = 0; i < kRounds; ++i) {
        for (int other = 0; other < kThreads; ++other) {
          manager.Handshake(*mutators[other], [&](MutatorThread&) { ++counters[other]; });
        }
        if (i % 3 == t) {
          NativeScope native(*mutators[t]);
        }
      }
      mutators[t]->EnterNative();
      MutatorThread::ClearCurrent();
    });
  }
  for (platform::Thread& thread : threads) thread.Join();
  for (int t = 0; t < kThreads; ++t) {
    EXPECT_EQ(counters[t], kThreads * kRounds);
    ASSERT_TRUE(manager.Detach(mutators[t].get()).ok());
  }
  EXPECT_EQ(manager.stats().handshakes, static_cast<uint64_t>(kThreads * kThreads * kRounds));
}

TEST(Handshake, AmidStopsOfAllKinds) {
  constexpr int kRounds = ATOLL_TSAN ? 200 : 500;
  SafepointManager manager;
  RunningMutator target(manager, "target", [](TestMutator& mutator) {
    mutator.Poll();
    NativeScope native(mutator);
  });
  int counter = 0;  // touched only while the target is at a safepoint
  std::vector<platform::Thread> threads;
  threads.emplace_back("foreign", [&] {
    for (int i = 0; i < kRounds; ++i) {
      manager.Handshake(target.mutator(), [&](MutatorThread&) { ++counter; });
    }
  });
  threads.emplace_back("group", [&] {
    OwnMutator own(manager, "group");
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_TRUE(manager
                      .RunWithMutatorsStopped(SafepointLevel::kGC, "test",
                                              [&](const StoppedScope&) { ++counter; })
                      .ok());
    }
  });
  threads.emplace_back("set", [&] {
    OwnMutator own(manager, "set");
    MutatorThread* const set[] = {&target.mutator(), &own.mutator()};
    for (int i = 0; i < kRounds; ++i) {
      manager.StopMutators(set, "test", [&](const StoppedScope&) { ++counter; });
    }
  });
  for (platform::Thread& thread : threads) thread.Join();
  EXPECT_EQ(counter, 3 * kRounds);
}

TEST(Handshake, WithAllRunsOnceOnEach) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  RunningMutator running(manager, "running");
  RunningMutator native(manager, "native", [](TestMutator& mutator) {
    NativeScope scope(mutator);
    platform::YieldThread();
  });
  TestMutator idle("idle");
  ASSERT_TRUE(manager.Attach(&idle).ok());
  std::mutex mutex;
  std::map<MutatorThread*, int> times;
  for (int round = 1; round <= 100; ++round) {
    manager.HandshakeAll([&](MutatorThread& mutator) {
      std::lock_guard lock(mutex);
      ++times[&mutator];
    });
    const std::map<MutatorThread*, int> expected = {{&own.mutator(), round},
                                                    {&running.mutator(), round},
                                                    {&native.mutator(), round},
                                                    {&idle, round}};
    ASSERT_EQ(times, expected);
  }
  EXPECT_EQ(manager.stats().group_stops, 0u);
  ASSERT_TRUE(manager.Detach(&idle).ok());
}

TEST(Handshake, WithAllWhileMutatorsComeAndGo) {
  constexpr int kRounds = ATOLL_TSAN ? 200 : 1'000;
  SafepointManager manager;
  std::atomic<bool> done{false};
  std::vector<platform::Thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back("comes and goes", [&] {
      while (!done.load()) {
        OwnMutator own(manager, "guest");
        for (int poll = 0; poll < 5; ++poll) own.mutator().Poll();
      }
    });
  }
  std::vector<platform::Thread> requesters;
  std::atomic<uint64_t> ran{0};
  for (const bool is_mutator : {true, false}) {
    requesters.emplace_back("requester", [&, is_mutator] {
      std::unique_ptr<OwnMutator> own;
      if (is_mutator) own = std::make_unique<OwnMutator>(manager, "requester");
      for (int round = 0; round < kRounds; ++round) {
        manager.HandshakeAll([&](MutatorThread&) { ran.fetch_add(1); });
      }
    });
  }
  for (platform::Thread& thread : requesters) thread.Join();
  done.store(true);
  for (platform::Thread& thread : threads) thread.Join();
  EXPECT_GE(ran.load(), static_cast<uint64_t>(kRounds));
  EXPECT_EQ(manager.stats().handshakes, ran.load());
}

TEST(Handshake, TheWatchdogWatchesItToo) {
  std::atomic<bool> reported{false};
  SafepointOptions options;
  options.watchdog_nanos = 1'000'000;
  options.watchdog = [&](const std::string& name, uint64_t) {
    EXPECT_EQ(name, "sleeper");
    reported = true;
  };
  SafepointManager manager(options);
  RunningMutator sleeper(manager, "sleeper", [&](TestMutator& mutator) {
    WaitUntil([&] { return reported.load(); });
    mutator.Poll();
  });
  bool ran = false;
  manager.Handshake(sleeper.mutator(), [&](MutatorThread&) { ran = true; });
  EXPECT_TRUE(ran);
}

TEST(TryHandshake, RunsForWhoIsAwayAndHoldsItsReturn) {
  SafepointManager manager;
  std::atomic<bool> leave{false};
  std::atomic<bool> back{false};
  RunningMutator target(manager, "target", [&](TestMutator& mutator) {
    if (back) return mutator.Poll();
    mutator.EnterNative();
    WaitUntil([&] { return leave.load(); });
    mutator.LeaveNative();
    back = true;
  });
  WaitUntil([&] { return target.mutator().state() == MutatorState::kNative; });
  bool ran = false;
  EXPECT_TRUE(manager.TryHandshake(target.mutator(), [&](MutatorThread& mutator) {
    ran = true;
    EXPECT_EQ(&mutator, &target.mutator());
    leave = true;
    for (int i = 0; i < 1000; ++i) platform::YieldThread();
    EXPECT_FALSE(back);
  }));
  EXPECT_TRUE(ran);
  WaitUntil([&] { return back.load(); });
  EXPECT_EQ(manager.stats().handshakes, 1u);
  EXPECT_FALSE(target.mutator().PollPending());
}

TEST(TryHandshake, WaitsNeitherForWhoRunsNorForWhoIsHeld) {
  SafepointManager manager;
  std::atomic<bool> done{false};
  RunningMutator target(manager, "target", [&](TestMutator& mutator) {
    // Does not poll.
    WaitUntil([&] { return done.load(); });
    mutator.Poll();
  });
  WaitUntil([&] { return target.mutator().state() == MutatorState::kManaged; });
  const auto must_not_run = [](MutatorThread&) { ADD_FAILURE(); };
  EXPECT_FALSE(manager.TryHandshake(target.mutator(), must_not_run));
  EXPECT_FALSE(target.mutator().PollPending());
  done = true;
  MutatorThread* const targets[] = {&target.mutator()};
  manager.StopMutators(targets, "test", [&](const StoppedScope&) {
    EXPECT_FALSE(manager.TryHandshake(target.mutator(), must_not_run));
  });
  EXPECT_FALSE(target.mutator().PollPending());
}

// Against stops, handshakes and transitions of all kinds: what runs while a mutator is held is
// alone with it.
TEST(TryHandshake, AmongStopsAndTransitions) {
  SafepointManager manager;
  uint64_t owned = 0;  // by who is managed, or holds the target
  RunningMutator target(manager, "target", [&](TestMutator& mutator) {
    const uint64_t spins = ++owned % 64;
    mutator.EnterNative();
    for (uint64_t i = 0; i < spins; ++i) platform::SpinPause();
    mutator.LeaveNative();
    mutator.Poll();
  });
  std::atomic<bool> stop{false};
  uint64_t done = 0;
  platform::Thread other("other", [&] {
    MutatorThread* const targets[] = {&target.mutator()};
    while (!stop.load()) {
      manager.StopMutators(targets, "test", [&](const StoppedScope&) { ++owned; });
      manager.Handshake(target.mutator(), [&](MutatorThread&) { ++owned; });
    }
  });
  // Until the target was seen away at least once, which a busy machine may put off.
  for (int i = 0; i < 5'000 || done == 0; ++i) {
    if (manager.TryHandshake(target.mutator(), [&](MutatorThread&) { ++owned; })) ++done;
  }
  stop = true;
  other.Join();
  target.End();
  EXPECT_GE(owned, done);
}

// A requester that waits for another's function parks; the watchdog tells of it.
TEST(Handshake, OneThatWaitsForAnothersFunctionIsReported) {
  std::atomic<bool> reported{false};
  std::atomic<bool> first_runs{false};
  SafepointOptions options;
  options.watchdog_nanos = 1'000'000;
  options.watchdog = [&](const std::string&, uint64_t) { reported = true; };
  SafepointManager manager(options);
  TestMutator sleeper("sleeper");
  ASSERT_TRUE(manager.Attach(&sleeper).ok());
  platform::Thread first("first", [&] {
    manager.Handshake(sleeper, [&](MutatorThread&) {
      first_runs = true;
      WaitUntil([&] { return reported.load(); });
    });
  });
  WaitUntil([&] { return first_runs.load(); });
  int shaken = 0;
  manager.Handshake(sleeper, [&](MutatorThread&) { ++shaken; });
  first.Join();
  EXPECT_EQ(shaken, 1);
  ASSERT_TRUE(manager.Detach(&sleeper).ok());
}

}  // namespace
}  // namespace Atoll
