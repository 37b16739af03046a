// What Become refuses, by name, and changes nothing then.
#include "atoll/weak_table.h"
#include "heap/mutator_record.h"
#include "heap/region_state.h"
#include "tests/gc/become_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(BecomeTest, RefusesPairsThatDoNotPair) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 4; ++i) region.SetRoot(i, NewPair(mutator, i));
  const Words r{&region.Root(0), &region.Root(1), &region.Root(2), &region.Root(3)};
  const auto code = StatusCode::kInvalidArgument;
  ExpectRefused({r[0], r[1]}, {r[2]}, code,
                AllOf(HasSubstr("before has 2"), HasSubstr("after 1"), HasSubstr("needs the one")));
  ExpectRefused({r[0], r[1], r[0]}, {r[2], r[3], r[3]}, code,
                AllOf(HasSubstr("before[2]"), HasSubstr("is before[0] too")));
}

TEST_F(BecomeTest, RefusesWordsThatAreNoObjectsOfTheHeap) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  HeapOptions other_options;
  other_options.name = "other";
  auto made = CreateHeap(other_options);
  ASSERT_TRUE(made.ok());
  const Word immediate = 43;
  const Word null = 0;
  const Word inside = region.Root(0) + 8;
  const auto code = StatusCode::kInvalidArgument;
  for (const Word* wrong : {&immediate, &null}) {
    ExpectRefused({wrong}, {&region.Root(1)}, code,
                  AllOf(HasSubstr("before[0] is 0x"), HasSubstr("no reference to an object")));
    ExpectRefused({&region.Root(0)}, {wrong}, code, HasSubstr("after[0] is 0x"));
  }
  ExpectRefused(
      {&inside}, {&region.Root(1)}, code,
      AllOf(HasSubstr("before[0] of 1"), HasSubstr("is no object of heap \"test-heap\"")));
  Heap& other = *made.value();
  TypeInfo info;
  info.name = "Foreign";
  const Type* type = other.RegisterType(info).value();
  const Word foreign = other.AllocateProgram(*type).address();
  ExpectRefused({&region.Root(0)}, {&foreign}, code,
                AllOf(HasSubstr("after[0] of 1"), HasSubstr("of another heap, or a stale")));
  const Status stopped = other.safepoints().RunWithMutatorsStopped(
      SafepointLevel::kReload, "test", [&](const StoppedScope& scope) {
        const Status status = Become(heap(), scope, {}, {});
        EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
        EXPECT_THAT(status.message(), AllOf(HasSubstr("test-heap"), HasSubstr("another heap")));
      });
  EXPECT_TRUE(stopped.ok()) << stopped.message();
}

TEST_F(BecomeTest, RefusesReferencesThatWouldBreakTheIsolation) {
  SharedAllocator allocator(heap().state().shared);
  TestRegion other(heap(), {.name = "other"});
  other.Enter("other");
  other.SetRoot(0, NewPair(other.mutator(), 1));
  other.mutator().EnterNative();
  TestRegion region(heap(), {.name = "mine"});
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, NewSharedPair(allocator, 2));
  region.SetRoot(2, heap().AllocateProgram(*types().pair));
  const auto code = StatusCode::kInvalidArgument;
  ExpectRefused({&region.Root(0)}, {&other.Root(0)}, code,
                AllOf(HasSubstr("\"mine\" and \"other\""), HasSubstr("before[0], the \"Pair\"")));
  for (const size_t shared : {1, 2}) {
    ExpectRefused({&region.Root(shared)}, {&region.Root(0)}, code,
                  AllOf(HasSubstr("private to region \"mine\""), HasSubstr("freeze it")));
    ExpectRefused({&region.Root(0), &region.Root(shared)}, {&region.Root(shared), &region.Root(0)},
                  code, AllOf(HasSubstr("before[1]"), HasSubstr("private to region \"mine\"")));
  }
  other.mutator().MakeCurrent();
  other.mutator().LeaveNative();
  other.Leave();
  mutator.MakeCurrent();
}

TEST_F(BecomeTest, RefusesWhatCannotFollow) {
  SharedAllocator allocator(heap().state().shared);
  const WeakTable table(heap());
  Counter counter;
  TestRegion region(heap());
  Mutator& mutator = region.Enter("mine");
  for (size_t i = 0; i < 5; ++i) region.SetRoot(i, NewPair(mutator, i));
  region.SetRoot(5, NewSharedPair(allocator, 5));
  const auto code = StatusCode::kInvalidArgument;
  ASSERT_TRUE(mutator.Pin(region.RootObject(0)).ok());
  ExpectRefused({&region.Root(0)}, {&region.Root(1)}, code,
                AllOf(HasSubstr("it is pinned"), HasSubstr("Unpin it first")));
  // Whoever changes places moves, be it named first or second.
  ExpectRefused({&region.Root(1), &region.Root(0)}, {&region.Root(0), &region.Root(1)}, code,
                AllOf(HasSubstr("before[1]"), HasSubstr("it is pinned")));
  ASSERT_TRUE(mutator.Unpin(region.RootObject(0)).ok());
  const auto add = [&](size_t root, FinalizerKind kind) {
    return mutator.AddFinalizer(region.RootObject(root), kind, Counter::Add, &counter).ok();
  };
  ASSERT_TRUE(add(0, FinalizerKind::kThreadAffine));
  ExpectRefused({&region.Root(0)}, {&region.Root(1)}, code,
                AllOf(HasSubstr("thread-affine finalizer"), HasSubstr("let that thread")));
  ASSERT_TRUE(add(2, FinalizerKind::kNative));
  ExpectRefused({&region.Root(2)}, {&region.Root(5)}, code,
                AllOf(HasSubstr("has a finalizer"), HasSubstr("make a private one")));
  ASSERT_TRUE(table.Put(mutator, region.RootObject(3), 7).ok());
  ExpectRefused({&region.Root(3)}, {&region.Root(5)}, code,
                AllOf(HasSubstr("entry in a weak table"), HasSubstr("Remove it first")));
  {
    const NoCollectScope scope(mutator);
    ExpectRefused({&region.Root(3)}, {&region.Root(4)}, StatusCode::kFailedPrecondition,
                  AllOf(HasSubstr("mutator \"mine\""), HasSubstr("NoCollectScope open"),
                        HasSubstr("ask again")));
  }
  ExpectBecomes({&region.Root(3)}, {&region.Root(4)});
}

TEST_F(BecomeTest, RefusesStopsThatAreNotForIt) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  for (const SafepointLevel level : {SafepointLevel::kGC, SafepointLevel::kDeopt}) {
    const Status status = DoBecome({&region.Root(0)}, {&region.Root(1)}, level);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("test-heap"), HasSubstr(ToString(level)),
                                        HasSubstr(ToString(SafepointLevel::kReload))));
  }
  heap().safepoints().StopMutators({}, "test", [&](const StoppedScope& scope) {
    const Status status = Become(heap(), scope, {}, {});
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr("some mutators"));
  });
  EXPECT_NE(region.Root(0), region.Root(1));
}

TEST_F(BecomeTest, RefusedMemoryChangesNothing) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  for (const int n : {1, 2}) {
    platform::faults::FailNth(platform::faults::Request::kRaw, n, false);
    const Status status = DoBecome({&region.Root(0)}, {&region.Root(1)});
    platform::faults::Reset();
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.message();
    EXPECT_THAT(status.message(), AllOf(HasSubstr("table of 1 pairs"), HasSubstr("fewer objects")));
    EXPECT_NE(region.Root(0), region.Root(1));
    ExpectValid();
  }
}

TEST_F(BecomeTest, RefusedBlocksForAnExchangeChangeNothing) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  const Words both{&region.Root(0), &region.Root(1)};
  const Words crosswise{&region.Root(1), &region.Root(0)};
  const auto much = static_cast<int64_t>(2 * heap().state().pool.limit_bytes());
  heap().state().pool.AddExternalBytes(much);
  ExpectRefused(both, crosswise, StatusCode::kResourceExhausted, HasSubstr("table of 2 pairs"));
  heap().state().pool.AddExternalBytes(-much);
  const size_t blocks = heap().state().pool.used_bytes();
  ExpectBecomes(both, crosswise);
  EXPECT_EQ(heap().state().pool.used_bytes(), blocks);
  EXPECT_EQ(IdAt(region.RootObject(0)), 1u);
}

TEST_F(BecomeTest, RefusedMemoryForRememberedSetsIsMadeUpFor) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(2, NewPair(mutator, 3));
  Link(mutator, region.RootObject(2), kA, region.RootObject(0));
  AgeTo(region, Age::kOld);
  region.SetRoot(1, NewPair(mutator, 2));
  platform::faults::FailNth(platform::faults::Request::kRaw, 3, true);
  const Status status = DoBecome({&region.Root(0)}, {&region.Root(1)});
  platform::faults::Reset();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(region.region().state().own->remembered.overflowed);
  region.Root(0) = region.Root(1) = 0;
  ExpectValid();
  Minor(region);
  EXPECT_EQ(IdAt(Load(region.RootObject(2), kA)), 2u);
}

}  // namespace
}  // namespace Atoll
