// Does a minor collection find every young object that only old ones refer to?
#include "heap/heap_state.h"
#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

class Remembered : public GcTest {
 protected:
  /// An old array in root 0.
  ObjectPtr OldArray(TestRegion& region, size_t length) {
    region.SetRoot(0, region.mutator().AllocateArray(*types().array, length));
    Major(region);
    EXPECT_FALSE(IsYoung(region.mutator(), region.RootObject(0)));
    return region.RootObject(0);
  }
  void StoreYoungInto(TestRegion& region, size_t index) {
    const ObjectPtr young = NewPair(region.mutator(), index);
    Link(region.mutator(), region.RootObject(0), ElementAt(index), young);
  }
  static void ExpectAt(TestRegion& region, size_t index) {
    const ObjectPtr element = Load(region.RootObject(0), ElementAt(index));
    ASSERT_TRUE(element) << index;
    ASSERT_EQ(IdAt(element), index);
  }
};

TEST_F(Remembered, TheFlagIsSetByAStoreAndClearedWhenNothingYoungIsLeft) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  Major(region);
  // Until little survival is predicted again.
  for (int i = 0; i < 4; ++i) MinorAmongGarbage(region);
  auto remembered = [&] {
    return (*reinterpret_cast<uint8_t*>(region.RootObject(0).address()) & header::kRemembered) != 0;
  };
  EXPECT_FALSE(remembered());
  Link(mutator, region.RootObject(0), kB, region.RootObject(0));
  EXPECT_FALSE(remembered()) << "an old value is not remembered";
  Link(mutator, region.RootObject(0), kA, NewPair(mutator, 2));
  EXPECT_TRUE(remembered());
  MinorAmongGarbage(region);
  EXPECT_TRUE(remembered()) << "the survivor is young still";
  EXPECT_EQ(IdAt(Load(region.RootObject(0), kA)), 2u);
  MinorAmongGarbage(region);
  EXPECT_FALSE(remembered());
  EXPECT_EQ(IdAt(Load(region.RootObject(0), kA)), 2u);
  // And set anew by the next store.
  Link(mutator, region.RootObject(0), kA, NewPair(mutator, 3));
  EXPECT_TRUE(remembered());
  MinorAmongGarbage(region);
  EXPECT_EQ(IdAt(Load(region.RootObject(0), kA)), 3u);
  ExpectValid();
}

TEST_F(Remembered, AnObjectRememberedKeepsAllItsStores) {
  TestRegion region(heap());
  region.Enter();
  OldArray(region, 100);
  for (size_t i = 0; i < 100; ++i) StoreYoungInto(region, i);
  Minor(region);
  for (size_t i = 0; i < 100; ++i) ExpectAt(region, i);
  // Survivors in the young generation: remembered still, without a further store.
  Minor(region);
  for (size_t i = 0; i < 100; ++i) ExpectAt(region, i);
  Minor(region);
  for (size_t i = 0; i < 100; ++i) ExpectAt(region, i);
  ExpectValid();
}

TEST_F(Remembered, FewSlotsOfALargeArray) {
  TestRegion region(heap());
  region.Enter();
  OldArray(region, 100'000);
  for (const size_t i : {size_t{0}, size_t{63}, size_t{64}, size_t{50'000}, size_t{99'999}}) {
    StoreYoungInto(region, i);
  }
  for (int round = 0; round < 3; ++round) {
    Minor(region);
    for (const size_t i : {size_t{0}, size_t{63}, size_t{64}, size_t{50'000}, size_t{99'999}}) {
      ExpectAt(region, i);
    }
  }
  ExpectValid();
}

TEST_F(Remembered, SoManySlotsOfALargeArrayThatCardsTakeOver) {
  TestRegion region(heap());
  region.Enter();
  constexpr size_t kLength = 40'000;
  OldArray(region, kLength);
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < kLength; ++i) StoreYoungInto(region, (i * 7919) % kLength);
    for (int minors = 0; minors < 3; ++minors) {
      Minor(region);
      for (size_t i = 0; i < kLength; ++i) ExpectAt(region, i);
    }
    ExpectValid();
  }
}

TEST_F(Remembered, ManyLargeArraysAtOnce) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  constexpr size_t kArrays = 20;
  constexpr size_t kLength = 2'000;
  for (size_t a = 0; a < kArrays; ++a) {
    region.SetRoot(a, mutator.AllocateArray(*types().array, kLength));
  }
  Major(region);
  for (size_t i = 0; i < kLength; i += 3) {
    for (size_t a = 0; a < kArrays; ++a) {
      Link(mutator, region.RootObject(a), ElementAt(i), NewPair(mutator, a * kLength + i));
    }
  }
  Minor(region);
  ExpectValid();
  for (size_t a = 0; a < kArrays; ++a) {
    for (size_t i = 0; i < kLength; i += 3) {
      ASSERT_EQ(IdAt(Load(region.RootObject(a), ElementAt(i))), a * kLength + i);
    }
  }
}

TEST_F(Remembered, ADeadOldObjectThatWasRememberedDoesNoHarm) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, mutator.AllocateArray(*types().array, 5'000));
  Major(region);
  Link(mutator, region.RootObject(0), kA, NewPair(mutator, 2));
  Link(mutator, region.RootObject(1), ElementAt(4'000), NewPair(mutator, 3));
  region.ClearRoots();
  Major(region);
  // Their memory is used anew, and nothing remembers them.
  MakeList(region, 0, 1, 50'000);
  Minor(region);
  Minor(region);
  ExpectList(region.RootObject(0), 1, 50'000);
  ExpectValid();
}

TEST_F(Remembered, ExchangeAndCompareExchangeRemember) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  Major(region);
  const ObjectPtr young = NewPair(mutator, 2);
  ObjectPtr old = region.RootObject(0);
  Ref expected{};
  EXPECT_TRUE(CompareExchange(mutator, old, SlotAt(old, kA), expected, RefOf(young)));
  EXPECT_EQ(Exchange(mutator, old, SlotAt(old, kB), RefOf(young)).word, 0u);
  Minor(region);
  old = region.RootObject(0);
  EXPECT_EQ(IdAt(Load(old, kA)), 2u);
  EXPECT_EQ(Load(old, kA), Load(old, kB));
}

TEST_F(Remembered, CopyRefsRemembersAndOverlapsInBothDirections) {
  for (const int direction : {-1, 1}) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    OldArray(region, 64);
    for (size_t i = 0; i < 32; ++i) StoreYoungInto(region, 16 + i);
    const ObjectPtr array = region.RootObject(0);
    const size_t to = direction < 0 ? 8 : 24;
    CopyRefs(mutator, array, SlotAt(array, ElementAt(to)), SlotAt(array, ElementAt(16)), 32);
    Minor(region);
    for (size_t i = 0; i < 32; ++i) {
      ASSERT_EQ(IdAt(Load(region.RootObject(0), ElementAt(to + i))), 16 + i);
    }
    ExpectValid();
  }
}

TEST_F(Remembered, RawStoresAfterRememberForStores) {
  for (const size_t length : {size_t{10}, size_t{5'000}}) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    OldArray(region, length);
    const ObjectPtr young = NewPair(mutator, 7);
    mutator.RememberForStores(region.RootObject(0));
    SlotAt(region.RootObject(0), ElementAt(length - 1)).StoreRaw(RefOf(young));
    SlotAt(region.RootObject(0), ElementAt(3)).StoreRaw(RefOf(young));
    ExpectValid();
    Minor(region);
    EXPECT_EQ(IdAt(Load(region.RootObject(0), ElementAt(length - 1))), 7u);
    EXPECT_EQ(Load(region.RootObject(0), ElementAt(3)),
              Load(region.RootObject(0), ElementAt(length - 1)));
    ExpectValid();
  }
}

TEST_F(Remembered, RememberForStoresListsAnObjectOnce) {
  for (const size_t length : {size_t{10}, size_t{5'000}}) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    OldArray(region, length);
    mutator.RememberForStores(region.RootObject(0));
    const size_t bytes = heap().state().allocator.bytes();
    for (int i = 0; i < 100'000; ++i) mutator.RememberForStores(region.RootObject(0));
    EXPECT_EQ(heap().state().allocator.bytes(), bytes);
    ExpectValid();
    Minor(region);
    ExpectValid();
  }
}

TEST_F(Remembered, NonMovingObjectsTakeYoungValuesFromTheirFirstStoreOn) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(1, NewPair(mutator, 2));
  region.SetRoot(0, mutator.Allocate(*types().still));
  const ObjectPtr born = region.RootObject(0);
  Link(mutator, born, kA, region.RootObject(1));
  region.Root(1) = 0;
  for (int i = 0; i < 3; ++i) {
    Minor(region);
    EXPECT_EQ(region.RootObject(0), born);
    EXPECT_EQ(IdAt(Load(born, kA)), 2u);
  }
  Major(region);
  EXPECT_EQ(region.RootObject(0), born);
  EXPECT_EQ(IdAt(Load(born, kA)), 2u);
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
