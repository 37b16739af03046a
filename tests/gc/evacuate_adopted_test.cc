// What does the next major collection keep of the blocks that an adoption brought? What is live in
// them, and not the blocks.
#include "atoll/weak_table.h"
#include "gc/step_heap.h"
#include "heap/heap_state.h"
#include "tests/gc/gc_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

using platform::faults::Request;
using ::testing::Optional;
using testing::StepHeap;
using Phase = StepHeap::Phase;

class EvacuateAdopted : public GcTest {
 protected:
  static constexpr size_t kCount = 100'000;
  static constexpr size_t kKeep = 50;

  ~EvacuateAdopted() override { platform::faults::Reset(); }

  /// Gives the receiver kCount / kKeep pairs, 64 KB, scattered over about a hundred blocks, behind
  /// an array in root 0. They turned old in the source, whose last sweep knew of no free line.
  void AdoptScattered(TestRegion& receiver) {
    TestRegion source(heap());
    source.Enter();
    MakeMany(source, kCount);
    Major(source);
    Thin(source, kCount, kKeep);
    Adopt(receiver, source, 0, 1);
  }
  /// One pair of this id in root n, in a block of its own.
  void AdoptPair(TestRegion& receiver, size_t n, uint64_t id) {
    TestRegion source(heap());
    source.Enter();
    source.SetRoot(0, NewPair(source.mutator(), id));
    Adopt(receiver, source, n, 1);
  }
  /// Without what the nursery keeps for itself.
  static size_t BlockBytes(TestRegion& region) {
    return region.region().stats().block_bytes - region.region().state().spare_young.bytes();
  }
  static size_t LiveBytes(TestRegion& region) { return region.region().stats().live_bytes; }
};

TEST_F(EvacuateAdopted, ASmallMessageTakesNoBlock) {
  TestRegion receiver(heap());
  receiver.Enter();
  MakeList(receiver, 1, 1, 5'000);
  Major(receiver);
  const size_t before = BlockBytes(receiver);
  TestRegion source(heap());
  source.Enter();
  MakeList(source, 0, 1, kCount);
  MakeList(source, 0, 100, 32);
  Adopt(receiver, source, 0, 1);
  Major(receiver);
  EXPECT_EQ(BlockBytes(receiver), before) << "it has gone into holes of Old";
  ExpectList(receiver.RootObject(0), 100, 32);
  ExpectList(receiver.RootObject(1), 1, 5'000);
  ExpectValid();
}

TEST_F(EvacuateAdopted, WhatIsScatteredOverOldBlocksIsGathered) {
  for (const bool receiver_has_own : {false, true}) {
    TestRegion receiver(heap());
    receiver.Enter();
    if (receiver_has_own) MakeList(receiver, 1, 1, 5'000);
    AdoptScattered(receiver);
    EXPECT_GE(BlocksOf(receiver, kCount, kKeep), 90u);
    Major(receiver);
    ExpectThinned(receiver, kCount, kKeep);
    // 64 KB.
    EXPECT_LE(BlocksOf(receiver, kCount, kKeep), 3u);
    EXPECT_LE(BlockBytes(receiver), LiveBytes(receiver) + 2 * kBlockSize);
    ExpectValid();
  }
}

TEST_F(EvacuateAdopted, NothingIsDoneForLittle) {
  if (IsStressed(heap())) GTEST_SKIP() << "more moves than the rule would have";
  TestRegion receiver(heap());
  receiver.Enter();
  MakeList(receiver, 1, 1, 50'000);
  Major(receiver);
  AdoptPair(receiver, 0, 7);
  const ObjectPtr before = receiver.RootObject(0);
  Major(receiver);
  EXPECT_EQ(receiver.RootObject(0), before) << "32 KiB are a fiftieth of what is live";
  Major(receiver);
  EXPECT_EQ(IdAt(receiver.RootObject(0)), 7u);
  ExpectValid();
}

TEST_F(EvacuateAdopted, IsAPhaseOfItsOwn) {
  TestRegion receiver(heap());
  receiver.Enter();
  AdoptScattered(receiver);
  receiver.Leave();
  {
    StepHeap step(receiver.region(), /*major=*/true, {});
    step.StepTo(Phase::kEvacuateAdopted);
    const size_t scattered = BlocksOf(receiver, kCount, kKeep);
    const size_t freed = step.major().freed_blocks();
    // Several workers leave blocks in the source that its sweep knew to be sparse: these are
    // candidates from the start, and empty now.
    const size_t emptied = step.major().candidate_blocks();
    if (!heap().state().options.stress.parallel) {
      EXPECT_EQ(emptied, 0u);
    }
    const size_t live = step.major().counters().old_bytes;
    EXPECT_GE(scattered, 90u);
    EXPECT_EQ(step.major().evacuated_adopted_bytes(), 0u);
    step.Step();
    EXPECT_LE(BlocksOf(receiver, kCount, kKeep), 3u);
    const size_t kept = kCount / kKeep * sizeof(PairObject);
    EXPECT_EQ(emptied == 0, step.major().evacuated_adopted_bytes() == kept);
    EXPECT_LE(step.major().evacuated_adopted_bytes(), kept);
    EXPECT_GE(step.major().evacuated_adopted_bytes(), kept / 2);
    EXPECT_EQ(step.major().candidate_blocks(), scattered);
    EXPECT_EQ(step.major().freed_blocks(), freed + scattered - emptied);
    EXPECT_EQ(step.major().counters().old_bytes, live) << "nothing counts twice";
  }
  ExpectThinned(receiver, kCount, kKeep);
  ExpectValid();
}

TEST_F(EvacuateAdopted, WhatMustNotMoveStays) {
  TestRegion receiver(heap());
  receiver.Enter();
  TestRegion source(heap());
  Mutator& sending = source.Enter();
  MakeMany(source, kCount);
  Major(source);
  Thin(source, kCount, kKeep);
  source.SetRoot(1, sending.Allocate(*types().still));
  const ObjectPtr still = source.RootObject(1);
  const ObjectPtr pinned = Load(source.RootObject(0), ElementAt(500 * kKeep));
  ASSERT_TRUE(sending.Pin(pinned).ok());
  Link(sending, still, kA, Load(source.RootObject(0), ElementAt(0)));
  Link(sending, pinned, kA, Load(source.RootObject(0), ElementAt(kKeep)));
  Adopt(receiver, source, 0, 2);
  Major(receiver);
  EXPECT_EQ(receiver.RootObject(1), still);
  EXPECT_EQ(Load(receiver.RootObject(0), ElementAt(500 * kKeep)), pinned);
  EXPECT_EQ(Load(still, kA), Load(receiver.RootObject(0), ElementAt(0)));
  EXPECT_EQ(Load(pinned, kA), Load(receiver.RootObject(0), ElementAt(kKeep)));
  EXPECT_LE(BlocksOf(receiver, kCount, kKeep), 4u);
  ExpectThinned(receiver, kCount, kKeep);
  ExpectValid();
  ASSERT_TRUE(receiver.mutator().Unpin(pinned).ok());
}

TEST_F(EvacuateAdopted, WeakThingsFollow) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  const WeakTable table(heap());
  Counter died;
  Mutator& sending = source.Enter();
  source.SetRoot(0, NewPair(sending, 1));
  source.SetRoot(1, sending.Allocate(*types().weak));
  Link(sending, source.RootObject(1), 8, source.RootObject(0));
  source.SetRoot(2, sending.Allocate(*types().ephemeron));
  Link(sending, source.RootObject(2), 8, source.RootObject(0));
  LinkNew(sending, 16, NewPair(sending, 2), [&] { return source.RootObject(2); });
  const ObjectPtr first = source.RootObject(0);
  ASSERT_TRUE(table.Put(sending, first, 77).ok());
  ASSERT_TRUE(sending.AddFinalizer(first, FinalizerKind::kNative, Counter::Add, &died).ok());
  ASSERT_TRUE(sending.AddFinalizer(first, FinalizerKind::kGuardian, nullptr, nullptr).ok());
  const uint32_t hash = sending.IdentityHash(first);
  Mutator& mutator = receiver.Enter();
  Adopt(receiver, source, 0, 3);
  Persistent strong(receiver.region(), RefOf(first));
  const WeakPersistent weak(receiver.region(), RefOf(first));
  Major(receiver);
  const ObjectPtr now = receiver.RootObject(0);
  EXPECT_NE(now, first);
  EXPECT_EQ(IdAt(now), 1u);
  EXPECT_EQ(WeakGet(receiver.RootObject(1)), RefOf(now));
  EXPECT_EQ(Load(receiver.RootObject(2), 8), now);
  EXPECT_EQ(IdAt(Load(receiver.RootObject(2), 16)), 2u);
  EXPECT_EQ(strong.Get(), RefOf(now));
  EXPECT_EQ(weak.Get(), RefOf(now));
  EXPECT_THAT(table.Get(mutator, now), Optional(77u));
  EXPECT_EQ(mutator.IdentityHash(now), hash);
  EXPECT_EQ(died.calls, 0);
  EXPECT_EQ(receiver.region().NextGuarded().word, 0u);
  ExpectValid();
  receiver.Root(0) = 0;
  strong.Reset();
  Major(receiver);
  EXPECT_EQ(WeakGet(receiver.RootObject(1)).word, 0u);
  EXPECT_EQ(weak.Get().word, 0u);
  EXPECT_NE(receiver.region().NextGuarded().word, 0u);
  Major(receiver);
  EXPECT_EQ(died.calls, 1);
  ExpectValid();
}

TEST_F(EvacuateAdopted, WhereNoBlockCanBeHadObjectsStay) {
  constexpr size_t kPairs = 20;
  TestRegion receiver(heap());
  receiver.Enter();
  receiver.SetRoot(kPairs, receiver.mutator().AllocateArray(*types().bytes, 2 << 20));
  std::vector<ObjectPtr> before;
  for (size_t i = 0; i < kPairs; ++i) {
    AdoptPair(receiver, i, i);
    before.push_back(receiver.RootObject(i));
  }
  receiver.Leave();
  {
    StepHeap step(receiver.region(), /*major=*/true, {});
    step.StepTo(Phase::kEvacuateAdopted);
    // Enough lines for the copies, but not a block.
    const size_t allowed = receiver.region().state().BytesUsed() + kBlockSize / 2;
    receiver.region().state().limit_bytes = allowed - RegionState::ReserveOf(1);
    step.Step();
    EXPECT_GE(step.major().candidate_blocks(), kPairs);
    EXPECT_EQ(step.major().evacuated_adopted_bytes(), kPairs * sizeof(PairObject));
    receiver.region().state().limit_bytes = 0;
  }
  for (size_t i = 0; i < kPairs; ++i) {
    EXPECT_EQ(receiver.RootObject(i), before[i]);
    EXPECT_EQ(IdAt(before[i]), i);
  }
  ExpectValid();
  receiver.Enter();
  Major(receiver);
  Major(receiver);
  for (size_t i = 0; i < kPairs; ++i) EXPECT_EQ(IdAt(receiver.RootObject(i)), i);
  ExpectValid();
}

TEST_F(EvacuateAdopted, AtALimitNothingIsChosen) {
  TestRegion receiver(heap());
  receiver.Enter();
  AdoptScattered(receiver);
  receiver.Leave();
  {
    StepHeap step(receiver.region(), /*major=*/true, {});
    step.StepTo(Phase::kEvacuateAdopted);
    receiver.region().state().limit_bytes = 1;
    step.Step();
    receiver.region().state().limit_bytes = 0;
    EXPECT_EQ(step.major().evacuated_adopted_bytes(), 0u);
  }
  ExpectThinned(receiver, kCount, kKeep);
  ExpectValid();
}

/// Refused at each request in turn, alone or with all that follow, the phase ends as it should.
TEST_F(EvacuateAdopted, RefusedMemoryLosesNothing) {
  for (const Request request : {Request::kCommit, Request::kMapZeroed, Request::kRaw}) {
    for (const bool all_after : {false, true}) {
      bool any_left = true;
      for (uint64_t n = 1; any_left; ++n) {
        SCOPED_TRACE("request " + std::to_string(static_cast<int>(request)) + ", the " +
                     std::to_string(n) + ". refused" + (all_after ? " and all after" : ""));
        TestRegion receiver(heap());
        receiver.Enter();
        AdoptScattered(receiver);
        AdoptPair(receiver, 1, 5);
        receiver.Leave();
        {
          StepHeap step(receiver.region(), /*major=*/true, {});
          step.StepTo(Phase::kEvacuateAdopted);
          platform::faults::FailNth(request, n, all_after);
          step.Step();
          any_left = platform::faults::Count(request) >= n;
          platform::faults::Reset();
        }
        ExpectThinned(receiver, kCount, kKeep);
        ASSERT_EQ(IdAt(receiver.RootObject(1)), 5u);
        ExpectValid();
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(EvacuateAdopted, WhereEverythingMovesSoDoesWhatIsDense) {
  options().stress.move_everything = true;
  options().stress.poison = true;
  options().stress.verify = true;
  TestRegion receiver(heap());
  receiver.Enter();
  for (size_t round = 0; round < 4; ++round) {
    TestRegion source(heap());
    source.Enter();
    MakeList(source, 0, round * 10'000, 5'000);
    if (round % 2 == 0) Major(source);
    Adopt(receiver, source, round, 1);
    const ObjectPtr before = receiver.RootObject(round);
    receiver.mutator().MakeCurrent();
    receiver.mutator().EnterNative();
    {
      StepHeap step(receiver.region(), /*major=*/true, {});
      step.StepTo(Phase::kEvacuateAdopted);
      step.Step();
      EXPECT_GE(step.major().evacuated_adopted_bytes(), 5'000 * sizeof(PairObject));
    }
    receiver.mutator().LeaveNative();
    EXPECT_NE(receiver.RootObject(round), before);
    Major(receiver);
    for (size_t i = 0; i <= round; ++i) {
      ExpectList(receiver.RootObject(i), i * 10'000, 5'000);
    }
    ExpectValid();
  }
}

TEST_F(EvacuateAdopted, ByEveryNumberOfWorkersAndByGroupCollections) {
  options().stress.parallel = true;
  for (const bool group : {false, true}) {
    TestRegion receiver(heap());
    receiver.Enter();
    MakeList(receiver, 1, 1, 5'000);
    AdoptScattered(receiver);
    group ? Group() : Major(receiver);
    ExpectThinned(receiver, kCount, kKeep);
    ExpectList(receiver.RootObject(1), 1, 5'000);
    EXPECT_LE(BlocksOf(receiver, kCount, kKeep), group ? 12u : 3u);
    ExpectValid();
  }
}

}  // namespace
}  // namespace Atoll
