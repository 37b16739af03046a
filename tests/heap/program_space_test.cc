// Objects of the group: Program ones take shared values only, Shared ones nothing.
#include "heap/flip_to_shared.h"
#include "tests/heap/heap_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ProgramSpaceTest : public HeapTest {
 protected:
  /// A large object of the Shared space, each of its bytes `value`.
  ObjectPtr SharedBytes(Mutator& mutator, unsigned char value) {
    TypeInfo info;
    info.name = "FrozenBytes";
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    info.flags.deeply_immutable = true;
    const ObjectPtr object = mutator.AllocateArray(*heap().RegisterType(info).value(), 50'000);
    std::memset(reinterpret_cast<void*>(object.address() + kElements), value, 50'000);
    const Status status = FlipToShared(mutator, object);
    EXPECT_TRUE(status.ok()) << status.message();
    return object;
  }
};

TEST_F(ProgramSpaceTest, ObjectsAreZeroedAndStayForever) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  std::vector<ObjectPtr> objects;
  for (size_t i = 0; i < 3'000; ++i) {
    const ObjectPtr object = i % 3 == 0 ? heap().AllocateProgram(*types().array, i)
                                        : heap().AllocateProgram(*types().pair);
    ASSERT_TRUE(object);
    ASSERT_EQ(object.address() % kGranule, 0u);
    EXPECT_EQ(SlotAt(object, 16).Load().word, 0u);
    if (i % 3 == 0) {
      EXPECT_EQ(mutator.LengthOf(object), i);
    } else {
      IdAt(object) = i;
    }
    objects.push_back(object);
  }
  for (int i = 0; i < 2; ++i) {
    Major(region);
    Group();
  }
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i % 3 != 0) {
      ASSERT_EQ(IdAt(objects[i]), i);
    }
    ASSERT_EQ(&mutator.TypeOf(objects[i]), i % 3 == 0 ? types().array : types().pair);
  }
  EXPECT_GE(heap().stats().program_bytes, 3'000 / 3 * 1'500 * 8u);
  ExpectValid();
}

TEST_F(ProgramSpaceTest, ALargeProgramObject) {
  const ObjectPtr object = heap().AllocateProgram(*types().array, 100'000);
  ASSERT_TRUE(object);
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  Store(mutator, object, SlotAt(object, ElementAt(99'999)), RefOf(object));
  EXPECT_EQ(Load(object, ElementAt(99'999)), object);
  ExpectValid();
}

TEST_F(ProgramSpaceTest, TakesSharedValuesAndImmediates) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr holder = heap().AllocateProgram(*types().pair);
  const ObjectPtr value = heap().AllocateProgram(*types().pair);
  Store(mutator, holder, SlotAt(holder, kA), RefOf(value));
  EXPECT_EQ(Load(holder, kA), value);
  Store(mutator, holder, SlotAt(holder, kA), Ref{41});
  EXPECT_EQ(SlotAt(holder, kA).Load().word, 41u);
  Store(mutator, holder, SlotAt(holder, kA), Ref{});
  EXPECT_EQ(SlotAt(holder, kA).Load().word, 0u);
  EXPECT_TRUE(violations().empty());
}

TEST_F(ProgramSpaceTest, CompareExchangeWorksOnProgramObjects) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr holder = heap().AllocateProgram(*types().pair);
  const ObjectPtr value = heap().AllocateProgram(*types().pair);
  Ref expected{};
  EXPECT_TRUE(CompareExchange(mutator, holder, SlotAt(holder, kA), expected, RefOf(value)));
  EXPECT_EQ(Load(holder, kA), value);
  EXPECT_EQ(Exchange(mutator, holder, SlotAt(holder, kA), Ref{}), RefOf(value));
  EXPECT_EQ(Load(holder, kA), ObjectPtr());
  EXPECT_TRUE(violations().empty());
}

TEST_F(ProgramSpaceTest, APrivateValueIsAViolationThatNamesBothTypesAndIsNotStored) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr holder = heap().AllocateProgram(*types().array, 4);
  const ObjectPtr shared = heap().AllocateProgram(*types().pair);
  const Slot slot = SlotAt(holder, ElementAt(2));
  Store(mutator, holder, slot, RefOf(shared));
  region.SetRoot(0, NewPair(mutator, 1));
  auto expect_violation = [&](size_t count) {
    ASSERT_EQ(violations().size(), count);
    EXPECT_EQ(violations().back().kind, Violation::Kind::kPrivateIntoProgram);
    EXPECT_THAT(violations().back().message, AllOf(HasSubstr("Pair"), HasSubstr("Array")));
    EXPECT_EQ(slot.Load(), RefOf(shared));
  };
  Store(mutator, holder, slot, RefOf(region.RootObject(0)));
  expect_violation(1);
  Exchange(mutator, holder, slot, RefOf(region.RootObject(0)));
  expect_violation(2);
  Ref expected = RefOf(shared);
  EXPECT_FALSE(CompareExchange(mutator, holder, slot, expected, RefOf(region.RootObject(0))));
  expect_violation(3);
  CopyRefs(mutator, holder, slot, Slot(&region.Root(0)), 1);
  expect_violation(4);
  // Of any age.
  Major(region);
  Store(mutator, holder, slot, RefOf(region.RootObject(0)));
  expect_violation(5);
  ExpectValid();
}

TEST_F(ProgramSpaceTest, PrivateObjectsMayReferToProgramObjects) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr program = heap().AllocateProgram(*types().pair);
  IdAt(program) = 77;
  region.SetRoot(0, NewPair(mutator, 1));
  Link(mutator, region.RootObject(0), kA, program);
  region.SetRoot(1, program);
  for (int i = 0; i < 4; ++i) {
    i == 2 ? Major(region) : i == 3 ? Group() : Minor(region);
    EXPECT_EQ(Load(region.RootObject(0), kA), program);
    EXPECT_EQ(region.RootObject(1), program);
  }
  EXPECT_EQ(IdAt(program), 77u);
  ExpectValid();
}

TEST_F(ProgramSpaceTest, AStoreIntoASharedObjectIsAViolationAndIsNotDone) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr shared = SharedBytes(mutator, 3);
  const Slot slot = SlotAt(shared, kElements + 8);
  const Ref before = slot.Load();
  region.SetRoot(0, NewPair(mutator, 1));
  Store(mutator, shared, slot, RefOf(region.RootObject(0)));
  ASSERT_EQ(violations().size(), 1u);
  EXPECT_EQ(violations()[0].kind, Violation::Kind::kStoreIntoShared);
  EXPECT_THAT(violations()[0].message, AllOf(HasSubstr("FrozenBytes"), HasSubstr("Pair")));
  // Nor anything else.
  Store(mutator, shared, slot, Ref{41});
  Ref expected = before;
  EXPECT_FALSE(CompareExchange(mutator, shared, slot, expected, Ref{43}));
  EXPECT_EQ(violations().size(), 3u);
  EXPECT_EQ(slot.Load(), before);
}

TEST_F(ProgramSpaceTest, ASharedObjectOutlivesTheRegionThatMadeIt) {
  ObjectPtr shared;
  {
    TestRegion maker(heap());
    shared = SharedBytes(maker.Enter(), 9);
    Major(maker);
  }
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  Link(mutator, region.RootObject(0), kA, shared);
  const ObjectPtr program = heap().AllocateProgram(*types().pair);
  Store(mutator, program, SlotAt(program, kA), RefOf(shared));
  EXPECT_TRUE(violations().empty()) << "a shared value is welcome in Program";
  Minor(region);
  Major(region);
  Group();
  EXPECT_EQ(Load(region.RootObject(0), kA), shared);
  EXPECT_EQ(*reinterpret_cast<unsigned char*>(shared.address() + kElements + 49'999), 9);
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
