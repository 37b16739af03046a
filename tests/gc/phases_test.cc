// The phases of a collection one at a time, and what holds between them.
#include <gtest/gtest.h>

#include "gc/step_heap.h"
#include "heap/heap_state.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using testing::StepHeap;
using Phase = StepHeap::Phase;

class PhasesTest : public HeapTest {
 protected:
  AddressSpace& space() { return *heap().state().space; }
  bool HasTag(ObjectPtr object, uint32_t bits) {
    return (space().tag(space().BlockOf(object.address())) & bits) == bits;
  }
  /// Three young pairs from root 0, and no mutator any more; the first of them.
  ObjectPtr MakeShortList(TestRegion& region) {
    region.Enter();
    MakeList(region, 0, 1, 3);
    region.Leave();
    return region.RootObject(0);
  }
  Space SpaceOf(ObjectPtr object) { return space().info(space().BlockOf(object.address())).space; }
};

TEST_F(PhasesTest, AMinorMovesInTraceAndForgetsInReclaim) {
  TestRegion region(heap());
  const ObjectPtr before = MakeShortList(region);
  {
    StepHeap step(region.region(), /*major=*/false, {});
    EXPECT_EQ(step.next(), Phase::kPrepare);
    step.StepTo(Phase::kTrace);
    EXPECT_TRUE(HasTag(before, tag::kMove)) << "prepared: what is young is to be moved";
    EXPECT_EQ(region.RootObject(0), before);
    step.StepTo(Phase::kWeak);
    EXPECT_NE(region.RootObject(0), before) << "traced: roots refer to the copies";
    EXPECT_EQ(*reinterpret_cast<Word*>(before.address()) & header::kForwarded, header::kForwarded);
    step.StepTo(Phase::kDone);
    EXPECT_FALSE(step.Step());
    EXPECT_EQ(step.minor().counters().objects, 3u);
  }
  EXPECT_FALSE(HasTag(region.RootObject(0), tag::kMove));
  ExpectList(region.RootObject(0), 1, 3);
  ExpectValid();
}

TEST_F(PhasesTest, InPlaceNothingMovesAndTheBlockTurnsOldInReclaim) {
  TestRegion region(heap());
  const ObjectPtr before = MakeShortList(region);
  {
    StepHeap step(region.region(), /*major=*/false, {.promote_all = true, .in_place = true});
    step.StepTo(Phase::kReclaim);
    EXPECT_EQ(region.RootObject(0), before);
    EXPECT_EQ(SpaceOf(before), Space::kNew);
    EXPECT_TRUE(space().IsMarked(before.address()));
    step.StepTo(Phase::kDone);
    EXPECT_EQ(SpaceOf(before), Space::kOld);
  }
  ExpectList(region.RootObject(0), 1, 3);
  ExpectValid();
}

TEST_F(PhasesTest, WeakReferencesAreClearedInTheirPhaseAndFinalizersAreDueThen) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  Counter died;
  const ObjectPtr dying = NewPair(mutator, 7);
  ASSERT_TRUE(mutator.AddFinalizer(dying, FinalizerKind::kNative, Counter::Add, &died).ok());
  region.SetRoot(1, dying);
  const ObjectPtr weak = mutator.Allocate(*types().weak);
  StoreInitial(mutator, weak, SlotAt(weak, 8), RefOf(region.RootObject(1)));
  region.SetRoot(0, weak);
  region.Root(1) = 0;
  region.Leave();
  {
    StepHeap step(region.region(), /*major=*/false, {});
    step.StepTo(Phase::kWeak);
    EXPECT_NE(WeakGet(region.RootObject(0)).word, 0u) << "traced, but not yet decided";
    EXPECT_TRUE(step.due_finalizers().empty());
    step.StepTo(Phase::kReclaim);
    EXPECT_EQ(WeakGet(region.RootObject(0)).word, 0u);
    EXPECT_EQ(step.due_finalizers().size(), 1u);
    EXPECT_EQ(died.calls, 0);
  }
  EXPECT_EQ(died.calls, 1) << "run when the collection is over";
}

TEST_F(PhasesTest, AMajorPromotesAllThenMarksThenSweeps) {
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 5000);
  MakeList(region, 1, 1, 5000);
  Major(region);
  region.Root(1) = 0;
  region.Leave();
  const ObjectPtr kept = region.RootObject(0);
  {
    StepHeap step(region.region(), /*major=*/true, {});
    step.StepTo(Phase::kTraceMajor);
    EXPECT_FALSE(space().IsMarked(kept.address())) << "prepared: marks are cleared";
    step.StepTo(Phase::kSweep);
    EXPECT_TRUE(space().IsMarked(region.RootObject(0).address()));
    EXPECT_EQ(step.major().freed_blocks(), 0u);
    step.StepTo(Phase::kDone);
    EXPECT_GE(step.major().freed_blocks(), 1u);
  }
  ExpectList(region.RootObject(0), 1, 5000);
  ExpectValid();
}

/// Left and right below each other, so that the copies' order shows the order of the walk.
TEST_F(PhasesTest, CopiesLieDepthFirst) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  // Made in another order than they are to lie in: ids are the order of a walk, left first.
  const ObjectPtr right_leaf = NewPair(mutator, 4);
  const ObjectPtr left_leaf = NewPair(mutator, 2);
  const ObjectPtr right = NewPair(mutator, 3);
  const ObjectPtr left = NewPair(mutator, 1);
  const ObjectPtr top = NewPair(mutator, 0);
  Link(mutator, top, kA, left);
  Link(mutator, top, kB, right);
  Link(mutator, left, kA, left_leaf);
  Link(mutator, right, kB, right_leaf);
  region.SetRoot(0, top);
  Minor(region);
  const ObjectPtr first = region.RootObject(0);
  for (uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(IdAt(ObjectPtr(first.address() + i * sizeof(PairObject))), i);
  }
}

}  // namespace
}  // namespace Atoll
