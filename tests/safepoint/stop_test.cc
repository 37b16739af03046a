// StopMutators and RunWithMutatorsStopped: who is stopped, levels, nesting, overlaps, statistics.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/safepoint/test_mutators.h"

namespace Atoll {
namespace {

using testing::OwnMutator;
using testing::PollAndVisitNative;
using testing::RunningMutator;
using testing::StandsStill;
using testing::TestMutator;
using testing::WaitUntil;

TEST(Stop, ASetStopsItsMembersAndNobodyElse) {
  SafepointManager manager;
  RunningMutator inside(manager, "inside");
  RunningMutator outside(manager, "outside");
  MutatorThread* const set[] = {&inside.mutator()};
  bool ran = false;
  manager.StopMutators(set, "test", [&](const StoppedScope& scope) {
    ran = true;
    EXPECT_FALSE(scope.whole_group());
    EXPECT_EQ(scope.level(), SafepointLevel::kGC);
    EXPECT_EQ(&scope.manager(), &manager);
    EXPECT_TRUE(StandsStill(inside));
    const uint64_t before = outside.steps();
    WaitUntil([&] { return outside.steps() > before + 10; });
  });
  EXPECT_TRUE(ran);
  const uint64_t before = inside.steps();
  WaitUntil([&] { return inside.steps() > before; });
  EXPECT_EQ(inside.mutator().stops_asked(), 1u);
  EXPECT_EQ(outside.mutator().stops_asked(), 0u);
  EXPECT_EQ(manager.group_stops(), 0u);
  EXPECT_EQ(manager.stats().set_stops, 1u);
}

TEST(Stop, TheRequesterIsSkippedAndManagedInsideFn) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  RunningMutator other(manager, "other");
  MutatorThread* const set[] = {&own.mutator(), &other.mutator()};
  manager.StopMutators(set, "test", [&](const StoppedScope&) {
    EXPECT_EQ(own.mutator().state(), MutatorState::kManaged);
    EXPECT_TRUE(StandsStill(other));
  });
  EXPECT_EQ(own.mutator().state(), MutatorState::kManaged);
  EXPECT_EQ(own.mutator().stops_asked(), 0u);
  EXPECT_EQ(other.mutator().stops_asked(), 1u);
}

TEST(Stop, ANativeRequesterIsManagedInsideFnAndNativeAfter) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  RunningMutator other(manager, "other");
  {
    NativeScope native(own.mutator());
    const Status status =
        manager.RunWithMutatorsStopped(SafepointLevel::kGC, "test", [&](const StoppedScope&) {
          EXPECT_EQ(own.mutator().state(), MutatorState::kManaged);
          EXPECT_TRUE(StandsStill(other));
        });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(own.mutator().state(), MutatorState::kNative);
  }
}

TEST(Stop, OfOneselfAloneRunsAtOnce) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  MutatorThread* const set[] = {&own.mutator()};
  bool ran = false;
  manager.StopMutators(set, "test", [&](const StoppedScope&) { ran = true; });
  manager.StopMutators({}, "test", [&](const StoppedScope&) {});
  EXPECT_TRUE(ran);
  EXPECT_EQ(manager.stats().count, 0u);
}

TEST(Stop, ANativeMutatorIsHeldUntilTheEnd) {
  SafepointManager manager;
  std::atomic<bool> leave{false};
  std::atomic<bool> back{false};
  RunningMutator visitor(manager, "visitor", [&](TestMutator& mutator) {
    mutator.EnterNative();
    WaitUntil([&] { return leave.load(); });
    mutator.LeaveNative();
    back = true;
  });
  WaitUntil([&] { return visitor.mutator().state() == MutatorState::kNative; });
  MutatorThread* const set[] = {&visitor.mutator()};
  manager.StopMutators(set, "test", [&](const StoppedScope&) {
    leave = true;
    for (int i = 0; i < 1000; ++i) platform::YieldThread();
    EXPECT_FALSE(back);
  });
  WaitUntil([&] { return back.load(); });
}

TEST(Stop, AMutatorThatEntersNativeInsteadOfPollingIsNoticed) {
  SafepointOptions options;
  options.watchdog_nanos = 0;  // nothing but the arrival itself may wake the requester
  SafepointManager manager(options);
  RunningMutator worker(manager, "worker", [](TestMutator& mutator) {
    const uint64_t end = platform::NowNanos() + 3'000'000;  // longer than a requester spins
    while (platform::NowNanos() < end) {
    }
    NativeScope native(mutator);
  });
  MutatorThread* const set[] = {&worker.mutator()};
  for (int i = 0; i < 20; ++i) {
    manager.StopMutators(set, "test",
                         [&](const StoppedScope&) { EXPECT_TRUE(StandsStill(worker)); });
  }
}

TEST(GroupStop, StopsAllAndCounts) {
  SafepointManager manager;
  RunningMutator a(manager, "a");
  RunningMutator b(manager, "b", PollAndVisitNative);
  EXPECT_EQ(manager.current_reason(), nullptr);
  for (int i = 0; i < 50; ++i) {
    const Status status = manager.RunWithMutatorsStopped(
        SafepointLevel::kReload, "a reason", [&](const StoppedScope& scope) {
          EXPECT_TRUE(scope.whole_group());
          EXPECT_EQ(scope.level(), SafepointLevel::kReload);
          EXPECT_STREQ(manager.current_reason(), "a reason");
          EXPECT_NE(a.mutator().state(), MutatorState::kManaged);  // it has answered a poll
          if (i == 0) {
            EXPECT_TRUE(StandsStill(a));
            EXPECT_TRUE(StandsStill(b));
          }
        });
    EXPECT_TRUE(status.ok());
  }
  EXPECT_EQ(manager.group_stops(), 50u);
  EXPECT_EQ(a.mutator().stops_asked(), 50u);
  const TimeToSafepointStats stats = manager.stats();
  EXPECT_EQ(stats.count, 50u);
  EXPECT_EQ(stats.group_stops, 50u);
  EXPECT_EQ(stats.set_stops, 0u);
  EXPECT_LE(stats.p50_nanos, stats.p99_nanos);
  EXPECT_LE(stats.p99_nanos, stats.max_nanos);
  EXPECT_EQ(stats.histogram.Count(), 50u);
}

TEST(GroupStop, LevelsNestDownwards) {
  SafepointManager manager;
  RunningMutator other(manager, "other");
  std::vector<SafepointLevel> seen;
  const auto nest = [&](SafepointLevel level, auto&& then) {
    return manager.RunWithMutatorsStopped(level, "test", [&](const StoppedScope& scope) {
      seen.push_back(scope.level());
      EXPECT_TRUE(scope.whole_group());
      then();
    });
  };
  const Status status = nest(SafepointLevel::kReload, [&] {
    EXPECT_TRUE(nest(SafepointLevel::kReload, [&] {
                  EXPECT_TRUE(nest(SafepointLevel::kGC, [] {}).ok());
                }).ok());
    EXPECT_TRUE(nest(SafepointLevel::kDeopt, [] {}).ok());
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(seen, (std::vector<SafepointLevel>{SafepointLevel::kReload, SafepointLevel::kReload,
                                               SafepointLevel::kGC, SafepointLevel::kDeopt}));
  EXPECT_EQ(manager.group_stops(), 1u);
  EXPECT_EQ(other.mutator().stops_asked(), 1u);
}

TEST(GroupStop, AHigherLevelInsideALowerOneIsAnErrorThatNamesBoth) {
  SafepointManager manager;
  Status inner;
  bool ran = false;
  const Status outer =
      manager.RunWithMutatorsStopped(SafepointLevel::kGC, "outer", [&](const StoppedScope&) {
        inner = manager.RunWithMutatorsStopped(SafepointLevel::kReload, "inner",
                                               [&](const StoppedScope&) { ran = true; });
      });
  EXPECT_TRUE(outer.ok());
  EXPECT_FALSE(ran);
  EXPECT_EQ(inner.code(), StatusCode::kFailedPrecondition);
  for (const char* part : {"kReload", "kGC", "inner", "ask for kReload in the outermost stop"}) {
    EXPECT_NE(inner.message().find(part), std::string::npos) << inner.message();
  }
  // Measured against the innermost level, and over when that is over.
  const Status reload =
      manager.RunWithMutatorsStopped(SafepointLevel::kReload, "outer", [&](const StoppedScope&) {
        EXPECT_TRUE(manager
                        .RunWithMutatorsStopped(SafepointLevel::kGC, "middle",
                                                [&](const StoppedScope&) {
                                                  inner = manager.RunWithMutatorsStopped(
                                                      SafepointLevel::kDeopt, "in",
                                                      [](const StoppedScope&) {});
                                                })
                        .ok());
        EXPECT_FALSE(inner.ok());
        inner = manager.RunWithMutatorsStopped(SafepointLevel::kDeopt, "in",
                                               [](const StoppedScope&) {});
        EXPECT_TRUE(inner.ok());
      });
  EXPECT_TRUE(reload.ok());
}

TEST(GroupStop, InsideAStopOfASet) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  RunningMutator a(manager, "a");
  RunningMutator b(manager, "b");
  MutatorThread* const set[] = {&a.mutator()};
  int runs = 0;
  manager.StopMutators(set, "set", [&](const StoppedScope&) {
    EXPECT_EQ(
        manager
            .RunWithMutatorsStopped(SafepointLevel::kDeopt, "too high", [](const StoppedScope&) {})
            .code(),
        StatusCode::kFailedPrecondition);
    EXPECT_TRUE(manager
                    .RunWithMutatorsStopped(SafepointLevel::kGC, "group",
                                            [&](const StoppedScope&) {
                                              EXPECT_TRUE(StandsStill(a));
                                              EXPECT_TRUE(StandsStill(b));
                                              ++runs;
                                            })
                    .ok());
    EXPECT_TRUE(StandsStill(a));
    const uint64_t before = b.steps();
    WaitUntil([&] { return b.steps() > before; });
    ++runs;
  });
  EXPECT_EQ(runs, 2);
}

TEST(GroupStop, ASetInsideItIsFree) {
  SafepointManager manager;
  RunningMutator a(manager, "a");
  MutatorThread* const set[] = {&a.mutator()};
  bool ran = false;
  EXPECT_TRUE(manager
                  .RunWithMutatorsStopped(
                      SafepointLevel::kDeopt, "group",
                      [&](const StoppedScope&) {
                        manager.StopMutators(set, "set", [&](const StoppedScope&) { ran = true; });
                        EXPECT_TRUE(StandsStill(a));
                      })
                  .ok());
  EXPECT_TRUE(ran);
}

/// Runs a stop's function from several threads at once and checks that they exclude each other.
class Exclusion {
 public:
  void operator()(const StoppedScope&) {
    EXPECT_EQ(inside_.fetch_add(1), 0);
    for (int i = 0; i < 20; ++i) platform::SpinPause();
    inside_.fetch_sub(1);
    ++runs_;
  }
  int runs() const { return runs_; }

 private:
  std::atomic<int> inside_{0};
  int runs_ = 0;  // guarded by the stops themselves: a race here is a finding
};

TEST(GroupStop, ManyRequestersTakeTurnsAndAnswerEachOther) {
  constexpr int kThreads = 3;
  constexpr int kStops = ATOLL_TSAN ? 100 : 300;
  SafepointManager manager;
  Exclusion exclusion;
  std::vector<platform::Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back("requester", [&, t] {
      TestMutator mutator("requester " + std::to_string(t));
      ATOLL_CHECK(manager.Attach(&mutator).ok(), "attach");
      mutator.LeaveNative();
      for (int i = 0; i < kStops; ++i) {
        EXPECT_TRUE(
            manager.RunWithMutatorsStopped(SafepointLevel::kGC, "test", std::ref(exclusion)).ok());
        mutator.Poll();
      }
      ATOLL_CHECK(manager.Detach(&mutator).ok(), "detach");
    });
  }
  for (int i = 0; i < kStops; ++i) {  // and a thread that is no mutator
    EXPECT_TRUE(
        manager.RunWithMutatorsStopped(SafepointLevel::kGC, "test", std::ref(exclusion)).ok());
  }
  for (platform::Thread& thread : threads) thread.Join();
  EXPECT_EQ(exclusion.runs(), (kThreads + 1) * kStops);
  EXPECT_EQ(manager.group_stops(), static_cast<uint64_t>((kThreads + 1) * kStops));
}

TEST(Stop, RequestersThatWantEachOtherDoNotDeadlock) {
  constexpr int kThreads = 3;
  constexpr int kStops = ATOLL_TSAN ? 200 : 500;
  SafepointManager manager;
  std::vector<std::unique_ptr<TestMutator>> mutators;
  std::vector<MutatorThread*> all;
  for (int t = 0; t < kThreads; ++t) {
    mutators.push_back(std::make_unique<TestMutator>("m" + std::to_string(t)));
    all.push_back(mutators.back().get());
    ASSERT_TRUE(manager.Attach(mutators.back().get()).ok());
  }
  Exclusion exclusion;
  std::vector<platform::Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back("stopper", [&, t] {
      mutators[t]->LeaveNative();
      for (int i = 0; i < kStops; ++i) {
        manager.StopMutators(all, "all of us", std::ref(exclusion));
      }
      mutators[t]->EnterNative();
      MutatorThread::ClearCurrent();
    });
  }
  for (platform::Thread& thread : threads) thread.Join();
  EXPECT_EQ(exclusion.runs(), kThreads * kStops);
  for (auto& mutator : mutators) ASSERT_TRUE(manager.Detach(mutator.get()).ok());
}

TEST(Stop, ForeignRequestersOfOneSetExcludeEachOtherAndTheGroup) {
  constexpr int kStops = ATOLL_TSAN ? 200 : 500;
  SafepointManager manager;
  RunningMutator target(manager, "target", PollAndVisitNative);
  MutatorThread* const set[] = {&target.mutator()};
  Exclusion exclusion;
  std::vector<platform::Thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back("helper", [&, t] {
      for (int i = 0; i < kStops; ++i) {
        if (t == 0) {
          EXPECT_TRUE(
              manager.RunWithMutatorsStopped(SafepointLevel::kGC, "test", std::ref(exclusion))
                  .ok());
        } else {
          manager.StopMutators(set, "test", std::ref(exclusion));
        }
      }
    });
  }
  for (platform::Thread& thread : threads) thread.Join();
  EXPECT_EQ(exclusion.runs(), 3 * kStops);
}

TEST(Stop, ARegionsStopAndTheGroupsOverlap) {
  SafepointManager manager;
  RunningMutator member(manager, "member");
  std::atomic<bool> group_runs{false};
  std::atomic<bool> group_done{false};
  std::atomic<bool> set_runs{false};
  std::atomic<bool> end_set{false};
  MutatorThread* const set[] = {&member.mutator()};
  platform::Thread collector("collector", [&] {
    OwnMutator own(manager, "collector");
    manager.StopMutators(set, "region", [&](const StoppedScope&) {
      set_runs = true;
      WaitUntil([&] { return end_set.load(); });
      EXPECT_FALSE(group_runs);  // the group waits for this mutator, which is managed
    });
    WaitUntil([&] {
      own.mutator().Poll();
      return group_done.load();
    });
  });
  WaitUntil([&] { return set_runs.load(); });
  platform::Thread group("group", [&] {
    EXPECT_TRUE(manager
                    .RunWithMutatorsStopped(SafepointLevel::kGC, "group",
                                            [&](const StoppedScope&) {
                                              group_runs = true;
                                              EXPECT_TRUE(StandsStill(member));
                                            })
                    .ok());
    group_done = true;
  });
  WaitUntil([&] { return manager.current_reason() != nullptr; });
  for (int i = 0; i < 100; ++i) platform::YieldThread();
  EXPECT_FALSE(group_runs);
  end_set = true;
  group.Join();
  collector.Join();
  EXPECT_EQ(member.mutator().stops_asked(), 2u);
}

TEST(Stop, ARequesterOfAnotherManagerIsBlockedInItsOwn) {
  SafepointManager mine;
  SafepointManager theirs;
  OwnMutator own(mine, "own");
  RunningMutator target(theirs, "target");
  std::atomic<bool> done{false};
  platform::Thread stopper;
  const Status status =
      theirs.RunWithMutatorsStopped(SafepointLevel::kGC, "test", [&](const StoppedScope&) {
        EXPECT_EQ(own.mutator().state(), MutatorState::kBlocked);
        // So that its own group can be stopped meanwhile.
        stopper = platform::Thread("stopper", [&] {
          EXPECT_TRUE(
              mine.RunWithMutatorsStopped(SafepointLevel::kGC, "mine", [](const StoppedScope&) {})
                  .ok());
          done = true;
        });
        WaitUntil([&] { return done.load(); });
      });
  EXPECT_TRUE(status.ok());
  stopper.Join();
  EXPECT_EQ(own.mutator().state(), MutatorState::kManaged);
}

TEST(Stop, WorksWithFullFencesToo) {
  SafepointManager manager;
  platform::ForceFullFencesForTesting(true);
  {
    RunningMutator a(manager, "a", PollAndVisitNative);
    RunningMutator b(manager, "b");
    for (int i = 0; i < 100; ++i) {
      const Status status = manager.RunWithMutatorsStopped(
          SafepointLevel::kGC, "test", [&](const StoppedScope&) { EXPECT_TRUE(StandsStill(a)); });
      EXPECT_TRUE(status.ok());
    }
  }
  platform::ForceFullFencesForTesting(false);
}

TEST(Watchdog, NamesTheMutatorThatDoesNotArrive) {
  std::atomic<bool> reported{false};
  std::string name;
  uint64_t nanos = 0;
  SafepointOptions options;
  options.watchdog_nanos = 2'000'000;
  options.watchdog = [&](const std::string& slow, uint64_t waited) {
    if (reported) return;
    name = slow;
    nanos = waited;
    reported = true;
  };
  SafepointManager manager(options);
  TestMutator quick("quick");  // native: stopped as soon as asked
  ASSERT_TRUE(manager.Attach(&quick).ok());
  RunningMutator sleeper(manager, "sleeper", [&](TestMutator& mutator) {
    WaitUntil([&] { return reported.load(); });  // no poll until the watchdog has barked
    mutator.Poll();
  });
  EXPECT_TRUE(
      manager.RunWithMutatorsStopped(SafepointLevel::kGC, "test", [](const StoppedScope&) {}).ok());
  EXPECT_EQ(name, "sleeper");
  EXPECT_GE(nanos, options.watchdog_nanos);
  const TimeToSafepointStats stats = manager.stats();
  EXPECT_EQ(stats.slowest_mutator, "sleeper");
  EXPECT_GE(stats.max_nanos, options.watchdog_nanos);
  ASSERT_TRUE(manager.Detach(&quick).ok());
}

TEST(Watchdog, GoesOnReporting) {
  std::atomic<int> reports{0};
  SafepointOptions options;
  options.watchdog_nanos = 500'000;
  options.watchdog = [&](const std::string&, uint64_t) { ++reports; };
  SafepointManager manager(options);
  RunningMutator sleeper(manager, "sleeper", [&](TestMutator& mutator) {
    WaitUntil([&] { return reports >= 3; });
    mutator.Poll();
  });
  MutatorThread* const set[] = {&sleeper.mutator()};
  manager.StopMutators(set, "test", [](const StoppedScope&) {});
  EXPECT_GE(reports, 3);
}

}  // namespace
}  // namespace Atoll
