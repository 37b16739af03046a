// Several mutators in one region: each collection stops just these, and finds the roots of all.
#include <atomic>
#include <thread>

#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

class SharedRegion : public GcTest {
 protected:
  SharedRegion() { options().nursery_bytes = 256 * 1024; }

  /// A list of pairs held by a Local; ids first .. first + count - 1.
  void BuildAndCheck(Mutator& mutator, uint64_t first, size_t count) {
    HandleScope scope(mutator);
    LocalRef head(mutator, Ref{});
    for (size_t i = count; i-- > 0;) {
      const ObjectPtr pair = NewPair(mutator, first + i);
      ASSERT_TRUE(pair) << mutator.last_error().message();
      Link(mutator, pair, kA, ObjectOf(head.Get()));
      head.Set(RefOf(pair));
    }
    ExpectList(ObjectOf(head.Get()), first, count);
  }
};

TEST_F(SharedRegion, EveryMutatorsRootsAreFound) {
  heap();
  std::unique_ptr<Region> region = heap().CreateRegion({}).value();
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::unique_ptr<Mutator> mutator =
          region->AttachMutator("mutator-" + std::to_string(t)).value();
      mutator->LeaveNative();
      for (int round = 0; round < 20; ++round) {
        BuildAndCheck(*mutator, t << 32, 10'000);
        if (round % 5 == static_cast<int>(t)) Collect(*mutator, Mutator::Collection::kMajor);
        if (round % 4 == 0) {
          NativeScope native(*mutator);
          std::this_thread::yield();
        }
      }
      ASSERT_TRUE(mutator->Detach().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectValid();
  EXPECT_EQ(heap().safepoints().group_stops(), 1u) << "the verification's";
  EXPECT_GE(heap().stats().major.count, 16u);
}

TEST_F(SharedRegion, ACollectionStopsTheMutatorsOfItsRegionAndNoOthers) {
  heap();
  std::unique_ptr<Region> region = heap().CreateRegion({}).value();
  TestRegion elsewhere(heap());
  std::atomic<bool> stop{false};
  std::atomic<int> ready{0};
  uint64_t asked_inside = 0;
  uint64_t asked_outside = 1;
  std::thread inside([&] {
    std::unique_ptr<Mutator> mutator = region->AttachMutator("inside").value();
    mutator->LeaveNative();
    ready.fetch_add(1);
    while (!stop.load()) mutator->Poll();
    asked_inside = mutator->stops_asked();
    ASSERT_TRUE(mutator->Detach().ok());
  });
  std::thread outside([&] {
    Mutator& mutator = elsewhere.Enter("outside");
    ready.fetch_add(1);
    while (!stop.load()) mutator.Poll();
    asked_outside = mutator.stops_asked();
    elsewhere.Leave();
  });
  while (ready.load() != 2) std::this_thread::yield();
  std::unique_ptr<Mutator> mutator = region->AttachMutator("collector").value();
  mutator->LeaveNative();
  Collect(*mutator, Mutator::Collection::kMinor);
  Collect(*mutator, Mutator::Collection::kMajor);
  ASSERT_TRUE(mutator->Detach().ok());
  stop.store(true);
  inside.join();
  outside.join();
  EXPECT_GE(asked_inside, 2u);
  EXPECT_EQ(asked_outside, 0u);
  EXPECT_EQ(heap().safepoints().group_stops(), 0u);
}

// Who finds the nursery full while another collects waits, and then finds it empty: to stop the
// others once more would be for nothing.
TEST_F(SharedRegion, EachStopIsForACollection) {
  heap();
  std::unique_ptr<Region> region = heap().CreateRegion({}).value();
  std::vector<std::unique_ptr<Mutator>> mutators;
  for (int t = 0; t < 2; ++t) mutators.push_back(region->AttachMutator("mutator").value());
  std::vector<std::thread> threads;
  for (const std::unique_ptr<Mutator>& mutator : mutators) {
    threads.emplace_back([this, &mutator] {
      const ManagedScope managed(*mutator);
      for (uint64_t i = 0; i < 200'000; ++i) ASSERT_TRUE(NewPair(*mutator, i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const RegionStats stats = region->stats();
  EXPECT_GE(stats.minors, 20u);
  EXPECT_EQ(heap().safepoints().stats().set_stops, stats.minors + stats.majors);
  for (const std::unique_ptr<Mutator>& mutator : mutators) ASSERT_TRUE(mutator->Detach().ok());
}

TEST_F(SharedRegion, TheNurseryStaysLargerWhileSeveralRun) {
  options().shared_nursery_bytes = 1024 * 1024;
  std::unique_ptr<Region> region = heap().CreateRegion({}).value();
  std::unique_ptr<Mutator> other = region->AttachMutator("other").value();
  std::atomic<bool> runs{false};
  std::atomic<bool> end{false};
  std::thread thread([&] {
    const ManagedScope managed(*other);
    runs.store(true);
    while (!end.load()) other->Poll();
  });
  while (!runs.load()) std::this_thread::yield();
  std::unique_ptr<Mutator> mutator = region->AttachMutator("mutator").value();
  {
    const ManagedScope managed(*mutator);
    const auto allocate = [&] {
      for (int i = 0; i < 1'000'000; ++i) ASSERT_TRUE(NewPair(*mutator, 1));
    };
    allocate();
    EXPECT_EQ(region->stats().nursery_bytes, 2u * 1024 * 1024);
    end.store(true);
    thread.join();
    allocate();
    EXPECT_EQ(region->stats().nursery_bytes, 256u * 1024);
  }
  ASSERT_TRUE(mutator->Detach().ok());
  ASSERT_TRUE(other->Detach().ok());
}

TEST_F(SharedRegion, ANoCollectScopeOfOneForbidsCollectionsToAll) {
  heap();
  std::unique_ptr<Region> region = heap().CreateRegion({}).value();
  std::unique_ptr<Mutator> other = region->AttachMutator("other").value();
  std::atomic<bool> open{false};
  std::atomic<bool> checked{false};
  std::thread thread([&] {
    other->LeaveNative();
    {
      NoCollectScope scope(*other);
      const ObjectPtr raw = other->AllocateNoCollect(*types().pair, sizeof(PairObject));
      IdAt(raw) = 99;
      open.store(true);
      while (!checked.load()) other->Poll();
      EXPECT_EQ(IdAt(raw), 99u);
    }
    other->EnterNative();
    MutatorThread::ClearCurrent();
  });
  while (!open.load()) std::this_thread::yield();
  std::unique_ptr<Mutator> mutator = region->AttachMutator("asker").value();
  mutator->LeaveNative();
  EXPECT_EQ(mutator->Collect(Mutator::Collection::kMajor).code(), StatusCode::kFailedPrecondition);
  // Allocation goes on beyond the nursery, and a group collection leaves the region alone.
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(NewPair(*mutator, 1));
  Group();
  checked.store(true);
  mutator->EnterNative();
  thread.join();
  mutator->LeaveNative();
  Collect(*mutator, Mutator::Collection::kMajor);
  ASSERT_TRUE(mutator->Detach().ok());
  ASSERT_TRUE(other->Detach().ok());
  ExpectValid();
}

TEST_F(SharedRegion, MutatorsComeAndGoWhileOthersCollect) {
  TestRegion region(heap());
  std::atomic<bool> stop{false};
  std::thread visitor([&] {
    while (!stop.load()) {
      std::unique_ptr<Mutator> mutator = region.region().AttachMutator("visitor").value();
      mutator->LeaveNative();
      BuildAndCheck(*mutator, 1, 100);
      ASSERT_TRUE(mutator->Detach().ok());
    }
  });
  region.Enter("resident");
  for (int round = 0; round < 100; ++round) {
    MakeList(region, 0, 1, 2'000);
    round % 10 == 0 ? Major(region) : Minor(region);
    ExpectList(region.RootObject(0), 1, 2'000);
  }
  stop.store(true);
  region.mutator().EnterNative();
  visitor.join();
  region.mutator().LeaveNative();
  region.Leave();
  ExpectValid();
}

TEST_F(SharedRegion, RacingStoresIntoOneOldObjectKeepEveryValueStored) {
  TestRegion region(heap());
  region.Enter();
  region.SetRoot(0, region.mutator().AllocateArray(*types().array, 4'000));
  Major(region);
  region.Leave();
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::unique_ptr<Mutator> mutator = region.region().AttachMutator("storer").value();
      mutator->LeaveNative();
      for (size_t i = t; i < 4'000; i += 4) {
        const ObjectPtr pair = NewPair(*mutator, i);
        Link(*mutator, region.RootObject(0), ElementAt(i), pair);
        if (i % 1024 == t) Collect(*mutator, Mutator::Collection::kMinor);
        mutator->Poll();
      }
      ASSERT_TRUE(mutator->Detach().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectValid();
  region.Enter();
  for (int round = 0; round < 3; ++round) {
    Minor(region);
    for (size_t i = 0; i < 4'000; ++i) {
      ASSERT_EQ(IdAt(Load(region.RootObject(0), ElementAt(i))), i);
    }
  }
}

// What is written before a StoreRelease is seen by whoever has load-acquired the value: of plain
// memory, too, as ThreadSanitizer understands it.
TEST_F(SharedRegion, AStoreReleasePublishes) {
  heap();
  std::unique_ptr<Region> region = heap().CreateRegion({}).value();
  constexpr uint64_t kRounds = 2'000;
  uint64_t plain = 0;
  std::atomic<int> ready{0};
  Persistent cell;
  const auto run = [&](bool is_writer) {
    std::unique_ptr<Mutator> mutator = region->AttachMutator("mutator").value();
    mutator->LeaveNative();
    if (is_writer) {
      const ObjectPtr pair = NewPair(*mutator, 1);
      ASSERT_TRUE(pair);
      cell = Persistent(*region, RefOf(pair));
    }
    ready.fetch_add(1);
    while (ready.load() != 2) mutator->Poll();
    // Nothing is allocated from here on, so nothing moves. The slot counts: odd numbers are the
    // writer's turn, even ones the reader's.
    const ObjectPtr shared = ObjectOf(cell.Get());
    const Slot slot = SlotAt(shared, kA);
    for (uint64_t round = is_writer ? 0 : 1; round < kRounds; round += 2) {
      while (slot.LoadAcquire().word != (round == 0 ? 0 : round << 3 | 1)) mutator->Poll();
      ++plain;
      StoreRelease<RuntimeEncoding>(*mutator, shared, slot, Ref{(round + 1) << 3 | 1});
    }
    ASSERT_TRUE(mutator->Detach().ok());
  };
  std::thread writer([&] { run(true); });
  std::thread reader([&] { run(false); });
  writer.join();
  reader.join();
  EXPECT_EQ(plain, kRounds);
  cell.Reset();
}

}  // namespace
}  // namespace Atoll
