// Mutator states, polls, attaching and detaching.

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/safepoint/test_mutators.h"

namespace Atoll {
namespace {

using testing::OwnMutator;
using testing::RunningMutator;
using testing::TestMutator;
using testing::WaitUntil;

TEST(States, ANewMutatorIsNativeAndUnattached) {
  TestMutator mutator("m");
  EXPECT_EQ(mutator.state(), MutatorState::kNative);
  EXPECT_EQ(mutator.manager(), nullptr);
  EXPECT_EQ(mutator.name(), "m");
  EXPECT_FALSE(mutator.PollPending());
  EXPECT_EQ(mutator.stops_asked(), 0u);
}

TEST(States, TransitionsAndCurrent) {
  SafepointManager manager;
  TestMutator mutator("m");
  EXPECT_EQ(MutatorThread::Current(), nullptr);
  ASSERT_TRUE(manager.Attach(&mutator).ok());
  EXPECT_EQ(mutator.manager(), &manager);
  EXPECT_EQ(manager.mutator_count(), 1u);
  EXPECT_EQ(mutator.state(), MutatorState::kNative);
  mutator.LeaveNative();
  EXPECT_EQ(mutator.state(), MutatorState::kManaged);
  EXPECT_EQ(MutatorThread::Current(), &mutator);
  {
    NativeScope native(mutator);
    EXPECT_EQ(mutator.state(), MutatorState::kNative);
    EXPECT_EQ(MutatorThread::Current(), &mutator);
  }
  EXPECT_EQ(mutator.state(), MutatorState::kManaged);
  mutator.EnterBlocked();
  EXPECT_EQ(mutator.state(), MutatorState::kBlocked);
  mutator.LeaveBlocked();
  EXPECT_EQ(mutator.state(), MutatorState::kManaged);
  mutator.EnterBlocked();
  EXPECT_TRUE(mutator.TryLeaveBlocked());
  EXPECT_EQ(mutator.state(), MutatorState::kManaged);
  ASSERT_TRUE(manager.Detach(&mutator).ok());
  EXPECT_EQ(mutator.state(), MutatorState::kNative);
  EXPECT_EQ(mutator.manager(), nullptr);
  EXPECT_EQ(MutatorThread::Current(), nullptr);
  EXPECT_EQ(manager.mutator_count(), 0u);
}

TEST(States, ManagedScopesRestoreThePreviousMutator) {
  SafepointManager manager;
  TestMutator a("a");
  TestMutator b("b");
  ASSERT_TRUE(manager.Attach(&a).ok());
  ASSERT_TRUE(manager.Attach(&b).ok());
  {
    ManagedScope in_a(a);
    EXPECT_EQ(MutatorThread::Current(), &a);
    {
      NativeScope native(a);
      ManagedScope in_b(b);
      EXPECT_EQ(MutatorThread::Current(), &b);
      EXPECT_EQ(a.state(), MutatorState::kNative);
    }
    EXPECT_EQ(MutatorThread::Current(), &a);
    EXPECT_EQ(a.state(), MutatorState::kManaged);
  }
  EXPECT_EQ(MutatorThread::Current(), nullptr);
  EXPECT_EQ(a.state(), MutatorState::kNative);
  ASSERT_TRUE(manager.Detach(&a).ok());
  ASSERT_TRUE(manager.Detach(&b).ok());
}

TEST(States, PollsHandClientBitsToOnPollOnce) {
  SafepointManager manager;
  OwnMutator own(manager, "m");
  TestMutator& mutator = own.mutator();
  mutator.Poll();
  EXPECT_EQ(mutator.on_poll_calls, 0);
  mutator.RequestPoll(1);
  mutator.RequestPoll(1u << 23);
  EXPECT_TRUE(mutator.PollPending());
  mutator.Poll();
  EXPECT_EQ(mutator.on_poll_calls, 1);
  EXPECT_EQ(mutator.poll_bits, 1u | 1u << 23);
  EXPECT_FALSE(mutator.PollPending());
  mutator.Poll();
  EXPECT_EQ(mutator.on_poll_calls, 1);
}

TEST(States, NativeTransitionsLeaveClientBitsForThePoll) {
  SafepointManager manager;
  OwnMutator own(manager, "m");
  own.mutator().RequestPoll(2);
  { NativeScope native(own.mutator()); }
  EXPECT_EQ(own.mutator().on_poll_calls, 0);
  own.mutator().Poll();
  EXPECT_EQ(own.mutator().poll_bits, 2u);
}

TEST(States, RequestPollReachesARunningMutator) {
  SafepointManager manager;
  RunningMutator running(manager, "running");
  running.mutator().RequestPoll(5);
  WaitUntil([&] { return running.mutator().on_poll_calls > 0; });
  EXPECT_EQ(running.mutator().poll_bits, 5u);
}

TEST(States, TheOffsetsDescribeThePollWord) {
  TestMutator mutator("m");
  MutatorThread* base = &mutator;
  mutator.RequestPoll(3);
  const char* word = reinterpret_cast<const char*>(base) + MutatorThread::PollWordOffset();
  EXPECT_EQ(word, mutator.poll_word_address());
  uint32_t value;
  std::memcpy(&value, word, sizeof value);
  EXPECT_EQ(value, 3u << MutatorThread::kClientShift);
  std::memcpy(&value, reinterpret_cast<const char*>(base) + MutatorThread::StateOffset(),
              sizeof value);
  EXPECT_EQ(value, static_cast<uint32_t>(MutatorState::kNative));
}

TEST(States, AMutatorMovesToAnotherThreadWhileNative) {
  SafepointManager manager;
  TestMutator mutator("wanderer");
  ASSERT_TRUE(manager.Attach(&mutator).ok());
  mutator.LeaveNative();
  mutator.EnterNative();
  MutatorThread::ClearCurrent();
  platform::Thread other("other", [&] {
    mutator.LeaveNative();
    EXPECT_EQ(MutatorThread::Current(), &mutator);
    mutator.Poll();
    mutator.EnterNative();
    MutatorThread::ClearCurrent();
  });
  other.Join();
  EXPECT_EQ(MutatorThread::Current(), nullptr);
  EXPECT_TRUE(manager.Detach(&mutator).ok());
}

TEST(Attach, TwiceIsAnErrorThatNamesTheMutator) {
  SafepointManager manager;
  SafepointManager other;
  TestMutator mutator("twice");
  ASSERT_TRUE(manager.Attach(&mutator).ok());
  for (SafepointManager* to : {&manager, &other}) {
    const Status again = to->Attach(&mutator);
    EXPECT_EQ(again.code(), StatusCode::kFailedPrecondition);
    EXPECT_NE(again.message().find("twice"), std::string::npos);
  }
  const Status elsewhere = other.Detach(&mutator);
  EXPECT_EQ(elsewhere.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(manager.Detach(&mutator).ok());
  EXPECT_EQ(manager.Detach(&mutator).code(), StatusCode::kInvalidArgument);
}

TEST(Attach, DuringAStopOfTheGroupHoldsTheNewMutatorBack) {
  SafepointManager manager;
  std::atomic<bool> attached{false};
  std::atomic<bool> managed{false};
  platform::Thread newcomer;
  const Status status =
      manager.RunWithMutatorsStopped(SafepointLevel::kGC, "test", [&](const StoppedScope& scope) {
        EXPECT_TRUE(scope.whole_group());
        newcomer = platform::Thread("newcomer", [&] {
          TestMutator mutator("newcomer");
          ATOLL_CHECK(manager.Attach(&mutator).ok(), "attach");
          attached = true;
          mutator.LeaveNative();
          managed = true;
          EXPECT_EQ(mutator.stops_asked(), 0u);
          ATOLL_CHECK(manager.Detach(&mutator).ok(), "detach");
        });
        WaitUntil([&] { return attached.load(); });
        for (int i = 0; i < 1000; ++i) platform::YieldThread();
        EXPECT_FALSE(managed);
      });
  EXPECT_TRUE(status.ok());
  newcomer.Join();
  EXPECT_TRUE(managed);
}

TEST(Detach, OfARunningMutatorByAnotherThreadIsAnError) {
  SafepointManager manager;
  RunningMutator running(manager, "running");
  WaitUntil([&] { return running.mutator().state() == MutatorState::kManaged; });
  const Status status = manager.Detach(&running.mutator());
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("running"), std::string::npos);
}

TEST(Detach, OfANativeMutatorByAnotherThread) {
  SafepointManager manager;
  TestMutator mutator("native");
  ASSERT_TRUE(manager.Attach(&mutator).ok());
  platform::Thread other("other", [&] { EXPECT_TRUE(manager.Detach(&mutator).ok()); });
  other.Join();
  EXPECT_EQ(mutator.manager(), nullptr);
}

TEST(Detach, WaitsForTheStopThatHoldsTheMutator) {
  SafepointManager manager;
  TestMutator mutator("native");
  ASSERT_TRUE(manager.Attach(&mutator).ok());
  std::atomic<bool> detached{false};
  platform::Thread other;
  MutatorThread* const set[] = {&mutator};
  manager.StopMutators(set, "test", [&](const StoppedScope&) {
    other = platform::Thread("other", [&] {
      EXPECT_TRUE(manager.Detach(&mutator).ok());
      detached = true;
    });
    for (int i = 0; i < 1000; ++i) platform::YieldThread();
    EXPECT_FALSE(detached);
  });
  other.Join();
  EXPECT_TRUE(detached);
}

TEST(Detach, InsideAStopOfOnesOwnIsAnError) {
  SafepointManager manager;
  OwnMutator own(manager, "own");
  Status inside;
  const Status status = manager.RunWithMutatorsStopped(
      SafepointLevel::kGC, "test",
      [&](const StoppedScope&) { inside = manager.Detach(&own.mutator()); });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(inside.code(), StatusCode::kFailedPrecondition);
}

using StatesDeathTest = ::testing::Test;

TEST(StatesDeathTest, DestroyingAnAttachedMutatorAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        SafepointManager manager;
        TestMutator mutator("forgotten");
        const Status status = manager.Attach(&mutator);
        mutator.~TestMutator();
      },
      "forgotten is destroyed while attached");
}

TEST(StatesDeathTest, DestroyingAManagerWithMutatorsAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        TestMutator mutator("forgotten");
        SafepointManager manager;
        const Status status = manager.Attach(&mutator);
        manager.~SafepointManager();
      },
      "destroyed with 1 mutators attached, forgotten among them");
}

#if ATOLL_CHECKS
TEST(StatesDeathTest, WrongTransitionsAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        SafepointManager manager;
        TestMutator mutator("m");
        const Status status = manager.Attach(&mutator);
        mutator.EnterNative();
      },
      "m enters native state while native");
  EXPECT_DEATH(
      {
        TestMutator mutator("m");
        mutator.LeaveNative();
      },
      "m leaves native state, but is not attached");
}
#endif

}  // namespace
}  // namespace Atoll
