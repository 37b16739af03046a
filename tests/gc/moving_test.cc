// What moves, what must not, and what goes with an object that moves?
#include <set>

#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

using Moving = GcTest;

TEST_F(Moving, SparseBlocksAreEvacuated) {
  TestRegion region(heap());
  region.Enter();
  constexpr size_t kCount = 100'000;
  constexpr size_t kKeep = 50;
  MakeMany(region, kCount);
  Major(region);
  Thin(region, kCount, kKeep);
  const size_t before = BlocksOf(region, kCount, kKeep);
  Major(region);
  Major(region);
  ExpectThinned(region, kCount, kKeep);
  // 2,000 pairs of 32 bytes: two blocks' worth, scattered over about a hundred.
  EXPECT_GE(before, 90u);
  EXPECT_LE(BlocksOf(region, kCount, kKeep), before / 3);
  ExpectValid();
}

TEST_F(Moving, GroupCollectionCompacts) {
  TestRegion region(heap());
  region.Enter();
  constexpr size_t kCount = 100'000;
  constexpr size_t kKeep = 50;
  MakeMany(region, kCount);
  Major(region);
  Thin(region, kCount, kKeep);
  Group();
  ExpectThinned(region, kCount, kKeep);
  EXPECT_LE(BlocksOf(region, kCount, kKeep), 12u);
  ExpectValid();
}

TEST_F(Moving, MoveEverythingMovesAllThatMay) {
  options().stress.move_everything = true;
  TestRegion region(heap());
  region.Enter();
  MakeMany(region, 2'000);
  Major(region);
  std::vector<uintptr_t> before;
  for (size_t i = 0; i < 2'000; ++i) {
    before.push_back(Load(region.RootObject(0), ElementAt(i)).address());
  }
  Major(region);
  size_t moved = 0;
  for (size_t i = 0; i < 2'000; ++i) {
    moved += Load(region.RootObject(0), ElementAt(i)).address() != before[i] ? 1 : 0;
  }
  EXPECT_EQ(moved, 2'000u);
  ExpectThinned(region, 2'000, 1);
}

TEST_F(Moving, PinnedObjectsStayAtEveryAgeWhileOthersMove) {
  options().stress.move_everything = true;
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    MakeMany(region, 1'000);
    AgeTo(region, age);
    const ObjectPtr pinned = Load(region.RootObject(0), ElementAt(500));
    ASSERT_TRUE(mutator.Pin(pinned).ok());
    ASSERT_TRUE(mutator.Pin(pinned).ok());
    for (const Kind kind : {Kind::kMinor, Kind::kMinor, Kind::kMajor, Kind::kGroup}) {
      Run(region, kind);
      ASSERT_EQ(Load(region.RootObject(0), ElementAt(500)), pinned);
      ASSERT_EQ(IdAt(pinned), 500u);
      ExpectThinned(region, 1'000, 1);
      ExpectValid();
    }
    ASSERT_TRUE(mutator.Unpin(pinned).ok());
    Major(region);
    EXPECT_EQ(Load(region.RootObject(0), ElementAt(500)), pinned) << "one pin is left";
    ASSERT_TRUE(mutator.Unpin(pinned).ok());
    // Once moved, the next may move it back: the block that it left is free.
    bool moved = false;
    for (int i = 0; i < 2; ++i) {
      Major(region);
      moved = moved || Load(region.RootObject(0), ElementAt(500)) != pinned;
    }
    EXPECT_TRUE(moved);
    EXPECT_EQ(mutator.Unpin(pinned).code(), StatusCode::kInvalidArgument);
  }
}

TEST_F(Moving, APinAloneKeepsAnObjectAndWhatItRefersTo) {
  for (const Kind kind : kKinds) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 2));
    const ObjectPtr pinned = NewPair(mutator, 1);
    Link(mutator, pinned, kA, region.RootObject(0));
    ASSERT_TRUE(mutator.Pin(pinned).ok());
    region.Root(0) = 0;
    Run(region, kind);
    EXPECT_EQ(IdAt(pinned), 1u);
    EXPECT_EQ(IdAt(Load(pinned, kA)), 2u);
    ASSERT_TRUE(mutator.Unpin(pinned).ok());
  }
}

TEST_F(Moving, PinsAreForObjectsOfTheOwnRegionAndShownByTheVerifier) {
  TestRegion region(heap());
  TestRegion other(heap());
  other.Enter("other");
  other.SetRoot(0, NewPair(other.mutator(), 2));
  other.mutator().EnterNative();
  Mutator& mutator = region.Enter("pinning");
  const Status status = mutator.Pin(other.RootObject(0));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("\"pinning\""));
  const ObjectPtr pinned = NewPair(mutator, 1);
  ASSERT_TRUE(mutator.Pin(pinned).ok());
  Minor(region);
  SlotAt(pinned, kA).StoreRaw(RefOf(other.RootObject(0)));
  EXPECT_THAT(heap().Verify().message(), ::testing::HasSubstr("a pin"));
  SlotAt(pinned, kA).StoreRaw(Ref{});
  EXPECT_TRUE(mutator.Unpin(pinned).ok());
  ExpectValid();
}

TEST_F(Moving, ManyPinsInFullBlocks) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeMany(region, 20'000);
  std::vector<ObjectPtr> pinned;
  for (size_t i = 0; i < 20'000; i += 100) {
    pinned.push_back(Load(region.RootObject(0), ElementAt(i)));
    ASSERT_TRUE(mutator.Pin(pinned.back()).ok());
  }
  for (const Kind kind : {Kind::kMinor, Kind::kMinor, Kind::kMajor, Kind::kGroup}) {
    Run(region, kind);
    ExpectThinned(region, 20'000, 1);
    for (size_t i = 0; i < pinned.size(); ++i) {
      ASSERT_EQ(Load(region.RootObject(0), ElementAt(i * 100)), pinned[i]);
    }
    ExpectValid();
  }
  for (const ObjectPtr object : pinned) ASSERT_TRUE(mutator.Unpin(object).ok());
  region.Root(0) = 0;
  Major(region);
  ExpectValid();
}

TEST_F(Moving, IdentityHashesStay) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeMany(region, 500);
  std::set<uint32_t> distinct;
  std::vector<uint32_t> hashes;
  for (size_t i = 0; i < 500; ++i) {
    hashes.push_back(mutator.IdentityHash(Load(region.RootObject(0), ElementAt(i))));
    EXPECT_NE(hashes.back(), 0u);
    distinct.insert(hashes.back());
  }
  EXPECT_GE(distinct.size(), 490u);
  for (const Kind kind : {Kind::kMinor, Kind::kMinor, Kind::kMajor, Kind::kGroup}) {
    Run(region, kind);
    for (size_t i = 0; i < 500; ++i) {
      ASSERT_EQ(mutator.IdentityHash(Load(region.RootObject(0), ElementAt(i))), hashes[i]);
    }
  }
}

TEST_F(Moving, TheMovedHookIsCalledForEachMove) {
  TypeInfo info;
  info.name = "SelfAddress";
  info.layout = Layout::kFixed;
  info.fixed_size = 32;
  info.ref_offsets = {24};
  info.moved = [](ObjectPtr object, uintptr_t from) {
    uint64_t& self = IdAt(object, 16);
    EXPECT_EQ(self, from);
    self = object.address();
  };
  const Type* type = heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.Allocate(*type));
  IdAt(region.RootObject(0), 16) = region.RootObject(0).address();
  for (const Kind kind : {Kind::kMinor, Kind::kMinor, Kind::kMajor, Kind::kGroup}) {
    Run(region, kind);
    EXPECT_EQ(IdAt(region.RootObject(0), 16), region.RootObject(0).address());
  }
}

TEST_F(Moving, DerivedAndByValueRootsFollow) {
  struct Client final : RegionClient {
    void VisitRoots(RootVisitor& visitor) override {
      by_value = visitor.VisitValue(by_value);
      visitor.VisitDerived(Slot(&base), &derived);
    }
    Ref by_value;
    Word base = 0;
    uintptr_t derived = 0;
  };
  Client client;
  RegionOptions region_options;
  region_options.client = &client;
  std::unique_ptr<Region> region = heap().CreateRegion(region_options).value();
  std::unique_ptr<Mutator> mutator = region->AttachMutator("frames").value();
  mutator->LeaveNative();
  client.by_value = RefOf(NewPair(*mutator, 1));
  const ObjectPtr array = mutator->AllocateArray(*types().bytes, 100);
  client.base = array.address();
  client.derived = array.address() + kElements + 17;
  *reinterpret_cast<unsigned char*>(client.derived) = 99;
  const uintptr_t before = client.base;
  Collect(*mutator, Mutator::Collection::kMinor);
  EXPECT_NE(client.base, before);
  EXPECT_EQ(client.derived, client.base + kElements + 17);
  EXPECT_EQ(*reinterpret_cast<unsigned char*>(client.derived), 99);
  EXPECT_EQ(IdAt(ObjectOf(client.by_value)), 1u);
  ASSERT_TRUE(mutator->Detach().ok());
  mutator.reset();
}

TEST_F(Moving, FreedLinesAreAllocatedIntoAgain) {
  TestRegion region(heap());
  region.Enter();
  constexpr size_t kCount = 60'000;
  uint64_t most = 0;
  // The same amount live over and over, replaced piecemeal: memory in use levels off.
  MakeMany(region, kCount);
  for (int round = 0; round < 30; ++round) {
    for (size_t i = static_cast<size_t>(round) % 7; i < kCount; i += 7) {
      Link(region.mutator(), region.RootObject(0), ElementAt(i), NewPair(region.mutator(), i));
    }
    if (round % 3 == 0) Major(region);
    if (round == 10) most = region.region().stats().block_bytes;
  }
  ExpectThinned(region, kCount, 1);
  EXPECT_LE(region.region().stats().block_bytes, most + most / 2 + (4 << 20));
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
