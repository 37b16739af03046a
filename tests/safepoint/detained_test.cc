// Mutators that were found native after a fence, and cost none until they return.

#include <gtest/gtest.h>

#include "tests/safepoint/test_mutators.h"

namespace Atoll {
namespace {

using testing::PollAndVisitNative;
using testing::RunningMutator;
using testing::StandsStill;
using testing::TestMutator;

TEST(Detained, AMutatorThatStaysNativeCostsOneFence) {
  SafepointManager manager;
  TestMutator sleeper("sleeper");
  ASSERT_TRUE(manager.Attach(&sleeper).ok());
  MutatorThread* const set[] = {&sleeper};
  int stops = 0;
  const auto stop = [&] {
    manager.StopMutators(set, "test", [&](const StoppedScope&) { ++stops; });
  };
  for (int i = 0; i < 10; ++i) stop();
  EXPECT_EQ(manager.stats().stop_fences, 1u);
  int shaken = 0;
  manager.Handshake(sleeper, [&](MutatorThread&) { ++shaken; });
  EXPECT_EQ(shaken, 1);
  // It comes back by way of the lock, once; then it is native as any other.
  EXPECT_TRUE(sleeper.PollPending());
  {
    ManagedScope managed(sleeper);
    EXPECT_FALSE(sleeper.PollPending());
  }
  EXPECT_FALSE(sleeper.PollPending());
  for (int i = 0; i < 10; ++i) stop();
  EXPECT_EQ(manager.stats().stop_fences, 2u);
  EXPECT_EQ(stops, 20);
  // Nor does it take the mark along to another manager.
  ASSERT_TRUE(manager.Detach(&sleeper).ok());
  EXPECT_FALSE(sleeper.PollPending());
}

TEST(Detained, HandshakesCostAMutatorThatStaysNativeOneFence) {
  SafepointManager manager;
  TestMutator sleeper("sleeper");
  TestMutator second("second");
  ASSERT_TRUE(manager.Attach(&sleeper).ok());
  int shaken = 0;
  const auto shake_all = [&] { manager.HandshakeAll([&](MutatorThread&) { ++shaken; }); };
  for (int i = 0; i < 10; ++i) shake_all();
  EXPECT_EQ(shaken, 10);
  EXPECT_EQ(manager.stats().handshake_fences, 1u);
  // One for both, and then none for either, whoever asks.
  ASSERT_TRUE(manager.Attach(&second).ok());
  for (int i = 0; i < 10; ++i) shake_all();
  EXPECT_EQ(shaken, 30);
  EXPECT_EQ(manager.stats().handshake_fences, 2u);
  MutatorThread* const set[] = {&sleeper, &second};
  manager.StopMutators(set, "test", [](const StoppedScope&) {});
  EXPECT_EQ(manager.stats().stop_fences, 0u);
  // It comes back by way of the lock, once.
  EXPECT_TRUE(sleeper.PollPending());
  {
    ManagedScope managed(sleeper);
    EXPECT_FALSE(sleeper.PollPending());
  }
  EXPECT_FALSE(sleeper.PollPending());
  manager.Handshake(sleeper, [&](MutatorThread&) { ++shaken; });
  EXPECT_EQ(shaken, 31);
  EXPECT_EQ(manager.stats().handshake_fences, 3u);
  ASSERT_TRUE(manager.Detach(&sleeper).ok());
  ASSERT_TRUE(manager.Detach(&second).ok());
}

TEST(Detained, AMutatorCanAskForStopsItself) {
  SafepointManager manager;
  RunningMutator other(manager, "other");
  TestMutator own("own");
  ASSERT_TRUE(manager.Attach(&own).ok());
  MutatorThread* const own_set[] = {&own};
  manager.StopMutators(own_set, "test", [](const StoppedScope&) {});  // by this thread, as foreign
  ASSERT_TRUE(own.PollPending());
  own.MakeCurrent();
  MutatorThread* const set[] = {&other.mutator()};
  manager.StopMutators(set, "test", [&](const StoppedScope&) {
    EXPECT_EQ(own.state(), MutatorState::kManaged);
    EXPECT_FALSE(own.PollPending());
  });
  EXPECT_EQ(own.state(), MutatorState::kNative);
  ASSERT_TRUE(manager.Detach(&own).ok());
}

TEST(Detained, MutatorsAreHeldBackWhenTheyReturn) {
  SafepointManager manager;
  RunningMutator visitor(manager, "visitor", PollAndVisitNative);
  TestMutator sleeper("sleeper");
  ASSERT_TRUE(manager.Attach(&sleeper).ok());
  MutatorThread* const set[] = {&visitor.mutator(), &sleeper};
  for (int i = 0; i < 1000; ++i) {
    manager.StopMutators(set, "test",
                         [&](const StoppedScope&) { EXPECT_TRUE(StandsStill(visitor)); });
  }
  ASSERT_TRUE(manager.Detach(&sleeper).ok());
}

}  // namespace
}  // namespace Atoll
