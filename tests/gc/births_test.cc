// Where nearly all that is allocated survives, it is born old. Is nothing lost, and for how long?
#include "heap/region_state.h"
#include "tests/gc/gc_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

// Tens of megabytes go through nurseries of 64 KiB.
constexpr char kTooLong[] = "takes minutes; the stress suite verifies what is born old";

class Births : public GcTest {
 protected:
  Births() {
    options().nursery_bytes = 64 * 1024;
    options().max_nursery_bytes = 128 * 1024;
  }
  static uint64_t BornOld(TestRegion& region) { return region.region().stats().born_old_bytes; }
  static bool AreOld(TestRegion& region) { return region.region().state().births_old; }
  static bool IsOldBlock(Mutator& mutator, ObjectPtr object) {
    return (mutator.TagOf(object.address()) & tag::kYoung) == 0;
  }
  /// Pairs that live until the region's objects are born old.
  size_t LiveUntilBornOld(TestRegion& region, size_t root) {
    size_t count = 0;
    for (; !AreOld(region) && count < 100'000; ++count) {
      const ObjectPtr pair = NewPair(region.mutator(), count);
      Link(region.mutator(), pair, kA, region.RootObject(root));
      region.SetRoot(root, pair);
    }
    return count;
  }
  /// Drops every other `group` of what MakeMany made: holes of that many pairs, after a major.
  static void DropGroups(TestRegion& region, size_t count, size_t group) {
    for (size_t i = 0; i < count; ++i) {
      if (i / group % 2 != 0)
        Link(region.mutator(), region.RootObject(0), ElementAt(i), ObjectPtr());
    }
  }
  static void ExpectDescending(ObjectPtr head, size_t count) {
    for (; head; head = Load(head, kA)) ASSERT_EQ(IdAt(head), --count);
    EXPECT_EQ(count, 0u);
  }
};

TEST_F(Births, AreOldOnceNearlyAllSurvivesTimeAndAgain) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const size_t count = LiveUntilBornOld(region, 0);
  ASSERT_TRUE(AreOld(region));
  EXPECT_GT(count * sizeof(PairObject), 3u * 64 * 1024);  // it takes three nurseries
  const uint64_t minors = region.region().stats().minors;
  MakeList(region, 1, 1, 100'000);
  EXPECT_TRUE(IsOldBlock(mutator, region.RootObject(1)));
  Minor(region);
  EXPECT_GE(BornOld(region), 100'000 * sizeof(PairObject));
  if (!IsStressed(heap())) {
    EXPECT_EQ(region.region().stats().minors, minors + 1);
  }
  ExpectValid();
  Major(region);
  ExpectDescending(region.RootObject(0), count);
  ExpectList(region.RootObject(1), 1, 100'000);
  ExpectValid();
}

TEST_F(Births, TheNurseryThatDidNotHelpIsGivenBack) {
  TestRegion region(heap());
  region.Enter();
  constexpr size_t kCount = 100'000;
  MakeMany(region, kCount);
  Major(region);
  DropGroups(region, kCount, 16);
  Major(region);
  region.region().state().SetBirthsOld(false);  // copies into these holes empty young blocks
  region.region().state().mass_survivals = 0;
  LiveUntilBornOld(region, 1);
  ASSERT_TRUE(AreOld(region));
  EXPECT_EQ(region.region().state().spare_young.block_count(), 0u);
  ExpectValid();
}

TEST_F(Births, AreYoungAgainWhenTheirChildrenDie) {
  if (IsVerified(heap())) GTEST_SKIP() << kTooLong;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const size_t count = LiveUntilBornOld(region, 0);
  // Garbage, no more than the budget, and then nurseries of it.
  size_t garbage = 0;
  for (; AreOld(region) && garbage < 10'000'000; ++garbage) NewPair(mutator, 0);
  EXPECT_FALSE(AreOld(region));
  const uint64_t born_old = BornOld(region);
  EXPECT_LE(born_old, RegionState::kMostBornOld + (size_t{1} << 20));
  for (size_t i = 0; i < 100'000; ++i) NewPair(mutator, 0);
  EXPECT_FALSE(AreOld(region));
  EXPECT_TRUE(IsYoung(mutator, NewPair(mutator, 1)));
  EXPECT_EQ(BornOld(region), born_old);
  ExpectDescending(region.RootObject(0), count);
  ExpectValid();
}

TEST_F(Births, AreTriedYoungNowAndThenAndOldAgainWhileAllSurvives) {
  if (IsVerified(heap())) GTEST_SKIP() << kTooLong;
  TestRegion region(heap());
  region.Enter();
  LiveUntilBornOld(region, 0);
  const uint64_t minors = region.region().stats().minors;
  // Two budgets: what lives is replaced, but lives longer than a nursery.
  region.SetRoot(1, region.mutator().AllocateArray(*types().array, 100'000));
  for (size_t i = 0; i < 2 * RegionState::kMostBornOld / sizeof(PairObject); ++i) {
    const ObjectPtr pair = NewPair(region.mutator(), i);
    Link(region.mutator(), region.RootObject(1), ElementAt(i % 100'000), pair);
  }
  const RegionStats stats = region.region().stats();
  EXPECT_GE(stats.born_old_bytes, RegionState::kMostBornOld + RegionState::kMostBornOld / 2);
  EXPECT_GE(stats.minors, minors + 2);
  EXPECT_GE(stats.majors, 1u);
  ExpectValid();
}

class BornOld : public Births {
 protected:
  BornOld() { options().stress.born_old = true; }
};

TEST_F(BornOld, ObjectsOfEverySizeAreOldAndWhole) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  constexpr size_t kCount = 3'000;
  region.SetRoot(0, mutator.AllocateArray(*types().array, kCount));
  auto length = [](size_t i) { return i * i % 20'011; };
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < kCount; ++i) {
      if (round != 0 && i % 3 != 0) continue;  // the others stay, with holes about them
      const ObjectPtr bytes = mutator.AllocateArray(*types().bytes, length(i));
      ASSERT_TRUE(bytes);
      EXPECT_TRUE(IsOldBlock(mutator, bytes));
      auto* data = reinterpret_cast<uint8_t*>(bytes.address() + kElements);
      for (size_t at = 0; at < length(i); ++at) ASSERT_EQ(data[at], 0);
      std::memset(data, static_cast<int>(i % 251), length(i));
      Link(mutator, region.RootObject(0), ElementAt(i), bytes);
    }
    ExpectValid();
    Major(region);
  }
  for (size_t i = 0; i < kCount; ++i) {
    const ObjectPtr bytes = Load(region.RootObject(0), ElementAt(i));
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.address() + kElements);
    ASSERT_EQ(mutator.LengthOf(bytes), length(i));
    for (size_t at = 0; at < length(i); ++at) ASSERT_EQ(data[at], i % 251);
  }
}

TEST_F(BornOld, HolesAreFilledAndMemoryDoesNotGrow) {
  TestRegion region(heap());
  region.Enter();
  constexpr size_t kCount = 100'000;
  MakeMany(region, kCount);
  Major(region);
  DropGroups(region, kCount, 8);  // two lines
  Major(region);
  const uint64_t before = region.region().stats().block_bytes;
  for (size_t i = 0; i < kCount; ++i) {
    if (i / 8 % 2 == 0) continue;
    const ObjectPtr pair = NewPair(region.mutator(), i);
    Link(region.mutator(), region.RootObject(0), ElementAt(i), pair);
  }
  ExpectThinned(region, kCount, 1);
  // Some holes adjoin lines that are taken to be in use. (Where everything is moved there is none.)
  if (!IsStressed(heap())) {
    EXPECT_LE(region.region().stats().block_bytes, before + before / 4);
  }
  ExpectValid();
}

TEST_F(BornOld, StoreInitialIsLegal) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (int i = 0; i < 10'000; ++i) {
    const ObjectPtr pair = NewPair(mutator, 1);
    StoreInitial(mutator, pair, SlotAt(pair, kA), RefOf(region.RootObject(0)));
    region.SetRoot(0, pair);
  }
  EXPECT_TRUE(violations().empty());
  Minor(region);
  ExpectValid();
}

TEST_F(BornOld, AnObjectThatShrankLeavesAWalkableGap) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2'000; ++i) {
    const ObjectPtr array = mutator.AllocateArray(*types().array, 5);
    ASSERT_TRUE(mutator.ShrinkInPlace(array, i % 5).ok());
    if (i % 5 == 0) continue;
    Link(mutator, array, kElements, region.RootObject(0));
    region.SetRoot(0, array);
  }
  ExpectValid();
  Major(region);
  size_t length = 0;
  for (ObjectPtr at = region.RootObject(0); at; at = Load(at, kElements)) ++length;
  EXPECT_EQ(length, 1'600u);
  ExpectValid();
}

TEST_F(BornOld, TheWeakAndTheDueAreSettledByTheNextMajor) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  Counter counter;
  region.SetRoot(0, mutator.Allocate(*types().weak));
  region.SetRoot(1, mutator.Allocate(*types().ephemeron));
  const ObjectPtr dead = NewPair(mutator, 1);
  ASSERT_TRUE(mutator.AddFinalizer(dead, FinalizerKind::kNative, Counter::Add, &counter).ok());
  Link(mutator, region.RootObject(0), 8, dead);
  Link(mutator, region.RootObject(1), 8, dead);
  Link(mutator, region.RootObject(1), 16, region.RootObject(0));
  Minor(region);
  EXPECT_TRUE(Load(region.RootObject(0), 8));
  EXPECT_EQ(counter.calls, 0);
  Major(region);
  EXPECT_FALSE(Load(region.RootObject(0), 8));
  EXPECT_FALSE(Load(region.RootObject(1), 8));
  EXPECT_EQ(counter.calls, 1);
  ExpectValid();
}

TEST_F(BornOld, AnAdoptedRegionIsWhole) {
  TestRegion receiver(heap());
  receiver.Enter("receiver");
  MakeList(receiver, 0, 1, 5'000);
  for (size_t i = 0; i < 20; ++i) {
    TestRegion source(heap());
    source.Enter("source");
    MakeList(source, 0, 1, 1'000 + i);
    Adopt(receiver, source, 1 + i, 1);
    // Of a part that is not the own one: the barrier may remember it, for nothing.
    Link(receiver.mutator(), receiver.RootObject(1 + i), kB, NewPair(receiver.mutator(), 7));
    ExpectValid();
    if (i % 5 == 0) Minor(receiver);
  }
  Major(receiver);
  for (size_t i = 0; i < 20; ++i) {
    ExpectList(receiver.RootObject(1 + i), 1, 1'000 + i);
    EXPECT_EQ(IdAt(Load(receiver.RootObject(1 + i), kB)), 7u);
  }
  ExpectValid();
}

TEST_F(BornOld, AnExhaustedLimitRefusesAndNothingIsLost) {
  TestRegion region(heap(), {.limit_bytes = size_t{2} << 20});
  Mutator& mutator = region.Enter();
  size_t count = 0;
  while (const ObjectPtr pair = NewPair(mutator, count)) {
    Link(mutator, pair, kA, region.RootObject(0));
    region.SetRoot(0, pair);
    ++count;
    ASSERT_LT(count, 1'000'000u);
  }
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_GE(count * sizeof(PairObject), (size_t{2} << 20) * 3 / 4);
  ExpectDescending(region.RootObject(0), count);
  ExpectValid();
  // Dropped, its memory is there again.
  region.SetRoot(0, ObjectPtr());
  MakeList(region, 1, 1, count / 2);
  ExpectList(region.RootObject(1), 1, count / 2);
  ExpectValid();
}

TEST_F(BornOld, GarbageIsBoundedByTheLimitOfOld) {
  TestRegion region(heap(), {.limit_bytes = size_t{8} << 20});
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2'000'000; ++i) ASSERT_TRUE(NewPair(mutator, i));
  for (size_t i = 0; i < 2'000; ++i) {
    ASSERT_TRUE(mutator.AllocateArray(*types().bytes, 100'000));  // large ones
  }
  const RegionStats stats = region.region().stats();
  EXPECT_GE(stats.majors, 10u);
  EXPECT_LE(stats.block_bytes, size_t{8} << 20);
  ExpectValid();
}

// What the verifier is to see.

TEST_F(Births, TheVerifierSeesAYoungBlockAmongBirthsThatAreOld) {
  TestRegion region(heap());
  region.Enter();
  region.SetRoot(0, NewPair(region.mutator(), 1));
  RegionState& state = region.region().state();
  state.births_old = true;
  EXPECT_THAT(heap().Verify().message(), ::testing::HasSubstr("blocks are young"));
  state.births_old = false;
  ExpectValid();
}

TEST_F(Births, TheVerifierSeesABarrierOfTheOtherKind) {
  TestRegion region(heap());
  region.Enter();
  Minor(region);
  RegionState& state = region.region().state();
  state.births_old = true;
  EXPECT_THAT(heap().Verify().message(), ::testing::HasSubstr("for young"));
  state.births_old = false;
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
