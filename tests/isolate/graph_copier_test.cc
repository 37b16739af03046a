// Copying into another region: graphs of any size, what is refused, and weak things.
#include "tests/heap/stressed.h"
#include "tests/isolate/graph_fixture.h"

namespace Atoll {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST_F(GraphCopierTest, AListOfMillionsOfNodes) {
  const size_t nodes = HugeListNodes(heap());
  TestRegion source(heap());
  TestRegion receiver(heap());
  source.Enter();
  MakeList(source, 0, 1, nodes);
  Link(source.mutator(), source.RootObject(0), kB, source.RootObject(0));
  ASSERT_TRUE(CopyAndAdopt(source.mutator(), Ref{source.Root(0)}, receiver).ok());
  ExpectList(receiver.RootObject(0), 1, nodes);
  EXPECT_EQ(Load(receiver.RootObject(0), kB), receiver.RootObject(0));
  EXPECT_NE(receiver.RootObject(0), source.RootObject(0));
  source.Leave();
  source.EndRegion();
  receiver.Enter();
  Major(receiver);
  ExpectList(receiver.RootObject(0), 1, nodes);
  ExpectValid();
}

TEST_F(GraphCopierTest, AWideArrayOfArraysAndLargeObjects) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  constexpr size_t kWide = 20'000;
  source.SetRoot(0, NewArray(mutator, kWide));
  for (size_t i = 0; i < kWide; ++i) {
    const ObjectPtr child = i % 1000 == 0 ? mutator.AllocateArray(*types().bytes, 300'000 + i)
                            : i % 7 == 0  ? NewArray(mutator, i % 300)
                                          : NewPair(mutator, i);
    ASSERT_TRUE(child);
    if (i % 1000 == 0)
      std::fill_n(reinterpret_cast<char*>(child.address() + kElements), 300'000, 7);
    if (i % 7 == 0 && i % 300 > 0 && i % 1000 != 0) {
      Link(mutator, child, ElementAt(i % 300 - 1), source.RootObject(0));
    }
    Link(mutator, source.RootObject(0), ElementAt(i), child);
  }
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  ExpectSame(mutator, source.Root(0), receiver.Root(0));
  EXPECT_NE(LoadFlags(receiver.Root(0)) & header::kLarge, 0);
  ExpectValid();
  source.Leave();
  receiver.Enter();
  Minor(receiver);
  Major(receiver);
  ExpectValid();
  EXPECT_EQ(receiver.mutator().LengthOf(receiver.RootObject(0)), kWide);
}

// A large object has blocks of its own also where one would fit into what is left of a block.
TEST_F(GraphCopierTest, LargeObjectsSmallerThanABlock) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 20));
  for (size_t i = 0; i < 20; ++i) {
    LinkNew(mutator, ElementAt(i), NewArray(mutator, 1'000 + i * 100),
            [&] { return source.RootObject(0); });
  }
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  source.Leave();
  Mutator& to = receiver.Enter();
  for (size_t i = 0; i < 20; ++i) {
    const ObjectPtr child = Load(receiver.RootObject(0), ElementAt(i));
    const bool is_large = to.SizeOf(child) > kLargeObjectThreshold;
    EXPECT_EQ(is_large, i > 0);
    EXPECT_EQ((LoadFlags(child.address()) & header::kLarge) != 0, is_large);
    EXPECT_EQ(child.address() % kBlockSize == 0, is_large) << to.SizeOf(child) << " bytes";
  }
  Major(receiver);
  for (size_t i = 0; i < 20; ++i) {
    LinkNew(to, ElementAt(0), NewPair(to, i),
            [&] { return Load(receiver.RootObject(0), ElementAt(i)); });
    EXPECT_EQ(to.LengthOf(Load(receiver.RootObject(0), ElementAt(i))), 1'000 + i * 100);
  }
  ExpectValid();
  Minor(receiver);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(IdAt(Load(Load(receiver.RootObject(0), ElementAt(i)), ElementAt(0))), i);
  }
  ExpectValid();
}

TEST_F(GraphCopierTest, TheCopyIsCountedAsTheReceiversAllocation) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 10'000));  // three blocks
  for (size_t i = 0; i < 5'000; ++i) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, i),
            [&] { return source.RootObject(0); });  // five blocks
  }
  std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  Ref copied;
  ASSERT_TRUE(copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied).ok());
  EXPECT_EQ(region->state().young_large_bytes, 3 * kBlockSize);
  EXPECT_EQ(region->state().eden_blocks, 5u);
  EXPECT_EQ(region->stats().block_bytes, 8 * kBlockSize);
  EXPECT_TRUE(region->state().filling_young.empty());
  EXPECT_TRUE(region->state().filling_large.empty());
  ASSERT_TRUE(destination->Detach().ok());
  TestRegion receiver(heap());
  ASSERT_TRUE(receiver.region().Adopt(*region).ok());
  EXPECT_EQ(receiver.region().state().old_used_bytes.load(), 8 * kBlockSize);
}

TEST_F(GraphCopierTest, TwoObjectsWithinSixteenBytes) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  constexpr size_t kUnits = 100;
  const Type& unit = *graph_types().unit;
  source.SetRoot(0, NewArray(mutator, 2 * kUnits));
  for (size_t i = 0; i < kUnits; ++i) {
    const ObjectPtr object = mutator.Allocate(unit);
    mutator.IdentityHash(object);
    Link(mutator, source.RootObject(0), ElementAt(i), object);
    // Each of them is met a second time.
    Link(mutator, source.RootObject(0), ElementAt(2 * kUnits - 1 - i), object);
  }
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  ExpectSame(mutator, source.Root(0), receiver.Root(0));
  ExpectValid();
}

// ---- What is refused

TEST_F(GraphCopierTest, AnUnsendableObjectIsNamedWithItsPath) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 5));
  source.SetRoot(1, NewPair(mutator, 1));
  Link(mutator, source.RootObject(0), ElementAt(2), source.RootObject(1));
  LinkNew(mutator, kB, mutator.Allocate(*graph_types().socket),
          [&] { return source.RootObject(1); });
  const Status status = ExpectRefused(source, StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("type \"Socket\""));
  EXPECT_THAT(status.message(), HasSubstr("unsendable"));
  EXPECT_THAT(status.message(),
              EndsWith("path: root -> \"Array\" element 2 -> \"Pair\" slot 1 -> \"Socket\""));
}

TEST_F(GraphCopierTest, AnUnsendableObjectBehindAKey) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  // A map's entries as structs: number, key, value.
  source.SetRoot(0, NewPair(mutator, 1));
  source.SetRoot(1, mutator.AllocateArray(*graph_types().structs, 10));
  Link(mutator, source.RootObject(0), kA, source.RootObject(1));
  const size_t key = GraphTypes::kStructElements + 3 * GraphTypes::kStructSize + 8;
  LinkNew(mutator, key, mutator.Allocate(*graph_types().socket),
          [&] { return source.RootObject(1); });
  EXPECT_THAT(ExpectRefused(source, StatusCode::kInvalidArgument).message(),
              EndsWith("path: root -> \"Pair\" slot 0 -> \"Structs\" element 3 slot 0 -> "
                       "\"Socket\""));
}

TEST_F(GraphCopierTest, ALongPathIsNamedByItsEnds) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, mutator.Allocate(*graph_types().socket));
  for (int i = 0; i < 100'000; ++i) {
    const ObjectPtr pair = NewPair(mutator, 1);
    Link(mutator, pair, kA, source.RootObject(0));
    source.SetRoot(0, pair);
  }
  const std::string message = ExpectRefused(source, StatusCode::kInvalidArgument).message();
  EXPECT_THAT(message, HasSubstr("-> (99985 more) ->"));
  EXPECT_THAT(message, EndsWith("-> \"Pair\" slot 0 -> \"Socket\""));
  EXPECT_LT(message.size(), 1'000u);
}

TEST_F(GraphCopierTest, AnObjectWithAFinalizer) {
  for (const bool many : {false, true}) {
    for (const bool old : {false, true}) {
      Counter finalized;
      TestRegion source(heap());
      Mutator& mutator = source.Enter();
      MakeList(source, 0, 1, many ? 1'000 : 3);
      const ObjectPtr third = Load(Load(source.RootObject(0), kA), kA);
      ASSERT_TRUE(
          mutator.AddFinalizer(third, FinalizerKind::kNative, Counter::Add, &finalized).ok());
      if (old) Major(source);
      const Status status = ExpectRefused(source, StatusCode::kInvalidArgument);
      EXPECT_THAT(status.message(), HasSubstr("has a finalizer"));
      EXPECT_THAT(status.message(),
                  EndsWith("path: root -> \"Pair\" slot 0 -> \"Pair\" slot 0 -> \"Pair\""));
      // Another object's finalizer does not matter.
      Store(mutator, source.RootObject(0), SlotAt(source.RootObject(0), kA), Ref{});
      TestRegion receiver(heap());
      EXPECT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
      EXPECT_EQ(finalized.calls, 0);
    }
  }
}

TEST_F(GraphCopierTest, NonMovingObjectsAndForeignSlots) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewPair(mutator, 1));
  LinkNew(mutator, kA, mutator.Allocate(*types().still), [&] { return source.RootObject(0); });
  EXPECT_THAT(ExpectRefused(source, StatusCode::kInvalidArgument).message(),
              HasSubstr("non-moving"));
  source.SetRoot(0, mutator.Allocate(*graph_types().stray));
  EXPECT_THAT(ExpectRefused(source, StatusCode::kInvalidArgument).message(),
              HasSubstr("outside the object"));
}

// ---- Weak things

TEST_F(GraphCopierTest, AWeakReferenceKeepsWhatIsReachedOtherwise) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  const ObjectPtr shared = heap().AllocateProgram(*types().pair);
  source.SetRoot(1, NewPair(mutator, 1));
  source.SetRoot(2, NewPair(mutator, 2));
  source.SetRoot(0, NewArray(mutator, 4));
  for (size_t i = 0; i < 3; ++i) {
    const ObjectPtr weak = mutator.Allocate(*types().weak);
    Link(mutator, weak, 8, i == 0 ? source.RootObject(1) : i == 1 ? source.RootObject(2) : shared);
    Link(mutator, source.RootObject(0), ElementAt(i), weak);
  }
  // The second one's referent is reached, and only after the weak reference has been looked at.
  Link(mutator, source.RootObject(0), ElementAt(3), source.RootObject(2));
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  const ObjectPtr copy = receiver.RootObject(0);
  EXPECT_EQ(WeakGet(Load(copy, ElementAt(0))), Ref{});
  EXPECT_EQ(ObjectOf(WeakGet(Load(copy, ElementAt(1)))), Load(copy, ElementAt(3)));
  EXPECT_EQ(IdAt(Load(copy, ElementAt(3))), 2u);
  EXPECT_EQ(ObjectOf(WeakGet(Load(copy, ElementAt(2)))), shared);
  EXPECT_EQ(IdAt(ObjectOf(WeakGet(Load(source.RootObject(0), ElementAt(0))))), 1u);
  ExpectValid();
}

TEST_F(GraphCopierTest, AnEphemeronsValueIsReachedThroughItsKey) {
  // A chain: the value of each is the key of the next; listed so that the first comes last.
  for (const size_t count : {size_t{1}, size_t{3}, size_t{20'000}}) {
    for (const bool reached : {false, true}) {
      TestRegion source(heap());
      TestRegion receiver(heap());
      Mutator& mutator = source.Enter();
      source.SetRoot(0, NewArray(mutator, count + 1));
      source.SetRoot(1, NewPair(mutator, 0));
      if (reached) Link(mutator, source.RootObject(0), ElementAt(count), source.RootObject(1));
      for (size_t i = 0; i < count; ++i) {
        const ObjectPtr value = NewPair(mutator, i + 1);
        source.SetRoot(2, value);
        const ObjectPtr ephemeron = mutator.Allocate(*types().ephemeron);
        Link(mutator, ephemeron, 8, source.RootObject(1));
        Link(mutator, ephemeron, 16, source.RootObject(2));
        Link(mutator, source.RootObject(0), ElementAt(count - 1 - i), ephemeron);
        source.Root(1) = source.Root(2);
      }
      ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
      const ObjectPtr copy = receiver.RootObject(0);
      for (size_t i = 0; i < count; ++i) {
        const ObjectPtr ephemeron = Load(copy, ElementAt(count - 1 - i));
        ASSERT_EQ(bool(Load(ephemeron, 8)), reached);
        ASSERT_EQ(bool(Load(ephemeron, 16)), reached);
        if (!reached) continue;
        ASSERT_EQ(IdAt(Load(ephemeron, 8)), i);
        ASSERT_EQ(IdAt(Load(ephemeron, 16)), i + 1);
      }
      ExpectValid();
    }
  }
}

}  // namespace
}  // namespace Atoll
