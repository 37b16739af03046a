// What counts as a small graph: where sendAndExit copies instead of handing over.
#include "isolate/small_graph.h"

#include "tests/isolate/graph_fixture.h"

namespace Atoll {
namespace {

class SmallGraphTest : public GraphTest {
 protected:
  static constexpr size_t kManyBytes = 1 << 20;

  bool IsSmall(TestRegion& region, size_t max_bytes = kManyBytes) {
    return IsSmallGraph(region.mutator(), Ref{region.Root(0)}, max_bytes);
  }
};

TEST_F(SmallGraphTest, ByObjects) {
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, kSmallGraphObjects);
  EXPECT_TRUE(IsSmall(region));
  MakeList(region, 0, 1, kSmallGraphObjects + 1);
  EXPECT_FALSE(IsSmall(region));
  region.Root(0) = 0;
  EXPECT_TRUE(IsSmall(region)) << "an immediate reaches nothing";
}

TEST_F(SmallGraphTest, ByBytes) {
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 10);
  EXPECT_TRUE(IsSmall(region, 10 * sizeof(PairObject)));
  EXPECT_FALSE(IsSmall(region, 10 * sizeof(PairObject) - 1));
}

TEST_F(SmallGraphTest, ObjectsReachedTwiceCountOnce) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, kSmallGraphObjects);
  for (ObjectPtr at = region.RootObject(0); at != ObjectPtr(); at = Load(at, kA)) {
    Link(mutator, at, kB, region.RootObject(0));
  }
  EXPECT_TRUE(IsSmall(region, kSmallGraphObjects * sizeof(PairObject)));
}

TEST_F(SmallGraphTest, ALongArrayIsNotLookedThrough) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*types().array, 100'000));
  EXPECT_FALSE(IsSmall(region, 4096));
  region.SetRoot(0, mutator.AllocateArray(*types().array, kSmallGraphObjects - 1));
  for (size_t i = 0; i < kSmallGraphObjects - 1; ++i) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return region.RootObject(0); });
  }
  EXPECT_TRUE(IsSmall(region));
  LinkNew(mutator, kA, NewPair(mutator, 99),
          [&] { return Load(region.RootObject(0), ElementAt(0)); });
  EXPECT_FALSE(IsSmall(region));
}

TEST_F(SmallGraphTest, ObjectsOfEachLayoutAreLookedThrough) {
  for (const Type* type : {graph_types().wide, graph_types().custom}) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(1, mutator.Allocate(*type));
    size_t slot = GraphTypes::WideOffsets().back();
    if (type == graph_types().custom) {
      auto* custom = reinterpret_cast<CustomObject*>(region.RootObject(1).address());
      custom->self = reinterpret_cast<Word>(&custom->id);
      custom->count = CustomObject::kSlots;
      slot = offsetof(CustomObject, slots) + 8;
    }
    MakeList(region, 2, 1, kSmallGraphObjects - 1);
    Link(mutator, region.RootObject(1), slot, region.RootObject(2));
    region.Root(0) = region.Root(1);
    EXPECT_TRUE(IsSmall(region)) << type->name();
    MakeList(region, 2, 1, kSmallGraphObjects);
    Link(mutator, region.RootObject(1), slot, region.RootObject(2));
    EXPECT_FALSE(IsSmall(region)) << type->name();
  }
}

}  // namespace
}  // namespace Atoll
