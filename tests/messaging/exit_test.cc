// sendAndExit: what arrives, and what does not come along.
#include <atomic>

#include "heap/region_state.h"
#include "tests/heap/stressed.h"
#include "tests/messaging/exit_fixture.h"

namespace Atoll {
namespace {

constexpr size_t kMany = 5000;

TEST_F(ExitTest, AListArrivesAndIsTheReceivers) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    ExpectList(ObjectOf(isolate.field(0)), 7, kMany);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMinor).ok());
    ExpectList(ObjectOf(isolate.field(0)), 7, kMany);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    ExpectList(ObjectOf(isolate.field(0)), 7, kMany);
    port.Close();
  });
  const ExitInfo info = RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 7, kMany);
    SendAndExit(isolate, port, isolate.field(0));
  });
  EXPECT_EQ(info.reason, ExitReason::kHandedOver);
  ExpectValid();
  exits.WaitFor(2);
}

TEST_F(ExitTest, ASmallMessageKeepsNoBlockOfTheRegionThatItCameIn) {
  if (IsStressed(heap())) GTEST_SKIP() << "more moves than the rule would have";
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    const auto blocks_after_major = [&] {
      EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
      return isolate.mutator().region().stats().block_bytes;
    };
    SetField(isolate, 0, message);
    MakeList(isolate, 1, 1, 2'500);  // half a block is left over
    const size_t with_message = blocks_after_major();
    ExpectList(ObjectOf(isolate.field(0)), 7, 32);
    SetField(isolate, 0, Ref{});
    EXPECT_EQ(with_message, blocks_after_major());
    port.Close();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 100'000);
    MakeList(isolate, 0, 7, 32);
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
  ExpectValid();
}

TEST_F(ExitTest, CyclesAndIdentityHashesAreKept) {
  HeldPort port;
  std::atomic<uint32_t> hash{0};
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    const ObjectPtr first = ObjectOf(message);
    EXPECT_EQ(isolate.mutator().IdentityHash(first), hash.load());
    EXPECT_EQ(Load(Load(first, kA), kA), first);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 2);
    const ObjectPtr first = ObjectOf(isolate.field(0));
    hash = isolate.mutator().IdentityHash(first);
    Link(isolate.mutator(), Load(first, kA), kA, first);
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, ATinyResultLeavesTheRestBehind) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    EXPECT_EQ(IdAt(ObjectOf(message)), 9u);
    EXPECT_LE(isolate.mutator().region().stats().block_bytes, 4 * kBlockSize);
    EXPECT_EQ(isolate.mutator().region().stats().adoptions, 0u);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 1, 0, 50 * kMany);
    const ObjectPtr result = NewPair(isolate, 9);
    auto ticket = PrepareExit(isolate, port.to(), RefOf(result));
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    EXPECT_TRUE(ticket.value().Commit().ok());
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, WhatTheMessageDoesNotReachGoesWithTheNextMajor) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    EXPECT_EQ(isolate.mutator().region().stats().adoptions, 1u);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_LE(isolate.mutator().region().stats().block_bytes, 64 * kBlockSize);
    ExpectList(ObjectOf(isolate.field(0)), 0, 100);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 1, 0, 50 * kMany);
    MakeList(isolate, 0, 0, 100);
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, ImmediatesAndSharedRootsPass) {
  HeldPort port;
  std::atomic<int> got{0};
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    if (message == Immediate(5)) {
      ++got;
    } else {
      EXPECT_EQ(IdAt(ObjectOf(message)), 6u);
      ++got;
    }
    if (got == 2) isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) { SendAndExit(isolate, port, Immediate(5)); });
  RunIsolate([&](Isolate& isolate) {
    auto frozen = Freeze(isolate, RefOf(NewPair(isolate, 6)));
    ASSERT_TRUE(frozen.ok()) << frozen.status().message();
    SendAndExit(isolate, port, frozen.value());
  });
  exits.WaitFor(3);
  EXPECT_EQ(got, 2);
}

TEST_F(ExitTest, NativeFinalizersComeAlong) {
  HeldPort port;
  std::atomic<int> finalized{0};
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(finalized, 0);
    EXPECT_EQ(isolate.mutator().region().stats().external_bytes, 1000u);
    SetField(isolate, 0, Ref{});
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(finalized, 1);
    port.Close();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 100);
    EXPECT_TRUE(isolate.mutator()
                    .AddFinalizer(
                        ObjectOf(isolate.field(0)), FinalizerKind::kNative,
                        [](void* data) { ++*static_cast<std::atomic<int>*>(data); }, &finalized,
                        1000)
                    .ok());
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, PersistentsPinsAndPortsStayBehind) {
  HeldPort port;
  HeldPort own;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    EXPECT_FALSE(isolate.mutator().Unpin(ObjectOf(message)).ok()) << "it is not pinned any more";
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    ExpectList(ObjectOf(isolate.field(0)), 0, 100);
    port.Close();
  });
  Persistent kept;
  RunIsolate([&](Isolate& isolate) {
    own.Open(isolate, [](Isolate&, Ref) { ADD_FAILURE() << "a message for one that has ended"; });
    MakeList(isolate, 0, 0, 100);
    kept = Persistent(isolate.mutator().region(), isolate.field(0));
    EXPECT_TRUE(isolate.mutator().Pin(ObjectOf(isolate.field(0))).ok());
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
  EXPECT_EQ(kept.Get(), Ref{});
  Status why;
  EXPECT_EQ(SendImmediate(group(), own.to(), Immediate(1), &why), SendStatus::kClosed);
  kept.Reset();
}

TEST_F(ExitTest, HandlesOpenWhenItCommitsAreNoMatter) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate&, Ref message) {
    ExpectList(ObjectOf(message), 0, 100);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    HandleScope scope(isolate.mutator());
    MakeList(isolate, 0, 0, 100);
    LocalRef list(isolate.mutator(), isolate.field(0));
    SendAndExit(isolate, port, list.Get());
  });
  exits.WaitFor(2);
}

// ---- Receivers that do not receive

TEST_F(ExitTest, WhatIsNotReceivedIsFreed) {
  HeldPort port;
  std::atomic<int> finalized{0};
  const IsolateId receiver =
      SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE() << "it is paused, then killed"; });
  ASSERT_TRUE(group().Pause(receiver));
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, kMany);
    EXPECT_TRUE(isolate.mutator()
                    .AddFinalizer(
                        ObjectOf(isolate.field(0)), FinalizerKind::kNative,
                        [](void* data) { ++*static_cast<std::atomic<int>*>(data); }, &finalized)
                    .ok());
    SendAndExit(isolate, port, isolate.field(0));
  });
  ExpectValid();
  CollectAll();
  EXPECT_EQ(finalized, 0) << "it is on its way";
  KillAndWait(receiver);
  EXPECT_EQ(finalized, 1);
}

TEST_F(ExitTest, APortThatClosesAfterTheCommitFreesTheMessage) {
  HeldPort port;
  std::atomic<int> finalized{0};
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE(); });
  const ExitInfo info = RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, kMany);
    EXPECT_TRUE(isolate.mutator()
                    .AddFinalizer(
                        ObjectOf(isolate.field(0)), FinalizerKind::kNative,
                        [](void* data) { ++*static_cast<std::atomic<int>*>(data); }, &finalized)
                    .ok());
    SendAndExit(isolate, port, isolate.field(0));
    NativeScope native(isolate.mutator());
    KillAndWait(receiver);
  });
  EXPECT_EQ(info.reason, ExitReason::kHandedOver);
  EXPECT_EQ(finalized, 1);
}

}  // namespace
}  // namespace Atoll
