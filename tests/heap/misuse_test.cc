// What an embedder does wrong is said, not silently done.
#include <thread>

#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Misuse : public HeapTest {
 protected:
  void ExpectNotManaged(const std::string& call) {
    ASSERT_FALSE(violations().empty());
    EXPECT_EQ(violations().back().kind, Violation::Kind::kNotManaged);
    EXPECT_THAT(violations().back().message, AllOf(HasSubstr(call), HasSubstr("wanderer")));
    violations().clear();
  }
};

TEST_F(Misuse, AllocationOutsideManagedState) {
  TestRegion region(heap());
  std::unique_ptr<Mutator> mutator = region.region().AttachMutator("wanderer").value();
  EXPECT_FALSE(mutator->Allocate(*types().pair));
  ExpectNotManaged("Allocate");
  EXPECT_EQ(mutator->last_error().code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(mutator->AllocateArray(*types().array, 10'000));
  ExpectNotManaged("Allocate");
  EXPECT_FALSE(mutator->AllocateNoCollect(*types().pair, sizeof(PairObject)));
  ExpectNotManaged("Allocate");
  mutator->LeaveNative();
  EXPECT_TRUE(NewPair(*mutator, 1));
  EXPECT_TRUE(violations().empty());
  ASSERT_TRUE(mutator->Detach().ok());
}

#if ATOLL_CHECKS  // the inline barrier checks in such builds only
TEST_F(Misuse, StoreOutsideManagedStateIsSeenInCheckedBuilds) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("wanderer");
  const ObjectPtr pair = NewPair(mutator, 1);
  region.SetRoot(0, pair);
  mutator.EnterNative();
  Store(mutator, pair, SlotAt(pair, kA), Ref{41});
  ExpectNotManaged("Store");
  EXPECT_EQ(SlotAt(pair, kA).Load().word, 0u) << "the store was not done";
  Ref expected{};
  EXPECT_FALSE(CompareExchange(mutator, pair, SlotAt(pair, kA), expected, Ref{41}));
  ExpectNotManaged("CompareExchange");
  EXPECT_EQ(SlotAt(pair, kA).Load().word, 0u);
  EXPECT_FALSE(mutator.Collect(Mutator::Collection::kMinor).ok());
  ExpectNotManaged("Collect");
  mutator.LeaveNative();
}

TEST_F(Misuse, StoreInitialIntoAnOldObjectIsSeenAndRemembered) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("wanderer");
  region.SetRoot(0, NewPair(mutator, 1));
  Major(region);
  const ObjectPtr young = NewPair(mutator, 2);
  StoreInitial(mutator, region.RootObject(0), SlotAt(region.RootObject(0), kA), RefOf(young));
  ASSERT_EQ(violations().size(), 1u);
  EXPECT_EQ(violations()[0].kind, Violation::Kind::kStoreInitialIntoOld);
  EXPECT_THAT(violations()[0].message, AllOf(HasSubstr("Pair"), HasSubstr("Store")));
  violations().clear();
  Minor(region);
  EXPECT_EQ(IdAt(Load(region.RootObject(0), kA)), 2u);
  mutator.EnterNative();
  StoreInitial(mutator, region.RootObject(0), SlotAt(region.RootObject(0), kA), Ref{});
  ExpectNotManaged("StoreInitial");
  mutator.LeaveNative();
}
#endif

TEST_F(Misuse, CollectOutsideManagedStateIsRefused) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter("wanderer");
  mutator.EnterNative();
  const Status status = mutator.Collect(Mutator::Collection::kMajor);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  mutator.LeaveNative();
}

TEST_F(Misuse, WithoutAHandlerViolationsAreWrittenToStandardError) {
  HeapOptions options;
  options.name = "quiet-heap";
  std::unique_ptr<Heap> heap = CreateHeap(options).value();
  TestTypes types(*heap);
  std::unique_ptr<Region> region = heap->CreateRegion({}).value();
  std::unique_ptr<Mutator> mutator = region->AttachMutator("wanderer").value();
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(mutator->Allocate(*types.pair));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("wanderer"), HasSubstr("Allocate")));
  ASSERT_TRUE(mutator->Detach().ok());
}

TEST_F(Misuse, UnpinningWhatIsNotPinned) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  EXPECT_EQ(mutator.Unpin(NewPair(mutator, 1)).code(), StatusCode::kInvalidArgument);
}

TEST_F(Misuse, AFinalizerWithoutAFunction) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr pair = NewPair(mutator, 1);
  for (const FinalizerKind kind : {FinalizerKind::kNative, FinalizerKind::kThreadAffine}) {
    EXPECT_EQ(mutator.AddFinalizer(pair, kind, nullptr, nullptr).code(),
              StatusCode::kInvalidArgument);
  }
}

TEST_F(Misuse, DestroyingARegionWithAMutatorNamesBoth) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        RegionOptions named;
        named.name = "occupied";
        std::unique_ptr<Region> region = heap().CreateRegion(named).value();
        std::unique_ptr<Mutator> mutator = region->AttachMutator("squatter").value();
        region.reset();
        static_cast<void>(mutator.release());
      },
      "occupied.*squatter");
}

TEST_F(Misuse, DestroyingAHeapWithARegionNamesBoth) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        HeapOptions options;
        options.name = "doomed-heap";
        std::unique_ptr<Heap> heap = CreateHeap(options).value();
        RegionOptions named;
        named.name = "leftover";
        std::unique_ptr<Region> region = heap->CreateRegion(named).value();
        heap.reset();
        static_cast<void>(region.release());
      },
      "doomed-heap.*leftover");
}

}  // namespace
}  // namespace Atoll
