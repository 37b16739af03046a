// Does allocation give what was asked for, and refuse what cannot be?
#include "tests/heap/heap_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Allocation : public HeapTest {
 protected:
  static bool IsZero(ObjectPtr object, size_t from, size_t to) {
    for (size_t at = from; at < to; ++at) {
      if (*reinterpret_cast<unsigned char*>(object.address() + at) != 0) return false;
    }
    return true;
  }
};

TEST_F(Allocation, FixedObjectsAreZeroedAndCarryTheirType) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (int round = 0; round < 3; ++round) {
    // Memory that has been used before is zero again.
    for (int i = 0; i < 50'000; ++i) {
      const ObjectPtr object = mutator.Allocate(*types().pair);
      ASSERT_TRUE(object);
      ASSERT_EQ(object.address() % kGranule, 0u);
      ASSERT_TRUE(IsZero(object, kHeaderSize, sizeof(PairObject)));
      ASSERT_EQ(&mutator.TypeOf(object), types().pair);
      ASSERT_EQ(mutator.SizeOf(object), sizeof(PairObject));
      IdAt(object) = ~uint64_t{0};
      SlotAt(object, kA).StoreRaw(Ref{7});
    }
  }
}

TEST_F(Allocation, ArraysOfEveryLengthAcrossTheLargeThreshold) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (const size_t length : {0, 1, 2, 7, 8, 9, 100, 1021, 1022, 1023, 1024, 4000, 8175, 8176, 8177,
                              32'752, 32'753, 100'000, 3'000'000}) {
    SCOPED_TRACE(length);
    const ObjectPtr bytes = mutator.AllocateArray(*types().bytes, length);
    ASSERT_TRUE(bytes) << mutator.last_error().message();
    EXPECT_EQ(mutator.LengthOf(bytes), length);
    EXPECT_EQ(mutator.SizeOf(bytes), (kElements + length + 7) & ~size_t{7});
    EXPECT_TRUE(IsZero(bytes, kElements, mutator.SizeOf(bytes)));
    std::memset(reinterpret_cast<void*>(bytes.address() + kElements), 0xFF, length);
    const ObjectPtr refs = mutator.AllocateArray(*types().array, length / 8);
    ASSERT_TRUE(refs);
    EXPECT_EQ(mutator.LengthOf(refs), length / 8);
    EXPECT_TRUE(IsZero(refs, kElements, mutator.SizeOf(refs)));
  }
  ExpectValid();
}

TEST_F(Allocation, ALeafWithAnOddFixedPartKeepsObjectsAligned) {
  TypeInfo info;
  info.name = "Odd";
  info.fixed_size = 13;
  info.element_size = 3;
  info.length_offset = 8;
  info.length_width = 4;
  const Type* type = heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t length = 0; length < 20; ++length) {
    const ObjectPtr object = mutator.AllocateArray(*type, length);
    ASSERT_EQ(object.address() % kGranule, 0u);
    EXPECT_EQ(mutator.SizeOf(object), (13 + 3 * length + 7) & ~size_t{7});
    EXPECT_EQ(mutator.LengthOf(object), length);
    // By its fixed size: one without elements.
    const ObjectPtr empty = mutator.Allocate(*type);
    ASSERT_TRUE(empty);
    ASSERT_EQ(empty.address() % kGranule, 0u);
    EXPECT_EQ(mutator.LengthOf(empty), 0u);
  }
  Major(region);
  ExpectValid();
}

TEST_F(Allocation, ASizeThatIsNotTheTypesIsRefused) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (const size_t size : {size_t{0}, size_t{8}, sizeof(PairObject) - 8, sizeof(PairObject) + 8,
                            size_t{1} << 40, SIZE_MAX}) {
    EXPECT_FALSE(mutator.Allocate(*types().pair, size));
    EXPECT_EQ(mutator.last_error().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(mutator.last_error().message(), AllOf(HasSubstr("Pair"), HasSubstr("32")));
  }
  EXPECT_TRUE(NewPair(mutator, 1));
}

// Such types are never allocated inline.
TEST_F(Allocation, ASizeOfZeroIsRefusedWhateverTheType) {
  TypeInfo info;
  info.name = "Unsendable";
  info.layout = Layout::kFixed;
  info.fixed_size = sizeof(PairObject);
  info.flags.unsendable = true;
  const Result<const Type*> unsendable = heap().RegisterType(info);
  ASSERT_TRUE(unsendable.ok());
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (const bool buffer : {false, true}) {
    SCOPED_TRACE(buffer ? "with a buffer" : "without one");
    if (buffer) {
      ASSERT_TRUE(NewPair(mutator, 1));
    }
    for (const Type* type : {types().array, types().bytes, types().still, unsendable.value()}) {
      volatile size_t none = 0;  // compilers refuse to see what would be zeroed
      EXPECT_FALSE(mutator.Allocate(*type, none));
      EXPECT_EQ(mutator.last_error().code(), StatusCode::kInvalidArgument);
      EXPECT_THAT(mutator.last_error().message(), HasSubstr(type->name()));
    }
  }
  ExpectValid();
}

TEST_F(Allocation, AnArrayOfATypeWithoutElementsIsRefused) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (const size_t length : {size_t{0}, size_t{1}}) {
    EXPECT_FALSE(mutator.AllocateArray(*types().pair, length));
    EXPECT_EQ(mutator.last_error().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(mutator.last_error().message(), HasSubstr("Pair"));
  }
}

TEST_F(Allocation, LengthsThatOverflowAreRefused) {
  TypeInfo info;
  info.name = "Narrow";
  info.layout = Layout::kRefArray;
  info.fixed_size = kElements;
  info.element_size = 8;
  info.length_offset = 8;
  info.length_width = 4;
  const Type* narrow = heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (const size_t length : {SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 8 - 1, SIZE_MAX / 16,
                              (size_t{1} << 61) - 2, size_t{1} << 47}) {
    SCOPED_TRACE(length);
    EXPECT_FALSE(mutator.AllocateArray(*types().array, length));
    EXPECT_THAT(mutator.last_error().message(), HasSubstr("Array"));
    EXPECT_FALSE(mutator.AllocateArrayNoCollect(*types().array, length));
    EXPECT_FALSE(heap().AllocateProgram(*types().array, length));
  }
  // One more than the length field holds, though the address space might.
  EXPECT_FALSE(mutator.AllocateArray(*narrow, size_t{1} << 32));
  EXPECT_EQ(mutator.last_error().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(mutator.last_error().message(), HasSubstr("Narrow"));
  ExpectValid();
}

TEST_F(Allocation, NonMovingObjectsAreOldFromTheStartHoweverAllocated) {
  TypeInfo info;
  info.name = "StillArray";
  info.layout = Layout::kRefArray;
  info.fixed_size = kElements;
  info.element_size = 8;
  info.length_offset = 8;
  info.flags.non_moving = true;
  const Type* still_array = heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  NewPair(mutator, 1);  // so that there is a buffer to be tempted by
  std::vector<ObjectPtr> objects;
  region.SetRoot(0, mutator.AllocateArray(*types().array, 300));
  for (size_t i = 0; i < 300; ++i) {
    const ObjectPtr object = i % 3 == 0 ? mutator.Allocate(*types().still)
                             : i % 3 == 1
                                 ? mutator.AllocateArray(*still_array, i)
                                 : mutator.AllocateNoCollect(*types().still, sizeof(PairObject));
    ASSERT_TRUE(object);
    EXPECT_FALSE(IsYoung(mutator, object)) << i;
    Link(mutator, region.RootObject(0), ElementAt(i), object);
    objects.push_back(object);
  }
  Minor(region);
  Major(region);
  Group();
  for (size_t i = 0; i < 300; ++i) {
    ASSERT_EQ(Load(region.RootObject(0), ElementAt(i)), objects[i]);
  }
  ExpectValid();
}

// Nothing can be moved out of the blocks of such objects, so holes are all that is given back.
TEST_F(Allocation, HolesAmongNonMovingObjectsAreFilledAgain) {
  TypeInfo info;
  info.name = "StillBytes";
  info.fixed_size = kElements;
  info.element_size = 1;
  info.length_offset = 8;
  info.flags.non_moving = true;
  const Type* still_bytes = heap().RegisterType(info).value();
  const size_t bytes = IsStressed(heap()) ? size_t{1} << 19 : size_t{4} << 20;
  for (const size_t length : {16u, 200u, 1'000u, 3'000u}) {
    SCOPED_TRACE(length);
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    const size_t count = bytes / length;
    region.SetRoot(0, mutator.AllocateArray(*types().array, count));
    // Of each 16 KiB, all or nothing lives.
    const size_t group = 16'384 / length + 1;
    const auto fill = [&](size_t parity) {
      for (size_t i = 0; i < count; ++i) {
        const bool lives = i / group % 2 == parity;
        if (!lives && parity == 1) continue;
        const ObjectPtr object = mutator.AllocateArray(*still_bytes, length);
        ASSERT_TRUE(object);
        if (lives) Link(mutator, region.RootObject(0), ElementAt(i), object);
      }
    };
    fill(0);
    Major(region);
    const uint64_t before = region.region().stats().block_bytes;
    fill(1);  // as much again as has died
    // What begins within a line of an object that lives is left, so not all of it fits.
    EXPECT_LE(region.region().stats().block_bytes, before + before / 8);
    ExpectValid();
    for (size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(Load(region.RootObject(0), ElementAt(i)));
    }
  }
}

TEST_F(Allocation, ChangeTypeKeepsTheObject) {
  TypeInfo info;
  info.name = "OtherPair";
  info.layout = Layout::kFixed;
  info.fixed_size = sizeof(PairObject);
  info.ref_offsets = {kA};
  const Type* other = heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 5));
  const uint32_t hash = mutator.IdentityHash(region.RootObject(0));
  ASSERT_TRUE(mutator.ChangeType(region.RootObject(0), *other).ok());
  EXPECT_EQ(&mutator.TypeOf(region.RootObject(0)), other);
  Minor(region);
  EXPECT_EQ(&mutator.TypeOf(region.RootObject(0)), other);
  EXPECT_EQ(IdAt(region.RootObject(0)), 5u);
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(0)), hash);
}

TEST_F(Allocation, ChangeTypeToAnotherSizeIsRefused) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr pair = NewPair(mutator, 1);
  for (const Type* type : {types().array, types().bytes}) {
    const Status status = mutator.ChangeType(pair, *type);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("Pair"), HasSubstr(type->name())));
    EXPECT_EQ(&mutator.TypeOf(pair), types().pair);
  }
}

TEST_F(Allocation, ShrinkInPlaceLeavesAParsableGap) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  size_t n = 0;
  for (const size_t length : {5, 64, 500, 1000, 3'000, 50'000}) {
    for (const size_t to : {size_t{0}, size_t{1}, length / 2, length - 1, length}) {
      SCOPED_TRACE(std::to_string(length) + " to " + std::to_string(to));
      region.SetRoot(n, mutator.AllocateArray(*types().array, length));
      const ObjectPtr array = region.RootObject(n++);
      for (size_t i = 0; i < length; ++i) SlotAt(array, ElementAt(i)).StoreRaw(Ref{i * 2 + 1});
      ASSERT_TRUE(mutator.ShrinkInPlace(array, to).ok());
      EXPECT_EQ(mutator.LengthOf(array), to);
      EXPECT_EQ(mutator.SizeOf(array), kElements + to * 8);
      for (size_t i = 0; i < to; ++i) ASSERT_EQ(SlotAt(array, ElementAt(i)).Load().word, i * 2 + 1);
    }
  }
  ExpectValid();
  Minor(region);
  ExpectValid();
  Major(region);
  ExpectValid();
  // Old ones as well.
  for (size_t i = 0; i < n; ++i) {
    const ObjectPtr array = region.RootObject(i);
    ASSERT_TRUE(mutator.ShrinkInPlace(array, mutator.LengthOf(array) / 2).ok());
  }
  ExpectValid();
  Major(region);
  ExpectValid();
}

TEST_F(Allocation, ShrinkInPlaceDoesNotGrow) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const ObjectPtr array = mutator.AllocateArray(*types().array, 10);
  EXPECT_EQ(mutator.ShrinkInPlace(array, 11).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(mutator.ShrinkInPlace(NewPair(mutator, 1), 0).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(mutator.LengthOf(array), 10u);
}

TEST_F(Allocation, ALargeShrunkArrayKeepsItsRememberedSlots) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*types().array, 20'000));
  Major(region);
  // Enough stores to use cards, then shrink below most of them.
  for (size_t i = 0; i < 20'000; ++i) {
    Link(mutator, region.RootObject(0), ElementAt(i), NewPair(mutator, i));
  }
  ASSERT_TRUE(mutator.ShrinkInPlace(region.RootObject(0), 100).ok());
  Minor(region);
  for (size_t i = 0; i < 100; ++i) {
    ASSERT_EQ(IdAt(Load(region.RootObject(0), ElementAt(i))), i);
  }
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
