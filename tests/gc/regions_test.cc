// Many regions in one heap: whom does a collection stop?
#include <atomic>
#include <thread>

#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

class Regions : public GcTest {};

TEST_F(Regions, CollectingOneStopsNoneOfTheOthers) {
  options().nursery_bytes = 256 * 1024;
  TestRegion bystander(heap());
  std::atomic<bool> stop{false};
  std::atomic<bool> started{false};
  uint64_t stops_asked = 1;
  uint64_t polls = 0;
  std::thread thread([&] {
    Mutator& mutator = bystander.Enter("bystander");
    MakeList(bystander, 0, 1, 10);
    while (!stop.load()) {
      mutator.Poll();
      Link(mutator, bystander.RootObject(0), kB, bystander.RootObject(0));
      if (++polls % 1000 == 0) NewPair(mutator, 1);
      started.store(true);
    }
    stops_asked = mutator.stops_asked();
    ExpectList(bystander.RootObject(0), 1, 10);
    bystander.Leave();
  });
  while (!started.load()) std::this_thread::yield();
  {
    TestRegion busy(heap());
    Mutator& mutator = busy.Enter("busy");
    for (int round = 0; round < 20; ++round) {
      MakeList(busy, 0, 1, 20'000);
      round % 4 == 0 ? Major(busy) : Minor(busy);
    }
    EXPECT_EQ(mutator.stops_asked(), 0u);
    // Ending a region, creating one and adopting one stop nobody either.
    mutator.EnterNative();
    TestRegion other(heap());
    other.Enter();
    MakeList(other, 0, 1, 1000);
    other.Leave();
    mutator.LeaveNative();
    ASSERT_TRUE(busy.region().Adopt(other.region()).ok());
  }
  stop.store(true);
  thread.join();
  EXPECT_EQ(stops_asked, 0u);
  EXPECT_EQ(heap().safepoints().group_stops(), 0u);
  EXPECT_GE(heap().stats().minor.count, 15u);
  EXPECT_GE(heap().stats().major.count, 5u);
}

TEST_F(Regions, CollectionsOfTwoRegionsRunAtTheSameTime) {
  options().nursery_bytes = 256 * 1024;
  heap();
  auto work = [this](uint64_t first) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    for (int round = 0; round < 10; ++round) {
      MakeList(region, 0, first, 20'000);
      Major(region);
      ExpectList(region.RootObject(0), first, 20'000);
    }
    EXPECT_EQ(mutator.stops_asked(), 0u);
  };
  std::thread one(work, 1);
  std::thread two(work, 1'000'000);
  one.join();
  two.join();
  ExpectValid();
}

TEST_F(Regions, AGroupCollectionStopsAllOfThem) {
  TestRegion other(heap());
  std::atomic<bool> stop{false};
  std::atomic<bool> started{false};
  std::thread thread([&] {
    Mutator& mutator = other.Enter("other");
    MakeList(other, 0, 5, 1000);
    started.store(true);
    while (!stop.load()) mutator.Poll();
    EXPECT_GE(mutator.stops_asked(), 1u);
    ExpectList(other.RootObject(0), 5, 1000);
    other.Leave();
  });
  while (!started.load()) std::this_thread::yield();
  Group();
  stop.store(true);
  thread.join();
  EXPECT_GE(heap().safepoints().group_stops(), 1u);
  EXPECT_EQ(heap().stats().group.count, 1u);
}

TEST_F(Regions, ARegionWithoutMutatorsIsCollectedByAGroupCollection) {
  Counter finalized;
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 100);
  const ObjectPtr dead = NewPair(region.mutator(), 7);
  ASSERT_TRUE(
      region.mutator().AddFinalizer(dead, FinalizerKind::kNative, Counter::Add, &finalized).ok());
  region.Leave();
  Group();
  EXPECT_EQ(finalized.calls, 1);
  region.Enter();
  ExpectList(region.RootObject(0), 1, 100);
}

TEST_F(Regions, EndingARegionGivesBackAllItsBlocks) {
  const HeapStats before = heap().stats();
  {
    TestRegion region(heap());
    region.Enter();
    MakeList(region, 0, 1, 50'000);
    region.SetRoot(1, region.mutator().AllocateArray(*types().bytes, 1 << 20));
    EXPECT_GT(heap().stats().region_bytes, before.region_bytes);
  }
  const HeapStats after = heap().stats();
  EXPECT_EQ(after.region_bytes, 0u);
  EXPECT_EQ(after.regions, 0u);
  EXPECT_EQ(after.mapped_bytes, after.free_bytes + after.program_bytes);
}

TEST_F(Regions, ARegionOwnsNoBlockBeforeItsFirstAllocation) {
  TestRegion region(heap());
  region.Enter();
  EXPECT_EQ(region.region().stats().block_bytes, 0u);
  NewPair(region.mutator(), 1);
  EXPECT_GT(region.region().stats().block_bytes, 0u);
}

TEST_F(Regions, ThousandsOfRegionsLiveAtOnce) {
  std::vector<std::unique_ptr<TestRegion>> regions;
  for (size_t i = 0; i < 2'000; ++i) {
    regions.push_back(std::make_unique<TestRegion>(heap()));
    regions.back()->Enter();
    MakeList(*regions.back(), 0, i, 3);
    regions.back()->Leave();
  }
  Group();
  for (size_t i = 0; i < 2'000; ++i) {
    regions[i]->Enter();
    ExpectList(regions[i]->RootObject(0), i, 3);
    regions[i]->Leave();
  }
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
