// What happens at a limit? A collection, then the client is asked, then a null result that says
// which limit it was; never an abort, and the heap goes on working.
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Limits : public HeapTest {
 protected:
  static constexpr size_t kLimit = 2 << 20;

  Limits() { options().nursery_bytes = 128 * 1024; }

  static RegionOptions Limited(size_t bytes) {
    RegionOptions options;
    options.name = "cramped";
    options.limit_bytes = bytes;
    return options;
  }
  /// Allocates live pairs into root 0 until it is refused; how many there are.
  size_t Exhaust(TestRegion& region) {
    size_t count = 0;
    for (;; ++count) {
      const ObjectPtr pair = NewPair(region.mutator(), count);
      if (!pair) return count;
      Link(region.mutator(), pair, kA, region.RootObject(0));
      region.SetRoot(0, pair);
      if (count > 10'000'000) return count;
    }
  }
  static void ExpectBackwards(ObjectPtr head, size_t count) {
    for (ObjectPtr at = head; at; at = Load(at, kA)) ASSERT_EQ(IdAt(at), --count);
    EXPECT_EQ(count, 0u);
  }
};

/// Collections copy into the reserve; what they empty is not for mutators beyond the limit.
TEST_F(Limits, HoldsAlsoWhereEachCollectionMovesEverything) {
  options().stress.move_everything = true;
  TestRegion region(heap(), Limited(kLimit));
  region.Enter();
  const size_t count = Exhaust(region);
  EXPECT_GE(count * sizeof(PairObject), kLimit / 2);
  EXPECT_LE(count * sizeof(PairObject), kLimit);
  ExpectBackwards(region.RootObject(0), count);
  ExpectValid();
}

TEST_F(Limits, OfARegion) {
  TestRegion region(heap(), Limited(kLimit));
  Mutator& mutator = region.Enter();
  const size_t count = Exhaust(region);
  // Most of the limit could be used.
  EXPECT_GE(count * sizeof(PairObject), kLimit / 2);
  EXPECT_LE(count * sizeof(PairObject), kLimit);
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(mutator.last_error().message(),
              AllOf(HasSubstr("cramped"), HasSubstr("Pair"), HasSubstr(std::to_string(kLimit))));
  ASSERT_FALSE(region.near_limit_calls.empty());
  EXPECT_GT(region.near_limit_calls[0].first, kLimit);
  EXPECT_EQ(region.near_limit_calls[0].second, kLimit);
  ExpectValid();
  ExpectBackwards(region.RootObject(0), count);
  // It is refused again and again, and works again once something is dropped.
  EXPECT_FALSE(mutator.AllocateArray(*types().bytes, kLimit / 2));
  region.Root(0) = 0;
  EXPECT_TRUE(mutator.AllocateArray(*types().bytes, kLimit / 2)) << mutator.last_error().message();
  ExpectValid();
}

TEST_F(Limits, OfTheHeap) {
  options().limit_bytes = 4 << 20;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const size_t count = Exhaust(region);
  EXPECT_GE(count * sizeof(PairObject), size_t{2} << 20);
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(mutator.last_error().message(), HasSubstr("test-heap"));
  ExpectBackwards(region.RootObject(0), count);
  region.Root(0) = 0;
  Major(region);
  EXPECT_TRUE(NewPair(mutator, 1));
  ExpectValid();
}

TEST_F(Limits, OneRegionsExhaustionIsItsOwn) {
  TestRegion cramped(heap(), Limited(kLimit));
  cramped.Enter();
  Exhaust(cramped);
  cramped.mutator().EnterNative();
  TestRegion free(heap());
  free.Enter();
  MakeList(free, 0, 1, 200'000);
  ExpectList(free.RootObject(0), 1, 200'000);
}

TEST_F(Limits, TheClientMayRaiseIt) {
  TestRegion region(heap(), Limited(kLimit));
  region.Enter();
  region.raise_limit_to = 3 * kLimit;
  const size_t count = Exhaust(region);
  EXPECT_GE(count * sizeof(PairObject), kLimit * 3 / 2);
  EXPECT_LE(count * sizeof(PairObject), 3 * kLimit);
  EXPECT_GE(region.near_limit_calls.size(), 2u) << "asked again at the new limit";
  EXPECT_EQ(region.near_limit_calls.back().second, 3 * kLimit);
  ExpectBackwards(region.RootObject(0), count);
}

TEST_F(Limits, SetLimitRaisesAndLowers) {
  TestRegion region(heap(), Limited(kLimit));
  Mutator& mutator = region.Enter();
  const size_t first = Exhaust(region);
  region.region().SetLimit(2 * kLimit);
  const size_t second = Exhaust(region);
  EXPECT_GE(second * 2, first);
  region.region().SetLimit(kLimit);
  EXPECT_FALSE(mutator.AllocateArray(*types().bytes, 20'000));
  region.region().SetLimit(0);
  EXPECT_TRUE(mutator.AllocateArray(*types().bytes, 8 * kLimit));
  ExpectValid();
}

TEST_F(Limits, AnObjectLargerThanTheLimit) {
  TestRegion region(heap(), Limited(kLimit));
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 1'000);
  EXPECT_FALSE(mutator.AllocateArray(*types().bytes, 2 * kLimit));
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(mutator.last_error().message(), AllOf(HasSubstr("cramped"), HasSubstr("Bytes")));
  ExpectList(region.RootObject(0), 1, 1'000);
  EXPECT_TRUE(NewPair(mutator, 1));
  ExpectValid();
}

TEST_F(Limits, AnObjectLargerThanTheHeapsLimit) {
  options().limit_bytes = 8 << 20;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 1'000);
  for (const size_t size : {size_t{9} << 20, size_t{1} << 40}) {
    EXPECT_FALSE(mutator.AllocateArray(*types().bytes, size));
    EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
    EXPECT_THAT(mutator.last_error().message(),
                AllOf(HasSubstr("heap \"test-heap\" uses"), HasSubstr("limit of 8388608"),
                      HasSubstr("Bytes"), HasSubstr("raise the limit")));
  }
  ExpectList(region.RootObject(0), 1, 1'000);
  EXPECT_TRUE(NewPair(mutator, 1));
  ExpectValid();
}

// They take blocks as others do: from what the limit leaves, and not from the collections' reserve.
TEST_F(Limits, ObjectsThatDoNotMoveKeepToTheLimit) {
  constexpr size_t kSmall = 512 << 10;
  TestRegion region(heap(), Limited(kSmall));
  Mutator& mutator = region.Enter();
  size_t kept = 0;
  for (; kept < 100'000; ++kept) {
    const ObjectPtr object = mutator.Allocate(*types().still);
    if (!object) break;
    Link(mutator, object, kA, region.RootObject(0));
    region.SetRoot(0, object);
  }
  EXPECT_LE(region.region().stats().block_bytes, kSmall);
  EXPECT_GE(kept * sizeof(PairObject), kSmall / 2);
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(mutator.last_error().message(),
              AllOf(HasSubstr("region \"cramped\" uses"), HasSubstr("limit of 524288")));
  region.ClearRoots();
  EXPECT_TRUE(mutator.Allocate(*types().still));
  ExpectValid();
}

TEST_F(Limits, GarbageDoesNotCount) {
  TestRegion region(heap(), Limited(kLimit));
  Mutator& mutator = region.Enter();
  for (int i = 0; i < 500'000; ++i) ASSERT_TRUE(NewPair(mutator, 1)) << i;
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(mutator.AllocateArray(*types().bytes, kLimit / 4))
        << i << ": " << mutator.last_error().message();
  }
  EXPECT_TRUE(region.near_limit_calls.empty());
}

TEST_F(Limits, ExternalBytesCount) {
  TestRegion region(heap(), Limited(kLimit));
  Mutator& mutator = region.Enter();
  mutator.AdjustExternalBytes(kLimit);
  EXPECT_FALSE(mutator.AllocateArray(*types().bytes, 100'000));
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  mutator.AdjustExternalBytes(-static_cast<int64_t>(kLimit));
  EXPECT_TRUE(mutator.AllocateArray(*types().bytes, 100'000));
}

TEST_F(Limits, ProgramObjectsStopAtTheHeapsLimit) {
  options().limit_bytes = 4 << 20;
  heap();
  size_t bytes = 0;
  while (heap().AllocateProgram(*types().bytes, 10'000) && bytes < (size_t{100} << 20)) {
    bytes += 10'000;
  }
  EXPECT_GE(bytes, size_t{2} << 20);
  EXPECT_LE(bytes, size_t{4} << 20);
  ExpectValid();
}

TEST_F(Limits, ExhaustionInAHeapFullOfSurvivorsOfEveryKind) {
  // At the limit each collection has next to no blocks to copy into: it keeps objects in place.
  for (const size_t limit : {256u * 1024, 384u * 1024, 1u << 20, 3u << 20}) {
    SCOPED_TRACE(limit);
    TestRegion region(heap(), Limited(limit));
    Mutator& mutator = region.Enter();
    const size_t count = Exhaust(region);
    ExpectBackwards(region.RootObject(0), count);
    for (int i = 0; i < 5; ++i) {
      EXPECT_FALSE(mutator.AllocateArray(*types().bytes, limit));
      Minor(region);
      Major(region);
      Group();
      ExpectBackwards(region.RootObject(0), count);
      ExpectValid();
    }
    // Every other one goes; half of the limit can be had again.
    for (ObjectPtr at = region.RootObject(0); at && Load(at, kA); at = Load(at, kA)) {
      Link(mutator, at, kA, Load(Load(at, kA), kA));
    }
    Major(region);
    size_t more = 0;
    while (NewPair(mutator, 1) && more < count / 4) ++more;
    EXPECT_GE(more, count / 4);
    ExpectValid();
  }
}

}  // namespace
}  // namespace Atoll
