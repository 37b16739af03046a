// Raw references held in native code: nothing moves while a NoCollectScope is open.
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class NoCollect : public HeapTest {
 protected:
  NoCollect() { options().nursery_bytes = 128 * 1024; }
  ObjectPtr NewRaw(Mutator& mutator, uint64_t id) {
    const ObjectPtr object = mutator.AllocateNoCollect(*types().pair, sizeof(PairObject));
    if (object) IdAt(object) = id;
    return object;
  }
};

TEST_F(NoCollect, AllocationGrowsBeyondTheNurseryAndAsksForACollectionAtTheNextPoll) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  std::vector<ObjectPtr> objects;
  // Twenty nurseries full, held by nothing but C++ variables.
  for (size_t i = 0; i < 80'000; ++i) objects.push_back(NewRaw(mutator, i));
  for (size_t i = 0; i < objects.size(); ++i) ASSERT_EQ(IdAt(objects[i]), i);
  const RegionStats before = region.region().stats();
  EXPECT_EQ(before.minors + before.majors, 0u);
  EXPECT_TRUE(mutator.PollPending());
  mutator.Poll();
  const RegionStats after = region.region().stats();
  EXPECT_GE(after.minors + after.majors, 1u);
  EXPECT_FALSE(mutator.PollPending());
}

TEST_F(NoCollect, PollsInsideTheScopeCollectNothingAndTheFirstOneOutsideDoes) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  {
    NoCollectScope scope(mutator);
    std::vector<ObjectPtr> objects;
    for (size_t i = 0; i < 20'000; ++i) {
      // The ordinary calls do not collect here either.
      objects.push_back(i % 2 == 0 ? NewRaw(mutator, i) : NewPair(mutator, i));
      mutator.Poll();
    }
    {
      NoCollectScope nested(mutator);
      mutator.Poll();
    }
    for (size_t i = 0; i < objects.size(); ++i) ASSERT_EQ(IdAt(objects[i]), i);
    EXPECT_EQ(region.region().stats().minors, 0u);
    EXPECT_EQ(mutator.Collect(Mutator::Collection::kMinor).code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(mutator.Collect(Mutator::Collection::kMajor).code(), StatusCode::kFailedPrecondition);
  }
  mutator.Poll();
  EXPECT_GE(region.region().stats().minors + region.region().stats().majors, 1u);
}

TEST_F(NoCollect, AGroupCollectionLeavesTheRegionAsItIs) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  {
    NoCollectScope scope(mutator);
    const ObjectPtr raw = NewRaw(mutator, 42);
    Group();
    EXPECT_EQ(IdAt(raw), 42u);
    ExpectValid();
  }
  Group();
}

TEST_F(NoCollect, HandshakesAreAnsweredInside) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  NoCollectScope scope(mutator);
  const ObjectPtr raw = NewRaw(mutator, 1);
  int calls = 0;
  heap().safepoints().Handshake(mutator, [&](MutatorThread&) { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(IdAt(raw), 1u);
}

TEST_F(NoCollect, TheReserveOverTheLimitIsUsedThenNull) {
  RegionOptions limited;
  limited.name = "cramped";
  limited.limit_bytes = 1 << 20;
  TestRegion region(heap(), limited);
  Mutator& mutator = region.Enter();
  NoCollectScope scope(mutator);
  size_t count = 0;
  while (count < 10'000'000 && NewRaw(mutator, count)) ++count;
  EXPECT_GT(count * sizeof(PairObject), limited.limit_bytes);
  EXPECT_LT(count * sizeof(PairObject), 4 * limited.limit_bytes);
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(mutator.last_error().message(), HasSubstr("reserve"));
  EXPECT_EQ(region.region().stats().minors + region.region().stats().majors, 0u);
}

TEST_F(NoCollect, LargeAndNonMovingObjectsToo) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  NoCollectScope scope(mutator);
  std::vector<ObjectPtr> large;
  for (int i = 0; i < 200; ++i) {
    large.push_back(mutator.AllocateArrayNoCollect(*types().array, 10'000));
    ASSERT_TRUE(large.back()) << mutator.last_error().message();
    ASSERT_TRUE(mutator.AllocateNoCollect(*types().still, sizeof(PairObject)));
  }
  for (const ObjectPtr array : large) EXPECT_EQ(mutator.LengthOf(array), 10'000u);
  EXPECT_EQ(region.region().stats().minors + region.region().stats().majors, 0u);
}

TEST_F(NoCollect, TheStressKnobsRespectTheScope) {
  options().stress.every_allocation = true;
  options().stress.collect_every = 1;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  NoCollectScope scope(mutator);
  std::vector<ObjectPtr> objects;
  for (size_t i = 0; i < 2'000; ++i) objects.push_back(NewPair(mutator, i));
  for (size_t i = 0; i < objects.size(); ++i) ASSERT_EQ(IdAt(objects[i]), i);
}

TEST_F(NoCollect, DetachInsideAScopeIsRefused) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("clinging");
  {
    NoCollectScope scope(mutator);
    const Status status = mutator.Detach();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr("clinging"));
  }
  EXPECT_TRUE(NewPair(mutator, 1)) << "nothing was changed";
}

}  // namespace
}  // namespace Atoll
