// The seeded scheduler itself: it replays, it explores, it finds what is broken.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "safepoint/platform.h"
#include "safepoint/schedule.h"
#include "safepoint/worker_pool.h"

namespace Atoll {
namespace {

using Threads = std::vector<std::function<void()>>;

/// Three threads that count under a lock and pass a turn around.
Threads Counters(std::shared_ptr<int> total) {
  struct Shared {
    platform::Mutex mutex;
    platform::ConditionVariable changed;
    int turn = 0;
  };
  auto shared = std::make_shared<Shared>();
  Threads threads;
  for (int t = 0; t < 3; ++t) {
    threads.push_back([shared, total, t] {
      for (int round = 0; round < 3; ++round) {
        platform::MutexLock lock(shared->mutex);
        while (shared->turn % 3 != t) shared->changed.Wait(shared->mutex);
        ++*total;
        ++shared->turn;
        shared->changed.NotifyAll();
      }
    });
  }
  return threads;
}

TEST(SeededScheduler, TheSameSeedReplaysTheSameTrace) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    auto total = std::make_shared<int>(0);
    const auto first = SeededScheduler().Run(seed, Counters(total));
    const auto second = SeededScheduler().Run(seed, Counters(total));
    ASSERT_TRUE(first.finished) << first.report;
    ASSERT_TRUE(second.finished) << second.report;
    EXPECT_FALSE(first.trace.empty());
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
    EXPECT_EQ(*total, 18);
  }
}

TEST(SeededScheduler, OtherSeedsGiveOtherTraces) {
  std::set<std::string> traces;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    auto total = std::make_shared<int>(0);
    const auto outcome = SeededScheduler().Run(seed, Counters(total));
    traces.insert(SeededScheduler::Format(outcome.trace, outcome.trace.size()));
  }
  EXPECT_GE(traces.size(), 40u);
}

TEST(SeededScheduler, RunsOneThreadAtATime) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    auto plain = std::make_shared<int>(0);  // unsynchronized: exact only if nothing is lost
    Threads threads;
    for (int t = 0; t < 4; ++t) {
      threads.push_back([plain] {
        for (int i = 0; i < 10; ++i) {
          ++*plain;
          ATOLL_SCHEDULE_POINT("between");
        }
      });
    }
    EXPECT_TRUE(SeededScheduler().Run(seed, threads).finished);
    EXPECT_EQ(*plain, 40);
  }
}

TEST(SeededScheduler, FindsALostUpdate) {
  uint64_t found = 0;
  for (uint64_t seed = 1; seed <= 50 && found == 0; ++seed) {
    auto value = std::make_shared<int>(0);
    const auto add = [value] {
      const int read = *value;
      ATOLL_SCHEDULE_POINT("between load and store");
      *value = read + 1;
    };
    EXPECT_TRUE(SeededScheduler().Run(seed, {add, add}).finished);
    if (*value != 2) found = seed;
  }
  EXPECT_NE(found, 0u);
}

TEST(SeededScheduler, ReportsADeadlockWithEachThreadsLastPoint) {
  uint64_t deadlocks = 0;
  for (uint64_t seed = 1; seed <= 100 && deadlocks == 0; ++seed) {
    struct Locks {
      platform::Mutex a;
      platform::Mutex b;
    };
    // Leaked: the threads stay in their deadlock.
    Locks* const locks = new Locks;
    const auto outcome = SeededScheduler().Run(seed, {[locks] {
                                                        platform::MutexLock first(locks->a);
                                                        platform::MutexLock second(locks->b);
                                                      },
                                                      [locks] {
                                                        platform::MutexLock first(locks->b);
                                                        platform::MutexLock second(locks->a);
                                                      }});
    if (outcome.finished) {
      delete locks;
      continue;
    }
    ++deadlocks;
    EXPECT_NE(outcome.report.find("deadlock"), std::string::npos);
    EXPECT_NE(outcome.report.find("thread 0 blocked, last at: wait for mutex"), std::string::npos)
        << outcome.report;
    EXPECT_NE(outcome.report.find("thread 1 blocked, last at: wait for mutex"), std::string::npos);
  }
  EXPECT_EQ(deadlocks, 1u);
}

TEST(SeededScheduler, ReportsALostWakeUp) {
  struct Shared {
    platform::Mutex mutex;
    platform::ConditionVariable condition;
    std::atomic<bool> ready{false};
  };
  uint64_t found = 0;
  for (uint64_t seed = 1; seed <= 100 && found == 0; ++seed) {
    Shared* const shared = new Shared;
    const auto outcome = SeededScheduler().Run(
        seed, {[shared] {
                 platform::MutexLock lock(shared->mutex);
                 if (!shared->ready) shared->condition.Wait(shared->mutex);
               },
               [shared] {
                 shared->condition.NotifyOne();  // wrong: the condition is made true after
                 shared->ready = true;
               }});
    if (!outcome.finished) {
      found = seed;
    } else {
      delete shared;
    }
  }
  EXPECT_NE(found, 0u);
}

TEST(SeededScheduler, ReportsALackOfProgress) {
  static std::atomic<bool> never{false};
  const auto outcome = SeededScheduler(1000).Run(1, {[] {
                                                   while (!never) platform::YieldThread();
                                                 }});
  EXPECT_FALSE(outcome.finished);
  EXPECT_NE(outcome.report.find("no end after 1000 steps"), std::string::npos) << outcome.report;
}

TEST(SeededScheduler, TimeIsVirtual) {
  const uint64_t start = platform::NowNanos();
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto outcome = SeededScheduler().Run(
        seed, {[] {
          platform::Mutex mutex;
          platform::ConditionVariable condition;
          platform::MutexLock lock(mutex);
          const uint64_t before = platform::NowNanos();
          EXPECT_FALSE(condition.WaitFor(mutex, 3'600'000'000'000));  // an hour
          EXPECT_GE(platform::NowNanos() - before, 3'600'000'000'000u);
        }});
    EXPECT_TRUE(outcome.finished) << outcome.report;
  }
  EXPECT_LT(platform::NowNanos() - start, 60'000'000'000u);
}

TEST(SeededScheduler, SchedulesThreadsThatThreadsStart) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    auto value = std::make_shared<int>(0);
    const auto outcome = SeededScheduler().Run(seed, {[value] {
                                                 platform::Thread child("child", [value] {
                                                   ATOLL_SCHEDULE_POINT("in the child");
                                                   ++*value;
                                                 });
                                                 ATOLL_SCHEDULE_POINT("in the parent");
                                                 child.Join();
                                                 EXPECT_EQ(*value, 1);
                                                 ++*value;
                                               }});
    EXPECT_TRUE(outcome.finished) << outcome.report;
    EXPECT_EQ(*value, 2);
  }
}

TEST(SeededScheduler, AWorkerPoolRunsInline) {
  const auto outcome = SeededScheduler().Run(7, {[] {
                                               WorkerPool pool(4);
                                               std::vector<int> order;
                                               pool.Run(4, [&](int i) { order.push_back(i); });
                                               EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
                                             }});
  EXPECT_TRUE(outcome.finished);
}

// ---- A protocol in miniature, right and wrong

/// What the stop protocol rests on, and nothing else: a mutator that leaves native state looks at
/// the poll word again after it has stored its state. kRecheck = false forgets to.
template <bool kRecheck>
struct Toy {
  std::atomic<bool> managed{false};
  std::atomic<bool> stop{false};
  bool touching = false;
  bool caught = false;

  void Mutator() {
    for (int i = 0; i < 3; ++i) {
      while (!LeaveNative()) platform::YieldThread();
      touching = true;
      ATOLL_SCHEDULE_POINT("touch the heap");
      touching = false;
      managed = false;
    }
  }

  bool LeaveNative() {
    if (stop) return false;
    ATOLL_SCHEDULE_POINT("leave native: not stopped");
    managed = true;
    ATOLL_SCHEDULE_POINT("leave native: managed");
    if (kRecheck && stop) {
      managed = false;
      return false;
    }
    return true;
  }

  void Requester() {
    for (int i = 0; i < 3; ++i) {
      stop = true;
      ATOLL_SCHEDULE_POINT("stop asked");
      while (managed) platform::YieldThread();
      ATOLL_SCHEDULE_POINT("stopped");
      if (touching) caught = true;
      stop = false;
      ATOLL_SCHEDULE_POINT("released");
    }
  }
};

template <bool kRecheck>
int SeedsThatCatch(int seeds) {
  int caught = 0;
  for (int seed = 1; seed <= seeds; ++seed) {
    auto toy = std::make_shared<Toy<kRecheck>>();
    const auto outcome =
        SeededScheduler().Run(seed, {[toy] { toy->Mutator(); }, [toy] { toy->Requester(); }});
    EXPECT_TRUE(outcome.finished) << outcome.report;
    if (toy->caught) ++caught;
  }
  return caught;
}

TEST(ToyProtocol, TheRightOneHoldsAndTheWrongOneIsCaught) {
  EXPECT_EQ(SeedsThatCatch<true>(1000), 0);
  EXPECT_GT(SeedsThatCatch<false>(1000), 0);
}

}  // namespace
}  // namespace Atoll
