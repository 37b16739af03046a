// Do private and group collections agree? The same random graphs, the same survivors.
#include <algorithm>
#include <random>

#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

class GroupOracle : public GcTest {
 protected:
  static constexpr size_t kObjects = 3'000;

  struct Outcome {
    std::vector<uint64_t> reached;   // ids in the order of a walk from the roots
    std::vector<int> finalized;      // by object
    std::vector<bool> weak_cleared;  // by weak reference
    std::vector<uint64_t> guarded;   // ids handed back, sorted
    friend bool operator==(const Outcome&, const Outcome&) = default;
  };

  /// Builds the graph of a seed, collects by `kind`, and says what is left.
  Outcome RunGraph(uint64_t seed, Kind kind, size_t minors_between) {
    std::mt19937_64 random(seed);
    auto below = [&](size_t bound) { return static_cast<size_t>(random() % bound); };
    std::vector<Counter> counters(kObjects);
    Outcome outcome;
    {
      TestRegion region(heap());
      Mutator& mutator = region.Enter();
      // Root 0 holds all while the graph is built; roots 1 to 8 are those that count.
      region.SetRoot(0, mutator.AllocateArray(*types().array, kObjects));
      region.SetRoot(9, mutator.AllocateArray(*types().array, kObjects / 10));
      auto at = [&](size_t i) { return Load(region.RootObject(0), ElementAt(i)); };
      for (size_t i = 0; i < kObjects; ++i) {
        const ObjectPtr pair = NewPair(mutator, i);
        Link(mutator, region.RootObject(0), ElementAt(i), pair);
        if (i % (kObjects / 3) == 0) {
          for (size_t n = 0; n < minors_between; ++n) Minor(region);
        }
      }
      for (size_t i = 0; i < kObjects; ++i) {
        // Sparse, so that about half is reachable.
        if (below(3) != 0) Link(mutator, at(i), kA, at(below(kObjects)));
        if (below(3) == 0) Link(mutator, at(i), kB, at(below(kObjects)));
        if (i % 7 == 0) {
          EXPECT_TRUE(
              mutator.AddFinalizer(at(i), FinalizerKind::kNative, Counter::Add, &counters[i]).ok());
        }
        if (i % 31 == 0) {
          EXPECT_TRUE(mutator.AddFinalizer(at(i), FinalizerKind::kGuardian, nullptr, nullptr).ok());
        }
      }
      for (size_t i = 0; i < kObjects / 10; ++i) {
        const ObjectPtr weak = mutator.Allocate(*types().weak);
        Link(mutator, weak, 8, at(below(kObjects)));
        Link(mutator, region.RootObject(9), ElementAt(i), weak);
      }
      for (size_t i = 1; i <= 8; ++i) region.SetRoot(i, at(below(kObjects)));
      region.Root(0) = 0;
      Run(region, kind);

      std::vector<ObjectPtr> pending;
      std::vector<bool> seen(kObjects);
      for (size_t i = 1; i <= 8; ++i) pending.push_back(region.RootObject(i));
      while (!pending.empty()) {
        const ObjectPtr object = pending.back();
        pending.pop_back();
        if (!object || seen[IdAt(object)]) continue;
        seen[IdAt(object)] = true;
        outcome.reached.push_back(IdAt(object));
        pending.push_back(Load(object, kA));
        pending.push_back(Load(object, kB));
      }
      for (const Counter& counter : counters) outcome.finalized.push_back(counter.calls);
      for (size_t i = 0; i < kObjects / 10; ++i) {
        const Ref target = WeakGet(Load(region.RootObject(9), ElementAt(i)));
        outcome.weak_cleared.push_back(target.word == 0);
        if (target.word != 0) {
          EXPECT_TRUE(seen[IdAt(ObjectOf(target))]);
        }
      }
      for (Ref ref = region.region().NextGuarded(); ref.word != 0;
           ref = region.region().NextGuarded()) {
        outcome.guarded.push_back(IdAt(ObjectOf(ref)));
        EXPECT_FALSE(seen[IdAt(ObjectOf(ref))]);
      }
      std::sort(outcome.guarded.begin(), outcome.guarded.end());
      ExpectValid();
    }
    return outcome;
  }
};

TEST_F(GroupOracle, MajorAndGroupCollectionsLeaveTheSame) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    for (const size_t minors : {size_t{0}, size_t{1}}) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      const Outcome by_major = RunGraph(seed, Kind::kMajor, minors);
      const Outcome by_group = RunGraph(seed, Kind::kGroup, minors);
      EXPECT_EQ(by_major, by_group);
      // And the graph is of the kind that makes this mean something.
      EXPECT_GT(by_major.reached.size(), 50u);
      EXPECT_LT(by_major.reached.size(), kObjects - 50);
      EXPECT_FALSE(by_major.guarded.empty());
    }
  }
}

TEST_F(GroupOracle, AMinorOfAWhollyYoungGraphLeavesTheSameToo) {
  options().nursery_bytes = 8 << 20;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_EQ(RunGraph(seed, Kind::kMinor, 0), RunGraph(seed, Kind::kGroup, 0));
  }
}

class ParallelOracle : public GroupOracle {
 protected:
  ParallelOracle() { options().workers = 4; }
};

TEST_F(ParallelOracle, FourWorkersLeaveTheSameAsOne) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_EQ(RunGraph(seed, Kind::kMajor, 1), RunGraph(seed, Kind::kGroup, 1));
  }
}

}  // namespace
}  // namespace Atoll
