// When does an object become old, and does it stay itself?
#include "tests/gc/gc_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

class Ageing : public GcTest {};

TEST_F(Ageing, FreshObjectsAreYoung) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  EXPECT_TRUE(IsYoung(mutator, NewPair(mutator, 1)));
}

TEST_F(Ageing, SurvivesOnceInTheYoungGenerationThenIsPromoted) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  const ObjectPtr born = region.RootObject(0);
  MinorAmongGarbage(region);
  EXPECT_NE(region.RootObject(0), born);
  EXPECT_TRUE(IsYoung(mutator, region.RootObject(0)));
  const ObjectPtr survivor = region.RootObject(0);
  MinorAmongGarbage(region);
  EXPECT_NE(region.RootObject(0), survivor);
  EXPECT_FALSE(IsYoung(mutator, region.RootObject(0)));
  const ObjectPtr old = region.RootObject(0);
  MinorAmongGarbage(region);
  EXPECT_EQ(region.RootObject(0), old);
  EXPECT_EQ(IdAt(old), 1u);
  ExpectValid();
}

TEST_F(Ageing, MajorPromotesEverything) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 1000);
  Major(region);
  for (ObjectPtr at = region.RootObject(0); at; at = Load(at, kA)) {
    ASSERT_FALSE(IsYoung(mutator, at));
  }
  ExpectList(region.RootObject(0), 1, 1000);
  ExpectValid();
}

TEST_F(Ageing, LargeObjectsAreBornYoungAndPromotedWhereTheyAre) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*types().array, 5000));
  const ObjectPtr born = region.RootObject(0);
  EXPECT_TRUE(IsYoung(mutator, born));
  AgeTo(region, Age::kOld);
  EXPECT_EQ(region.RootObject(0), born);
  EXPECT_FALSE(IsYoung(mutator, born));
  EXPECT_EQ(mutator.LengthOf(born), 5000u);
  ExpectValid();
}

TEST_F(Ageing, DeadLargeObjectsGiveTheirBlocksBackByAMinor) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const uint64_t before = region.region().stats().block_bytes;
  ASSERT_TRUE(mutator.AllocateArray(*types().array, 50'000));
  EXPECT_GE(region.region().stats().block_bytes, before + 400'000);
  Minor(region);
  EXPECT_LT(region.region().stats().block_bytes, before + 400'000);
}

TEST_F(Ageing, ContentsAndSharingSurviveEveryAge) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  // A diamond with a cycle: root -> {x, y}, x.a = y, y.a = x, both .b = z.
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, NewPair(mutator, 2));
  region.SetRoot(2, NewPair(mutator, 3));
  Link(mutator, region.RootObject(0), kA, region.RootObject(1));
  Link(mutator, region.RootObject(1), kA, region.RootObject(0));
  Link(mutator, region.RootObject(0), kB, region.RootObject(2));
  Link(mutator, region.RootObject(1), kB, region.RootObject(2));
  region.Root(1) = region.Root(2) = 0;
  for (int i = 0; i < 6; ++i) {
    SCOPED_TRACE(i);
    const ObjectPtr x = region.RootObject(0);
    const ObjectPtr y = Load(x, kA);
    EXPECT_EQ(IdAt(x), 1u);
    EXPECT_EQ(IdAt(y), 2u);
    EXPECT_EQ(Load(y, kA), x);
    EXPECT_EQ(Load(x, kB), Load(y, kB));
    EXPECT_EQ(IdAt(Load(x, kB)), 3u);
    i == 4 ? Major(region) : i == 5 ? Group() : Minor(region);
  }
}

TEST_F(Ageing, ManySurvivorsOfAFullNurseryAreKept) {
  options().nursery_bytes = 256 * 1024;
  TestRegion region(heap());
  region.Enter();
  // Far more than the nursery holds, all of it live: predicted survival rises over a half, and
  // blocks are promoted where they are.
  constexpr size_t kObjects = 100'000;
  MakeList(region, 0, 1, kObjects);
  ExpectList(region.RootObject(0), 1, kObjects);
  Minor(region);
  ExpectList(region.RootObject(0), 1, kObjects);
  ExpectValid();
  Major(region);
  ExpectList(region.RootObject(0), 1, kObjects);
  EXPECT_GE(region.region().stats().live_bytes, kObjects * sizeof(PairObject));
  ExpectValid();
}

TEST_F(Ageing, WhenSurvivalFallsTheNurseryShrinksAgain) {
  options().nursery_bytes = 256 * 1024;
  options().pause_target_nanos = 3'600'000'000'000;  // a pause of whatever length is short enough
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 50'000);
  region.Root(0) = 0;
  const uint64_t grown = region.region().stats().nursery_bytes;
  EXPECT_GT(grown, 256u * 1024);
  const int rounds = IsVerified(heap()) ? 20 : 100;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(NewPair(mutator, 1));
    Minor(region);
  }
  Major(region);
  const RegionStats stats = region.region().stats();
  EXPECT_LT(stats.nursery_bytes, grown);
  EXPECT_EQ(stats.live_bytes, 0u);
  EXPECT_LE(stats.block_bytes, grown);
}

}  // namespace
}  // namespace Atoll
