// What changes when a region is adopted? Its owner, and nothing else until the next collection.
#include "heap/region_state.h"
#include "safepoint/platform.h"
#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

using Adoption = GcTest;

TEST_F(Adoption, TakesOverObjectsOfEveryAge) {
  for (const Age age : kAges) {
    for (const Kind kind : kKinds) {
      SCOPED_TRACE(std::string(ToString(age)) + ", then " + ToString(kind));
      TestRegion receiver(heap());
      TestRegion source(heap());
      source.Enter();
      MakeList(source, 0, 1, 500);
      AgeTo(source, age);
      // A young part behind an old one, reached through the remembered set only.
      MakeList(source, 1, 1000, 50);
      if (age == Age::kOld) {
        Link(source.mutator(), source.RootObject(0), kB, source.RootObject(1));
        source.Root(1) = 0;
      }
      receiver.Enter();
      Adopt(receiver, source, 0, 2);
      ExpectValid();
      Run(receiver, kind);
      ExpectList(receiver.RootObject(0), 1, 500);
      ExpectList(age == Age::kOld ? Load(receiver.RootObject(0), kB) : receiver.RootObject(1), 1000,
                 50);
      ExpectValid();
      Major(receiver);
      ExpectList(receiver.RootObject(0), 1, 500);
      ExpectValid();
    }
  }
}

TEST_F(Adoption, TouchesNothing) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  MakeList(source, 0, 1, 5'000);
  Minor(source);
  MakeList(source, 1, 1, 5'000);
  source.SetRoot(2, mutator.AllocateArray(*types().array, 20'000));
  const ObjectPtr head = source.RootObject(0);
  const ObjectPtr large = source.RootObject(2);
  const Word header_word = *reinterpret_cast<Word*>(head.address());
  const uint32_t tag_of_small = mutator.TagOf(head.address());
  const uint32_t tag_of_large = mutator.TagOf(large.address());
  const HeapStats before = heap().stats();

  Mutator& receiving = receiver.Enter();
  const uint64_t source_bytes = source.region().stats().block_bytes;
  const uint64_t receiver_bytes = receiver.region().stats().block_bytes;
  Adopt(receiver, source, 0, 3);

  EXPECT_EQ(source.region().stats().block_bytes, 0u);
  EXPECT_EQ(receiver.region().stats().block_bytes, source_bytes + receiver_bytes);
  EXPECT_EQ(receiver.region().stats().adoptions, 1u);
  const HeapStats after = heap().stats();
  EXPECT_EQ(after.free_bytes, before.free_bytes);
  EXPECT_EQ(after.mapped_bytes, before.mapped_bytes);
  EXPECT_EQ(after.region_bytes, before.region_bytes);
  EXPECT_EQ(receiver.RootObject(0), head);
  EXPECT_EQ(receiving.TagOf(head.address()), tag_of_small);
  EXPECT_EQ(receiving.TagOf(large.address()), tag_of_large);
  EXPECT_EQ(*reinterpret_cast<Word*>(head.address()), header_word);
  // Young or not: for the receiver's barrier it is old.
  EXPECT_FALSE(IsYoung(receiving, head));
}

TEST_F(Adoption, StoresIntoAdoptedObjectsAreRemembered) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    TestRegion receiver(heap());
    TestRegion source(heap());
    source.Enter();
    source.SetRoot(0, NewPair(source.mutator(), 1));
    source.SetRoot(1, source.mutator().AllocateArray(*types().array, 5'000));
    AgeTo(source, age);
    Mutator& mutator = receiver.Enter();
    Adopt(receiver, source, 0, 2);
    Link(mutator, receiver.RootObject(0), kA, NewPair(mutator, 2));
    Link(mutator, receiver.RootObject(1), ElementAt(4'321), NewPair(mutator, 3));
    for (int i = 0; i < 4; ++i) {
      Minor(receiver);
      ASSERT_EQ(IdAt(Load(receiver.RootObject(0), kA)), 2u);
      ASSERT_EQ(IdAt(Load(receiver.RootObject(1), ElementAt(4'321))), 3u);
      ExpectValid();
      // And once more, now that the first has aged.
      Link(mutator, receiver.RootObject(0), kB, NewPair(mutator, 4));
    }
    Major(receiver);
    EXPECT_EQ(IdAt(Load(receiver.RootObject(0), kA)), 2u);
    EXPECT_EQ(IdAt(Load(receiver.RootObject(0), kB)), 4u);
  }
}

TEST_F(Adoption, ARememberedFlagSetBeforeIsNotForgotten) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  Mutator& sending = source.Enter();
  source.SetRoot(0, NewPair(sending, 1));
  Major(source);
  // Remembered in the source: the flag is set, and the barrier will not add it again.
  Link(sending, source.RootObject(0), kA, NewPair(sending, 2));
  Mutator& mutator = receiver.Enter();
  Adopt(receiver, source, 0, 1);
  Link(mutator, receiver.RootObject(0), kB, NewPair(mutator, 3));
  for (int i = 0; i < 4; ++i) {
    Minor(receiver);
    ASSERT_EQ(IdAt(Load(receiver.RootObject(0), kA)), 2u);
    ASSERT_EQ(IdAt(Load(receiver.RootObject(0), kB)), 3u);
    ExpectValid();
  }
}

TEST_F(Adoption, PartsAreMergedByTheNextMajor) {
  TestRegion receiver(heap());
  Mutator& mutator = receiver.Enter();
  receiver.SetRoot(0, NewPair(mutator, 0));
  for (size_t i = 0; i < 20; ++i) {
    mutator.EnterNative();
    TestRegion source(heap());
    source.Enter();
    MakeList(source, 0, i * 1000, 100);
    if (i % 2 == 0) Minor(source);
    source.Leave();
    mutator.LeaveNative();
    ASSERT_TRUE(receiver.region().Adopt(source.region()).ok());
    receiver.Root(1 + i) = source.Root(0);
    source.ClearRoots();
  }
  EXPECT_EQ(receiver.region().stats().adoptions, 20u);
  ExpectValid();
  Major(receiver);
  ExpectValid();
  for (size_t i = 0; i < 20; ++i) {
    ExpectList(receiver.RootObject(1 + i), i * 1000, 100);
    // Merged: all are of one part, the receiver's own.
    EXPECT_EQ(mutator.TagOf(receiver.RootObject(1 + i).address()),
              mutator.young_tag() & ~tag::kYoung);
  }
  // 2,000 pairs need 2 blocks, not the 20 or more they came in.
  EXPECT_LE(receiver.region().stats().live_bytes, 2'001 * sizeof(PairObject));
}

TEST_F(Adoption, DeadObjectsOfAnAdoptedPartGo) {
  Counter finalized;
  TestRegion receiver(heap());
  TestRegion source(heap());
  Mutator& sending = source.Enter();
  source.SetRoot(0, NewPair(sending, 1));
  source.SetRoot(1, NewPair(sending, 2));
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        sending.AddFinalizer(source.RootObject(i), FinalizerKind::kNative, Counter::Add, &finalized)
            .ok());
  }
  receiver.Enter();
  Adopt(receiver, source, 0, 1);
  Minor(receiver);
  EXPECT_EQ(finalized.calls, 0) << "for a minor, what was adopted is old";
  Major(receiver);
  EXPECT_EQ(finalized.calls, 1);
  EXPECT_EQ(IdAt(receiver.RootObject(0)), 1u);
}

TEST_F(Adoption, GuardiansWeakReferencesAndHashesAreTakenOver) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  Mutator& sending = source.Enter();
  source.SetRoot(0, NewPair(sending, 1));
  source.SetRoot(1, sending.Allocate(*types().weak));
  Link(sending, source.RootObject(1), 8, source.RootObject(0));
  ASSERT_TRUE(
      sending.AddFinalizer(source.RootObject(0), FinalizerKind::kGuardian, nullptr, nullptr).ok());
  const uint32_t hash = sending.IdentityHash(source.RootObject(0));
  Mutator& mutator = receiver.Enter();
  Adopt(receiver, source, 0, 2);
  EXPECT_EQ(mutator.IdentityHash(receiver.RootObject(0)), hash);
  Major(receiver);
  EXPECT_EQ(mutator.IdentityHash(receiver.RootObject(0)), hash);
  EXPECT_EQ(WeakGet(receiver.RootObject(1)), RefOf(receiver.RootObject(0)));
  receiver.Root(0) = 0;
  Major(receiver);
  EXPECT_EQ(WeakGet(receiver.RootObject(1)).word, 0u);
  const Ref guarded = receiver.region().NextGuarded();
  ASSERT_NE(guarded.word, 0u);
  EXPECT_EQ(IdAt(ObjectOf(guarded)), 1u);
  EXPECT_EQ(mutator.IdentityHash(ObjectOf(guarded)), hash);
}

TEST_F(Adoption, ExternalBytesAreTakenOver) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  source.Enter().AdjustExternalBytes(5'000);
  receiver.Enter().AdjustExternalBytes(300);
  Adopt(receiver, source, 0, 0);
  EXPECT_EQ(source.region().stats().external_bytes, 0u);
  EXPECT_EQ(receiver.region().stats().external_bytes, 5'300u);
  EXPECT_EQ(heap().stats().external_bytes, 5'300u);
}

TEST_F(Adoption, PersistentsOfTheSourceHoldNullAfterwards) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  source.Enter();
  source.SetRoot(0, NewPair(source.mutator(), 1));
  Persistent persistent(source.region(), RefOf(source.RootObject(0)));
  receiver.Enter();
  Adopt(receiver, source, 0, 1);
  EXPECT_EQ(persistent.Get().word, 0u);
}

TEST_F(Adoption, TheSourceCanBeUsedAgain) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  receiver.Enter();
  for (size_t round = 0; round < 5; ++round) {
    receiver.mutator().EnterNative();
    source.Enter();
    MakeList(source, 0, round * 100, 100);
    receiver.mutator().LeaveNative();
    Adopt(receiver, source, round, 1);
  }
  for (size_t round = 0; round < 5; ++round) {
    ExpectList(receiver.RootObject(round), round * 100, 100);
  }
  Major(receiver);
  ExpectValid();
}

TEST_F(Adoption, WithoutAMutatorOnEitherSide) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  source.Enter();
  MakeList(source, 0, 1, 100);
  Adopt(receiver, source, 0, 1);
  Group();
  receiver.Enter();
  ExpectList(receiver.RootObject(0), 1, 100);
  Major(receiver);
  ExpectList(receiver.RootObject(0), 1, 100);
  ExpectValid();
}

TEST_F(Adoption, TheSourcesMutatorGoesOnWithAnEmptyRegion) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  Mutator& sender = source.Enter("sender");
  sender.EnterNative();
  receiver.Enter();
  for (size_t round = 0; round < 5; ++round) {
    receiver.mutator().EnterNative();
    sender.LeaveNative();
    // What the sender remembered of the last round must not reach into this one.
    MakeList(source, 0, round * 1'000, 500);
    if (round % 2 == 1) AgeTo(source, Age::kOld);
    const ObjectPtr young = NewPair(sender, round);
    Link(sender, source.RootObject(0), kB, young);
    EXPECT_TRUE(IsYoung(sender, young));
    sender.EnterNative();
    receiver.mutator().LeaveNative();
    const uint32_t tag = receiver.mutator().TagOf(source.Root(0));
    const Status status = receiver.region().Adopt(source.region());
    ASSERT_TRUE(status.ok()) << status.message();
    receiver.Root(round) = source.Root(0);
    source.ClearRoots();
    EXPECT_EQ(receiver.mutator().TagOf(receiver.Root(round)), tag);
    EXPECT_EQ(source.region().stats().block_bytes, 0u);
    ExpectValid();
    if (round == 2) Minor(receiver);
  }
  receiver.mutator().EnterNative();
  sender.LeaveNative();
  MakeList(source, 0, 77, 500);
  Minor(source);
  Major(source);
  ExpectList(source.RootObject(0), 77, 500);
  sender.EnterNative();
  receiver.mutator().LeaveNative();
  Major(receiver);
  for (size_t round = 0; round < 5; ++round) {
    ExpectList(receiver.RootObject(round), round * 1'000, 500);
    EXPECT_EQ(IdAt(Load(receiver.RootObject(round), kB)), round);
  }
  ExpectValid();
}

// A source that goes on needs a part of its own.
TEST_F(Adoption, WithoutPartIdsTheSourceKeepsAll) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  Mutator& sender = source.Enter("sender");
  MakeList(source, 0, 1, 500);
  sender.EnterNative();
  receiver.Enter();
  platform::faults::FailNth(platform::faults::Request::kPartId, 1, true);
  Status status = receiver.region().Adopt(source.region());
  platform::faults::Reset();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("part ids"));
  EXPECT_EQ(receiver.region().stats().adoptions, 0u);
  ExpectList(source.RootObject(0), 1, 500);
  ExpectValid();
  status = receiver.region().Adopt(source.region());
  ASSERT_TRUE(status.ok()) << status.message();
  receiver.Root(0) = source.Root(0);
  source.ClearRoots();
  Major(receiver);
  ExpectList(receiver.RootObject(0), 1, 500);
  ExpectValid();
}

TEST_F(Adoption, ThreadAffineFinalizersStayWithTheirMutator) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  Counter affine;
  Counter native;
  Mutator& sender = source.Enter("sender");
  source.SetRoot(0, NewPair(sender, 1));
  const ObjectPtr object = source.RootObject(0);
  ASSERT_TRUE(
      sender.AddFinalizer(object, FinalizerKind::kThreadAffine, Counter::Add, &affine, 300).ok());
  ASSERT_TRUE(sender.AddFinalizer(object, FinalizerKind::kNative, Counter::Add, &native, 20).ok());
  sender.EnterNative();
  receiver.Enter();
  const Status status = receiver.region().Adopt(source.region());
  ASSERT_TRUE(status.ok()) << status.message();
  source.ClearRoots();
  EXPECT_FALSE(source.region().state().had_finalizers.load());
  EXPECT_TRUE(receiver.region().state().had_finalizers.load());
  EXPECT_EQ(affine.calls, 0) << "only on its own thread, at a poll";
  EXPECT_EQ(source.region().stats().external_bytes, 300u);
  EXPECT_EQ(receiver.region().stats().external_bytes, 20u);
  Major(receiver);
  EXPECT_EQ(native.calls, 1);
  EXPECT_EQ(affine.calls, 0);
  receiver.mutator().EnterNative();
  sender.LeaveNative();
  sender.Poll();
  EXPECT_EQ(affine.calls, 1);
  EXPECT_EQ(heap().stats().external_bytes, 0u);
  source.Leave();
  EXPECT_EQ(affine.calls, 1);
}

TEST_F(Adoption, RefusesARunningSourceItselfAndAnotherHeap) {
  TestRegion receiver(heap());
  TestRegion source(heap());
  receiver.Enter();
  receiver.mutator().EnterNative();
  Mutator& sender = source.Enter("sender");
  source.SetRoot(0, NewPair(sender, 5));
  Status status = receiver.region().Adopt(source.region());
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("its mutator \"sender\" is running"));
  {
    const HandleScope scope(sender);
    const LocalRef local(sender, RefOf(source.RootObject(0)));
    sender.EnterNative();
    status = receiver.region().Adopt(source.region());
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), ::testing::HasSubstr("\"sender\" has a HandleScope"));
    sender.LeaveNative();
  }
  EXPECT_EQ(IdAt(source.RootObject(0)), 5u);
  EXPECT_EQ(receiver.region().stats().block_bytes, 0u);
  status = source.region().Adopt(source.region());
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);

  Result<std::unique_ptr<Heap>> other = CreateHeap({});
  ASSERT_TRUE(other.ok());
  {
    TestRegion foreign(*other.value());
    status = receiver.region().Adopt(foreign.region());
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace Atoll
