#include <gtest/gtest.h>

#include <vector>

#include "tests/safepoint/test_mutators.h"

namespace Atoll {
namespace {

using testing::OwnMutator;
using testing::RunningMutator;
using testing::TestMutator;
using testing::WaitUntil;

TEST(SafepointMutex, LocksAndTries) {
  SafepointMutex mutex(1, "mutex");
  EXPECT_EQ(mutex.rank(), 1);
  EXPECT_STREQ(mutex.name(), "mutex");
  {
    SafepointMutexLock lock(mutex);
    platform::Thread other("other", [&] { EXPECT_FALSE(mutex.TryLock()); });
    other.Join();
  }
  EXPECT_TRUE(mutex.TryLock());
  mutex.Unlock();
}

TEST(SafepointMutex, AMutatorWaitsInBlockedState) {
  SafepointManager manager;
  SafepointMutex mutex(1, "mutex");
  mutex.Lock();
  RunningMutator waiter(manager, "waiter", [&](TestMutator& mutator) {
    {
      SafepointMutexLock lock(mutex);
      EXPECT_EQ(mutator.state(), MutatorState::kManaged);
    }
    mutator.Poll();
  });
  WaitUntil([&] { return waiter.mutator().state() == MutatorState::kBlocked; });
  // It does not keep a stop waiting.
  bool ran = false;
  EXPECT_TRUE(manager
                  .RunWithMutatorsStopped(SafepointLevel::kGC, "test",
                                          [&](const StoppedScope&) { ran = true; })
                  .ok());
  EXPECT_TRUE(ran);
  mutex.Unlock();
  const uint64_t before = waiter.steps();
  WaitUntil([&] { return waiter.steps() > before; });
}

TEST(SafepointMutex, AMutatorThatIsHeldBackDoesNotOwnIt) {
  SafepointManager manager;
  SafepointMutex mutex(1, "mutex");
  mutex.Lock();
  RunningMutator waiter(manager, "waiter", [&](TestMutator& mutator) {
    SafepointMutexLock lock(mutex);
    mutator.EnterNative();  // not a poll: owns the mutex only while not held
    mutator.LeaveNative();
  });
  WaitUntil([&] { return waiter.mutator().state() == MutatorState::kBlocked; });
  EXPECT_TRUE(manager
                  .RunWithMutatorsStopped(SafepointLevel::kGC, "test",
                                          [&](const StoppedScope&) {
                                            mutex.Unlock();
                                            for (int i = 0; i < 1000; ++i) platform::YieldThread();
                                            // The waiter got it, saw that it is held, and let go.
                                            mutex.Lock();
                                          })
                  .ok());
  mutex.Unlock();
}

TEST(SafepointMutex, ExcludesUnderStops) {
  constexpr int kRounds = ATOLL_TSAN ? 500 : 2000;
  SafepointManager manager;
  SafepointMutex mutex(1, "mutex");
  int counter = 0;
  std::vector<platform::Thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back("locker", [&] {
      OwnMutator own(manager, "locker");
      for (int i = 0; i < kRounds; ++i) {
        {
          SafepointMutexLock lock(mutex);
          ++counter;
        }
        own.mutator().Poll();
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(manager
                    .RunWithMutatorsStopped(SafepointLevel::kGC, "test",
                                            [&](const StoppedScope&) {
                                              SafepointMutexLock lock(mutex);
                                              ++counter;
                                            })
                    .ok());
  }
  for (platform::Thread& thread : threads) thread.Join();
  EXPECT_EQ(counter, 3 * kRounds + 100);
}

#if ATOLL_CHECKS
using SafepointMutexDeathTest = ::testing::Test;

TEST(SafepointMutexDeathTest, ARankViolationAbortsAndNamesBoth) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  SafepointMutex low(1, "low");
  SafepointMutex high(2, "high");
  {
    SafepointMutexLock first(low);
    SafepointMutexLock second(high);
  }
  EXPECT_DEATH(
      {
        SafepointMutexLock first(high);
        SafepointMutexLock second(low);
      },
      "rank violation: locking low .rank 1. while owning high .rank 2.");
  EXPECT_DEATH(
      {
        low.Lock();
        low.Lock();
      },
      "locking low .rank 1. while owning low");
  EXPECT_DEATH(low.Unlock(), "low is unlocked by a thread that does not own it");
}

TEST(SafepointMutex, TryLockIgnoresRanks) {
  SafepointMutex low(1, "low");
  SafepointMutex high(2, "high");
  SafepointMutexLock first(high);
  EXPECT_TRUE(low.TryLock());
  low.Unlock();
}
#endif

}  // namespace
}  // namespace Atoll
