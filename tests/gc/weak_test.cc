// In which order do weak things end? strong, ephemerons, weak values cleared, guardians resurrect,
// ephemerons again, weak keys cleared, native finalizers last.
#include <thread>

#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

class WeakThings : public GcTest {
 protected:
  ObjectPtr NewWeak(Mutator& mutator, ObjectPtr target) {
    // The target must be in a root of the test: this may collect.
    const ObjectPtr weak = mutator.Allocate(*types().weak);
    StoreInitial(mutator, weak, SlotAt(weak, 8), RefOf(target));
    return weak;
  }
  ObjectPtr NewEphemeron(Mutator& mutator, ObjectPtr key, ObjectPtr value) {
    const ObjectPtr ephemeron = mutator.Allocate(*types().ephemeron);
    StoreInitial(mutator, ephemeron, SlotAt(ephemeron, 8), RefOf(key));
    StoreInitial(mutator, ephemeron, SlotAt(ephemeron, 16), RefOf(value));
    return ephemeron;
  }
  static void Guard(Mutator& mutator, ObjectPtr object) {
    ASSERT_TRUE(mutator.AddFinalizer(object, FinalizerKind::kGuardian, nullptr, nullptr).ok());
  }
};

TEST_F(WeakThings, AnImmediateInAWeakReferenceStays) {
  for (const Kind kind : kKinds) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, mutator.Allocate(*types().weak));
    Store(mutator, region.RootObject(0), SlotAt(region.RootObject(0), 8), Ref{41});
    Run(region, kind);
    EXPECT_EQ(WeakGet(region.RootObject(0)).word, 41u);
  }
}

TEST_F(WeakThings, AStrongFieldOfAWeakReferenceIsStrong) {
  for (const Kind kind : kKinds) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 5));
    region.SetRoot(0, [&] {
      const ObjectPtr weak = mutator.Allocate(*types().weak);
      Link(mutator, weak, 24, region.RootObject(0));
      return weak;
    }());
    Run(region, kind);
    EXPECT_EQ(IdAt(Load(region.RootObject(0), 24)), 5u);
  }
}

TEST_F(WeakThings, ChainsOfEphemeronsAreFollowedInAnyOrder) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(ToString(kind));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    // The value of each is the key of the next; an array holds them in an order that a single
    // pass would get wrong. Only the first key is rooted.
    constexpr size_t kCount = 300;
    region.SetRoot(0, NewPair(mutator, 0));
    region.SetRoot(1, region.RootObject(0));
    region.SetRoot(2, mutator.AllocateArray(*types().array, kCount));
    for (size_t i = 0; i < kCount; ++i) {
      region.SetRoot(3, NewPair(mutator, i + 1));
      const ObjectPtr ephemeron = NewEphemeron(mutator, region.RootObject(1), region.RootObject(3));
      Link(mutator, region.RootObject(2), ElementAt(kCount - 1 - i), ephemeron);
      region.SetRoot(1, region.RootObject(3));
    }
    region.Root(1) = region.Root(3) = 0;
    Run(region, kind);
    ObjectPtr key = region.RootObject(0);
    for (size_t i = 0; i < kCount; ++i) {
      const ObjectPtr ephemeron = Load(region.RootObject(2), ElementAt(kCount - 1 - i));
      ASSERT_EQ(Load(ephemeron, 8), key);
      key = Load(ephemeron, 16);
      ASSERT_EQ(IdAt(key), i + 1);
    }
    // Without its first key the whole chain goes.
    region.Root(0) = 0;
    Major(region);
    for (size_t i = 0; i < kCount; ++i) {
      const ObjectPtr ephemeron = Load(region.RootObject(2), ElementAt(i));
      ASSERT_EQ(SlotAt(ephemeron, 8).Load().word, 0u);
      ASSERT_EQ(SlotAt(ephemeron, 16).Load().word, 0u);
    }
    ExpectValid();
  }
}

TEST_F(WeakThings, AnEphemeronWhoseValueRefersToItsKeyDies) {
  for (const Kind kind : kKinds) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 1));
    region.SetRoot(1, NewPair(mutator, 2));
    Link(mutator, region.RootObject(1), kA, region.RootObject(0));
    region.SetRoot(2, NewEphemeron(mutator, region.RootObject(0), region.RootObject(1)));
    region.Root(0) = region.Root(1) = 0;
    Run(region, kind);
    EXPECT_EQ(SlotAt(region.RootObject(2), 8).Load().word, 0u);
    EXPECT_EQ(SlotAt(region.RootObject(2), 16).Load().word, 0u);
  }
}

TEST_F(WeakThings, AGuardianHandsBackTheDeadObjectOnceWithAllItReaches) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(ToString(kind));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 1));
    region.SetRoot(1, NewPair(mutator, 2));
    Link(mutator, region.RootObject(0), kA, region.RootObject(1));
    Guard(mutator, region.RootObject(0));
    region.Root(1) = 0;
    Run(region, kind);
    EXPECT_EQ(region.region().NextGuarded().word, 0u) << "it lives";
    // By now it may be old.
    const bool young = IsYoung(mutator, region.RootObject(0));
    region.Root(0) = 0;
    Run(region, kind == Kind::kMinor && !young ? Kind::kMajor : kind);
    Minor(region);
    Major(region);  // in the queue it is safe from any collection
    const Ref guarded = region.region().NextGuarded();
    ASSERT_NE(guarded.word, 0u);
    EXPECT_EQ(IdAt(ObjectOf(guarded)), 1u);
    EXPECT_EQ(IdAt(Load(ObjectOf(guarded), kA)), 2u);
    EXPECT_EQ(region.region().NextGuarded().word, 0u);
    // Rooted again it lives on, and is not handed back a second time.
    region.SetRoot(0, ObjectOf(guarded));
    Major(region);
    EXPECT_EQ(IdAt(region.RootObject(0)), 1u);
    region.Root(0) = 0;
    Major(region);
    EXPECT_EQ(region.region().NextGuarded().word, 0u);
  }
}

TEST_F(WeakThings, WeakReferencesAreClearedBeforeGuardiansResurrect) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(ToString(kind));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 1));
    region.SetRoot(1, NewWeak(mutator, region.RootObject(0)));
    Guard(mutator, region.RootObject(0));
    region.Root(0) = 0;
    Run(region, kind);
    EXPECT_EQ(WeakGet(region.RootObject(1)).word, 0u);
    EXPECT_NE(region.region().NextGuarded().word, 0u);
  }
}

TEST_F(WeakThings, EphemeronsKeepValuesOfResurrectedKeys) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(ToString(kind));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 1));
    region.SetRoot(1, NewPair(mutator, 2));
    region.SetRoot(2, NewEphemeron(mutator, region.RootObject(0), region.RootObject(1)));
    Guard(mutator, region.RootObject(0));
    region.Root(0) = region.Root(1) = 0;
    Run(region, kind);
    const Ref key = region.region().NextGuarded();
    ASSERT_NE(key.word, 0u);
    EXPECT_EQ(SlotAt(region.RootObject(2), 8).Load(), key);
    ASSERT_NE(SlotAt(region.RootObject(2), 16).Load().word, 0u);
    EXPECT_EQ(IdAt(Load(region.RootObject(2), 16)), 2u);
  }
}

TEST_F(WeakThings, NativeFinalizersWaitUntilNothingBringsTheObjectBack) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(ToString(kind));
    Counter finalized;
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 1));
    region.SetRoot(1, NewPair(mutator, 2));
    Link(mutator, region.RootObject(0), kA, region.RootObject(1));
    Guard(mutator, region.RootObject(0));
    ASSERT_TRUE(
        mutator.AddFinalizer(region.RootObject(1), FinalizerKind::kNative, Counter::Add, &finalized)
            .ok());
    region.Root(0) = region.Root(1) = 0;
    Run(region, kind);
    EXPECT_EQ(finalized.calls, 0) << "the guarded object still refers to it";
    EXPECT_NE(region.region().NextGuarded().word, 0u);
    Major(region);
    EXPECT_EQ(finalized.calls, 1);
  }
}

TEST_F(WeakThings, SeveralFinalizersOfOneObjectAllRun) {
  Counter finalized;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        mutator.AddFinalizer(region.RootObject(0), FinalizerKind::kNative, Counter::Add, &finalized)
            .ok());
  }
  Major(region);
  EXPECT_EQ(finalized.calls, 0);
  region.Root(0) = 0;
  Major(region);
  EXPECT_EQ(finalized.calls, 3);
}

TEST_F(WeakThings, ThreadAffineFinalizersRunAtAPollOfTheirMutator) {
  struct Note {
    std::thread::id ran_on;
    static void Take(void* data) { static_cast<Note*>(data)->ran_on = std::this_thread::get_id(); }
  };
  Note note;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  ASSERT_TRUE(
      mutator.AddFinalizer(region.RootObject(0), FinalizerKind::kThreadAffine, Note::Take, &note)
          .ok());
  region.Root(0) = 0;
  mutator.EnterNative();
  // Another thread collects everything.
  std::thread([&] { Group(); }).join();
  mutator.LeaveNative();
  mutator.Poll();
  EXPECT_EQ(note.ran_on, std::this_thread::get_id());
}

TEST_F(WeakThings, ThreadAffineFinalizersRunWhenTheMutatorDetaches) {
  Counter finalized;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  ASSERT_TRUE(mutator
                  .AddFinalizer(region.RootObject(0), FinalizerKind::kThreadAffine, Counter::Add,
                                &finalized)
                  .ok());
  region.Leave();
  EXPECT_EQ(finalized.calls, 1);
  region.Enter();
  region.Root(0) = 0;
  Major(region);
  EXPECT_EQ(finalized.calls, 1);
}

TEST_F(WeakThings, FinalizersRunWhenTheRegionEnds) {
  Counter finalized;
  {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    for (size_t i = 0; i < 3; ++i) {
      region.SetRoot(i, NewPair(mutator, i));
      ASSERT_TRUE(mutator
                      .AddFinalizer(region.RootObject(i), FinalizerKind::kNative, Counter::Add,
                                    &finalized, 1000)
                      .ok());
      AgeTo(region, Age::kSurvivor);
    }
    EXPECT_EQ(region.region().stats().external_bytes, 3000u);
  }
  EXPECT_EQ(finalized.calls, 3);
  EXPECT_EQ(heap().stats().external_bytes, 0u);
}

TEST_F(WeakThings, ExternalBytesOfAFinalizerCountUntilItRuns) {
  Counter finalized;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  ASSERT_TRUE(mutator
                  .AddFinalizer(region.RootObject(0), FinalizerKind::kNative, Counter::Add,
                                &finalized, 12'345)
                  .ok());
  EXPECT_EQ(region.region().stats().external_bytes, 12'345u);
  Major(region);
  EXPECT_EQ(region.region().stats().external_bytes, 12'345u);
  region.Root(0) = 0;
  Major(region);
  EXPECT_EQ(finalized.calls, 1);
  EXPECT_EQ(region.region().stats().external_bytes, 0u);
}

TEST_F(WeakThings, AFinalizerMayNotBeGivenToASharedObject) {
  Counter finalized;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr program = heap().AllocateProgram(*types().pair);
  const Status status =
      mutator.AddFinalizer(program, FinalizerKind::kNative, Counter::Add, &finalized);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("Pair"));
}

TEST_F(WeakThings, WeakPersistentsFollowTheirObject) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  WeakPersistent weak(region.region(), RefOf(region.RootObject(0)));
  for (int i = 0; i < 4; ++i) {
    i == 3 ? Major(region) : Minor(region);
    EXPECT_EQ(weak.Get(), RefOf(region.RootObject(0)));
  }
}

}  // namespace
}  // namespace Atoll
