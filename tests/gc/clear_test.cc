// A region that is cleared is as good as a new one.
#include "atoll/handles.h"
#include "atoll/weak_table.h"
#include "heap/region_state.h"
#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

class Clearing : public GcTest {
 protected:
  static void Clear(TestRegion& region) {
    region.mutator().EnterNative();
    const Status status = region.region().Clear();
    ASSERT_TRUE(status.ok()) << status.message();
    region.ClearRoots();
    region.mutator().LeaveNative();
  }
};

TEST_F(Clearing, FreesObjectsOfEveryAgeButForOneBlock) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    MakeList(region, 0, 1, 10'000);
    region.SetRoot(1, mutator.AllocateArray(*types().array, 20'000));
    AgeTo(region, age);
    Link(mutator, region.RootObject(0), kB, NewPair(mutator, 2));  // remembered, where it is old
    EXPECT_GT(region.region().stats().block_bytes, 400'000u);
    Clear(region);
    EXPECT_LE(region.region().stats().block_bytes, kBlockSize);
    ExpectValid();
  }
}

TEST_F(Clearing, ServesOneTaskAfterAnother) {
  TestRegion region(heap());
  region.Enter();
  for (uint64_t task = 0; task < 20; ++task) {
    MakeList(region, 0, task, 300);
    if (task % 3 == 1) AgeTo(region, Age::kOld);
    Run(region, kKinds[task % kKinds.size()]);
    ExpectList(region.RootObject(0), task, 300);
    Clear(region);
    ExpectValid();
  }
}

TEST_F(Clearing, FreesAdoptedPartsAndTheirIds) {
  TestRegion region(heap());
  TestRegion source(heap());
  region.Enter();
  region.mutator().EnterNative();
  source.Enter();
  MakeList(source, 0, 1, 1'000);
  source.Leave();
  region.mutator().LeaveNative();
  ASSERT_TRUE(region.region().Adopt(source.region()).ok());
  source.ClearRoots();
  Clear(region);
  EXPECT_LE(region.region().stats().block_bytes, 2 * kBlockSize);
  ExpectValid();
}

TEST_F(Clearing, RunsFinalizersOnce) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  Counter native;
  Counter affine;
  for (int i = 0; i < 10; ++i) {
    region.SetRoot(0, NewPair(mutator, 1));
    if (i % 2 == 0) Minor(region);
    const ObjectPtr object = region.RootObject(0);
    ASSERT_TRUE(
        mutator.AddFinalizer(object, FinalizerKind::kNative, Counter::Add, &native, 100).ok());
    ASSERT_TRUE(
        mutator.AddFinalizer(object, FinalizerKind::kThreadAffine, Counter::Add, &affine, 10).ok());
  }
  mutator.EnterNative();
  ASSERT_TRUE(region.region().Clear().ok());
  EXPECT_FALSE(region.region().state().had_finalizers.load());
  region.ClearRoots();
  const int natively = native.calls;
  EXPECT_EQ(natively, 10);
  mutator.LeaveNative();
  mutator.Poll();
  EXPECT_EQ(affine.calls, 10);
  EXPECT_EQ(heap().stats().external_bytes, 0u);
  Major(region);
  EXPECT_EQ(native.calls, natively);
  EXPECT_EQ(affine.calls, 10);
}

TEST_F(Clearing, PersistentsPinsAndWeakTableEntriesGo) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  WeakTable table(heap());
  region.SetRoot(0, NewPair(mutator, 1));
  const Persistent persistent(region.region(), RefOf(region.RootObject(0)));
  ASSERT_TRUE(mutator.Pin(region.RootObject(0)).ok());
  ASSERT_TRUE(table.Put(mutator, region.RootObject(0), 42).ok());
  Clear(region);
  EXPECT_EQ(persistent.Get().word, 0u);
  MakeList(region, 0, 9, 1'000);
  Major(region);
  ExpectList(region.RootObject(0), 9, 1'000);
  ExpectValid();
}

TEST_F(Clearing, RefusesARunningMutatorAndOpenScopes) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("worker");
  region.SetRoot(0, NewPair(mutator, 3));
  Status status = region.region().Clear();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("its mutator \"worker\" is running"));
  {
    const NoCollectScope scope(mutator);
    mutator.EnterNative();
    status = region.region().Clear();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), ::testing::HasSubstr("NoCollectScope"));
    mutator.LeaveNative();
  }
  EXPECT_EQ(IdAt(region.RootObject(0)), 3u);
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
