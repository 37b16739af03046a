// Do handles hold, follow and let go?
#include <thread>

#include "heap/mutator_record.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class Handles : public HeapTest {};

TEST_F(Handles, LocalsFollowTheirObjectsUntilTheScopeEnds) {
  Counter finalized;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  {
    HandleScope outer(mutator);
    LocalRef first(mutator, RefOf(NewPair(mutator, 1)));
    {
      HandleScope inner(mutator);
      LocalRef second(mutator, RefOf(NewPair(mutator, 2)));
      ASSERT_TRUE(mutator
                      .AddFinalizer(ObjectOf(second.Get()), FinalizerKind::kNative, Counter::Add,
                                    &finalized)
                      .ok());
      Minor(region);
      EXPECT_EQ(IdAt(ObjectOf(first.Get())), 1u);
      EXPECT_EQ(IdAt(ObjectOf(second.Get())), 2u);
      EXPECT_EQ(finalized.calls, 0);
    }
    Major(region);
    EXPECT_EQ(finalized.calls, 1);
    EXPECT_EQ(IdAt(ObjectOf(first.Get())), 1u);
    first.Set(RefOf(NewPair(mutator, 3)));
    Minor(region);
    EXPECT_EQ(IdAt(ObjectOf(first.Get())), 3u);
  }
}

TEST_F(Handles, ScopesGrowOverManySegmentsAndShrinkBack) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (int round = 0; round < 3; ++round) {
    HandleScope scope(mutator);
    std::deque<LocalRef> locals;
    for (uint64_t i = 0; i < 5'000; ++i) {
      locals.emplace_back(mutator, RefOf(NewPair(mutator, i)));
      if (i % 1'000 == 500) {
        // A scope that begins in one segment and ends in another.
        HandleScope inner(mutator);
        std::deque<LocalRef> more;
        for (uint64_t j = 0; j < 1'500; ++j) more.emplace_back(mutator, RefOf(NewPair(mutator, j)));
        Minor(region);
        for (uint64_t j = 0; j < 1'500; ++j) ASSERT_EQ(IdAt(ObjectOf(more[j].Get())), j);
      }
    }
    Major(region);
    for (uint64_t i = 0; i < 5'000; ++i) ASSERT_EQ(IdAt(ObjectOf(locals[i].Get())), i);
  }
  Major(region);
  EXPECT_EQ(region.region().stats().live_bytes, 0u);
}

// A mutator has no memory for handles before it makes one.
TEST_F(Handles, ScopesMayBeginBeforeTheFirst) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MutatorRecord& record = mutator.record();
  EXPECT_EQ(record.handles, nullptr);
  for (const size_t count : {3 * MutatorRecord::kHandlesPerSegment, size_t{1}}) {
    HandleScope outer(mutator);
    {
      HandleScope inner(mutator);
      EXPECT_FALSE(record.has_open_handles());
      std::deque<LocalRef> locals;
      for (size_t i = 0; i < count; ++i) locals.emplace_back(mutator, RefOf(NewPair(mutator, i)));
      EXPECT_TRUE(record.has_open_handles());
      Minor(region);
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(IdAt(ObjectOf(locals[i].Get())), i);
    }
    EXPECT_FALSE(record.has_open_handles());
    ASSERT_NE(record.handles, nullptr) << "a segment is kept";
    EXPECT_EQ(record.handles->previous, nullptr);
    LocalRef local(mutator, RefOf(NewPair(mutator, 7)));
    Minor(region);
    EXPECT_EQ(IdAt(ObjectOf(local.Get())), 7u);
  }
  EXPECT_FALSE(record.has_open_handles());
  Major(region);
  EXPECT_EQ(region.region().stats().live_bytes, 0u);
}

TEST_F(Handles, LocalsHoldImmediatesUntouched) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  HandleScope scope(mutator);
  LocalRef odd(mutator, Ref{0xDEADBEEF1});
  LocalRef null(mutator, Ref{});
  Major(region);
  EXPECT_EQ(odd.Get().word, 0xDEADBEEF1u);
  EXPECT_EQ(null.Get().word, 0u);
}

TEST_F(Handles, PersistentsOutliveScopesAndThreads) {
  TestRegion region(heap());
  Persistent persistent;
  std::thread([&] {
    std::unique_ptr<Mutator> mutator = region.region().AttachMutator("maker").value();
    mutator->LeaveNative();
    persistent = Persistent(region.region(), RefOf(NewPair(*mutator, 7)));
    ASSERT_TRUE(mutator->Detach().ok());
  }).join();
  Group();
  region.Enter();
  EXPECT_EQ(IdAt(ObjectOf(persistent.Get())), 7u);
  Persistent moved = std::move(persistent);
  Minor(region);
  EXPECT_EQ(IdAt(ObjectOf(moved.Get())), 7u);
  EXPECT_EQ(persistent.Get().word, 0u);
  moved.Set(RefOf(NewPair(region.mutator(), 8)));
  Major(region);
  EXPECT_EQ(IdAt(ObjectOf(moved.Get())), 8u);
  moved.Reset();
  EXPECT_EQ(moved.Get().word, 0u);
  Major(region);
  EXPECT_EQ(region.region().stats().live_bytes, 0u);
}

TEST_F(Handles, PersistentsHoldNullOnceTheirRegionIsGone) {
  Persistent strong;
  WeakPersistent weak;
  {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 1));
    strong = Persistent(region.region(), RefOf(region.RootObject(0)));
    weak = WeakPersistent(region.region(), RefOf(region.RootObject(0)));
    EXPECT_NE(strong.Get().word, 0u);
  }
  EXPECT_EQ(strong.Get().word, 0u);
  EXPECT_EQ(weak.Get().word, 0u);
  strong.Set(Ref{9});
  strong.Reset();
}

TEST_F(Handles, ManyPersistentsAreReusedInAnyOrder) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  std::vector<Persistent> persistents(1'000);
  std::vector<uint64_t> ids(1'000);
  uint64_t next = 1;
  for (int round = 0; round < 10; ++round) {
    for (size_t i = 0; i < persistents.size(); ++i) {
      if ((i * 7 + static_cast<size_t>(round)) % 3 == 0) {
        ids[i] = next++;
        persistents[i] = Persistent(region.region(), RefOf(NewPair(mutator, ids[i])));
      } else if (i % 5 == 0) {
        persistents[i].Reset();
        ids[i] = 0;
      }
    }
    Minor(region);
    for (size_t i = 0; i < persistents.size(); ++i) {
      const Ref ref = persistents[i].Get();
      ASSERT_EQ(ref.word == 0 ? 0 : IdAt(ObjectOf(ref)), ids[i]);
    }
  }
}

TEST_F(Handles, AMutatorWithOpenHandlesCannotDetach) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("holder");
  {
    HandleScope scope(mutator);
    LocalRef local(mutator, RefOf(NewPair(mutator, 5)));
    const Status status = mutator.Detach();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr("holder"));
    Minor(region);
    EXPECT_EQ(IdAt(ObjectOf(local.Get())), 5u) << "nothing was changed";
  }
  EXPECT_TRUE(violations().empty());
}

TEST_F(Handles, AMutatorCannotDetachInsideAStop) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("stopper");
  region.SetRoot(0, NewPair(mutator, 5));
  int runs = 0;
  const Status status = heap().safepoints().RunWithMutatorsStopped(
      SafepointLevel::kGC, "test", [&](const StoppedScope&) {
        EXPECT_TRUE(heap().safepoints().InsideStop());
        const Status detached = mutator.Detach();
        EXPECT_EQ(detached.code(), StatusCode::kFailedPrecondition);
        EXPECT_THAT(detached.message(), HasSubstr("stopper"));
        ++runs;
      });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(heap().safepoints().InsideStop());
  // It is attached as before, and its region knows it.
  const HandleScope scope(mutator);
  const LocalRef local(mutator, RefOf(NewPair(mutator, 6)));
  Minor(region);
  EXPECT_EQ(IdAt(ObjectOf(local.Get())), 6u);
  EXPECT_EQ(IdAt(region.RootObject(0)), 5u);
  ExpectValid();
}

TEST_F(Handles, AMutatorDestroyedWithOpenHandlesIsAViolation) {
  TestRegion region(heap());
  std::unique_ptr<Mutator> mutator = region.region().AttachMutator("leaver").value();
  mutator->LeaveNative();
  // Leaked on purpose: its end would touch the mutator.
  auto* scope = new HandleScope(*mutator);
  LocalRef local(*mutator, RefOf(NewPair(*mutator, 1)));
  mutator.reset();
  ::operator delete(scope);
  ASSERT_EQ(violations().size(), 1u);
  EXPECT_EQ(violations()[0].kind, Violation::Kind::kHandlesAtExit);
  EXPECT_THAT(violations()[0].message, HasSubstr("leaver"));
  // The handles are gone, the region is well.
  region.Enter();
  Major(region);
  EXPECT_EQ(region.region().stats().live_bytes, 0u);
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
