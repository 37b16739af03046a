// A large object becomes shared where it is: which may, and what changes?
#include "heap/flip_to_shared.h"

#include "atoll/weak_table.h"
#include "heap/mutator_record.h"
#include "heap/region_state.h"
#include "tests/gc/shared_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class FlipToSharedTest : public SharedSpaceTest {
 protected:
  static constexpr size_t kLength = 50'000;

  static void ExpectFlips(Mutator& mutator, ObjectPtr object) {
    const Status status = FlipToShared(mutator, object);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(mutator.TagOf(object.address()), tag::kShared);
    EXPECT_EQ(LoadFlags(object.address()), 0);
  }
  /// Refused, for this reason, the type being named; and the object is as it was.
  void ExpectRefused(Mutator& mutator, ObjectPtr object, const std::string& type,
                     const std::string& reason, StatusCode code = StatusCode::kInvalidArgument) {
    const uint32_t tag_before = mutator.TagOf(object.address());
    const size_t shared_before = SharedBytes();
    const Status status = FlipToShared(mutator, object);
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("\"" + type + "\""), HasSubstr(reason)));
    EXPECT_EQ(mutator.TagOf(object.address()), tag_before);
    EXPECT_EQ(SharedBytes(), shared_before);
    ExpectValid();
  }
};

TEST_F(FlipToSharedTest, TheObjectStaysWhereItIsAndItsBlocksGoToTheGroup) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    // Between two others, so that it is taken from the middle of a list.
    for (size_t n = 0; n < 3; ++n) {
      region.SetRoot(n, mutator.AllocateArray(*frozen().bytes, kLength));
    }
    AgeTo(region, age);
    const ObjectPtr object = region.RootObject(1);
    const uint32_t hash = mutator.IdentityHash(object);
    std::memset(reinterpret_cast<void*>(object.address() + kElements), 5, kLength);
    const uint64_t bytes_before = region.region().stats().block_bytes;
    const RegionState& state = region.region().state();
    const size_t paced_before = state.OldBytes() + state.young_large_bytes;
    ExpectFlips(mutator, object);
    ExpectValid();
    EXPECT_LE(state.OldBytes() + state.young_large_bytes, paced_before - kLength)
        << "the region's pacing has done with it";
    const size_t run = (kLength + kBlockSize - 1) / kBlockSize * kBlockSize;
    EXPECT_EQ(SharedBytes(), run);
    EXPECT_EQ(region.region().stats().block_bytes, bytes_before - run);
    for (const Kind kind : kKinds) {
      Run(region, kind);
      ExpectValid();
      EXPECT_EQ(region.RootObject(1), object);
      EXPECT_EQ(mutator.IdentityHash(object), hash);
      EXPECT_EQ(mutator.LengthOf(object), kLength);
    }
    region.Leave();
    // It outlives its region, as long as another refers to it.
    TestRegion other(heap());
    other.Enter();
    other.SetRoot(0, object);
    region.ClearRoots();
    region.EndRegion();
    Group();
    EXPECT_EQ(*reinterpret_cast<unsigned char*>(object.address() + kElements + kLength - 1), 5);
    other.ClearRoots();
    Group();
    EXPECT_EQ(SharedBytes(), 0u);
  }
}

TEST_F(FlipToSharedTest, AnArrayOfSharedReferences) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  SharedAllocator allocator(heap().state().shared);
  region.SetRoot(0, mutator.AllocateArray(*frozen().array, kLength));
  const ObjectPtr list = NewSharedList(allocator, 1, 10);
  Link(mutator, region.RootObject(0), ElementAt(1), list);
  Link(mutator, region.RootObject(0), ElementAt(2), heap().AllocateProgram(*types().pair));
  SlotAt(region.RootObject(0), ElementAt(3)).StoreRaw(Ref{7});
  ExpectFlips(mutator, region.RootObject(0));
  Group();
  ExpectValid();
  ExpectList(Load(region.RootObject(0), ElementAt(1)), 1, 10);
  EXPECT_TRUE(IsThere(list));
  // And an array of such arrays.
  region.SetRoot(1, mutator.AllocateArray(*frozen().array, kLength));
  Link(mutator, region.RootObject(1), ElementAt(0), region.RootObject(0));
  region.Root(0) = 0;
  ExpectFlips(mutator, region.RootObject(1));
  Group();
  ExpectValid();
  EXPECT_TRUE(IsThere(list));
  region.ClearRoots();
  Group();
  EXPECT_EQ(SharedBytes(), 0u);
}

TEST_F(FlipToSharedTest, AnObjectOfAnAdoptedPart) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    TestRegion receiver(heap());
    TestRegion source(heap());
    source.SetRoot(0, source.Enter().AllocateArray(*frozen().bytes, kLength));
    source.SetRoot(1, source.mutator().AllocateArray(*frozen().bytes, kLength));
    AgeTo(source, age);
    source.Leave();
    Mutator& mutator = receiver.Enter();
    ASSERT_TRUE(receiver.region().Adopt(source.region()).ok());
    for (const size_t n : {0, 1}) receiver.Root(n) = source.Root(n);
    source.ClearRoots();
    ExpectFlips(mutator, receiver.RootObject(1));
    ExpectValid();
    Major(receiver);
    ExpectValid();
    Group();
    EXPECT_TRUE(IsThere(receiver.RootObject(1)));
    receiver.ClearRoots();
    Group();
    EXPECT_EQ(SharedBytes(), 0u);
    ExpectValid();
  }
}

TEST_F(FlipToSharedTest, RefusesWhatMayNotAndSaysWhy) {
  Counter finalized;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  auto bytes = [&] { return mutator.AllocateArray(*frozen().bytes, kLength); };
  ExpectRefused(mutator, mutator.AllocateArray(*types().bytes, kLength), "Bytes",
                "not deeply immutable");
  ExpectRefused(mutator, mutator.AllocateArray(*frozen().bytes, 100), "FrozenBytes", "not large");
  ExpectRefused(mutator, mutator.Allocate(*frozen().weak), "FrozenWeak", "weak");
  ExpectRefused(mutator, heap().AllocateProgram(*frozen().pair), "FrozenPair", "shared already");

  region.SetRoot(0, bytes());
  ExpectFlips(mutator, region.RootObject(0));
  ExpectRefused(mutator, region.RootObject(0), "FrozenBytes", "shared already");

  region.SetRoot(1, bytes());
  ASSERT_TRUE(mutator.Pin(region.RootObject(1)).ok());
  ExpectRefused(mutator, region.RootObject(1), "FrozenBytes", "pinned");
  ASSERT_TRUE(mutator.Unpin(region.RootObject(1)).ok());
  ExpectFlips(mutator, region.RootObject(1));

  for (const Age age : kAges) {
    region.SetRoot(2, bytes());
    AgeTo(region, age);
    ASSERT_TRUE(
        mutator.AddFinalizer(region.RootObject(2), FinalizerKind::kNative, Counter::Add, &finalized)
            .ok());
    ExpectRefused(mutator, region.RootObject(2), "FrozenBytes", "finalizer");
    AgeTo(region, Age::kOld);
    ExpectRefused(mutator, region.RootObject(2), "FrozenBytes", "finalizer");
  }

  const WeakTable table(heap());
  region.SetRoot(3, bytes());
  ASSERT_TRUE(table.Put(mutator, region.RootObject(3), 1).ok());
  ExpectRefused(mutator, region.RootObject(3), "FrozenBytes", "weak table");
  ASSERT_TRUE(table.Remove(mutator, region.RootObject(3)));
  ExpectFlips(mutator, region.RootObject(3));
  EXPECT_EQ(table.Put(mutator, region.RootObject(3), 1).code(), StatusCode::kInvalidArgument);

  region.SetRoot(4, mutator.AllocateArray(*frozen().array, kLength));
  Link(mutator, region.RootObject(4), ElementAt(kLength - 1), NewPair(mutator, 1));
  ExpectRefused(mutator, region.RootObject(4), "FrozenArray", "\"Pair\"");
  EXPECT_THAT(FlipToShared(mutator, region.RootObject(4)).message(),
              HasSubstr("+" + std::to_string(ElementAt(kLength - 1))));

  uint64_t outside = 0;
  EXPECT_EQ(FlipToShared(mutator, ObjectPtr(reinterpret_cast<uintptr_t>(&outside))).code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(violations().empty());
}

TEST_F(FlipToSharedTest, RefusesAnotherRegionsObjectAndCallsOutsideManagedState) {
  RegionOptions named;
  named.name = "island";
  TestRegion other(heap());
  other.SetRoot(0, other.Enter().AllocateArray(*frozen().bytes, kLength));
  other.Leave();
  TestRegion region(heap(), named);
  Mutator& mutator = region.Enter();
  ExpectRefused(mutator, other.RootObject(0), "FrozenBytes", "island");
  region.SetRoot(0, mutator.AllocateArray(*frozen().bytes, kLength));
  mutator.EnterNative();
  EXPECT_EQ(FlipToShared(mutator, region.RootObject(0)).code(), StatusCode::kFailedPrecondition);
  mutator.LeaveNative();
  ASSERT_EQ(violations().size(), 1u);
  EXPECT_EQ(violations()[0].kind, Violation::Kind::kNotManaged);
}

TEST_F(FlipToSharedTest, CardsAreForgottenFirst) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*frozen().array, kLength));
  Major(region);
  // More stores of young values than are kept as slots.
  const size_t stores = RememberedSet::kMaxSlots + 10;
  {
    NoCollectScope scope(mutator);  // a collection would take them over
    for (size_t i = 0; i < stores; ++i) {
      Link(mutator, region.RootObject(0), ElementAt(i), NewPair(mutator, i));
    }
  }
  for (size_t i = 0; i < stores; ++i) Link(mutator, region.RootObject(0), ElementAt(i), {});
  ExpectRefused(mutator, region.RootObject(0), "FrozenArray", "major collection",
                StatusCode::kFailedPrecondition);
  Major(region);
  ExpectFlips(mutator, region.RootObject(0));
  ExpectValid();
}

TEST_F(FlipToSharedTest, WhatRemembersASlotOfAFreedObjectForgetsIt) {
  options().stress.poison = true;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*frozen().array, kLength));
  Major(region);
  Link(mutator, region.RootObject(0), ElementAt(kLength - 1), NewPair(mutator, 1));
  Link(mutator, region.RootObject(0), ElementAt(kLength - 1), {});
  mutator.RememberForStores(region.RootObject(0));
  const RememberedSet& remembered = mutator.record().remembered;
  ASSERT_EQ(remembered.slots.size(), 1u);
  ASSERT_EQ(remembered.objects.size(), 1u);
  ExpectFlips(mutator, region.RootObject(0));
  region.ClearRoots();
  {
    NoCollectScope scope(mutator);  // the region is left as it is, its remembered set too
    Group();
  }
  EXPECT_EQ(SharedBytes(), 0u);
  EXPECT_TRUE(remembered.empty());
  Minor(region);
  ExpectValid();
}

// ---- The verifier

using SharedVerifierTest = SharedSpaceTest;

TEST_F(SharedVerifierTest, FindsAPrivateValueInASharedObjectAndThePathToIt) {
  RegionOptions named;
  named.name = "mainland";
  TestRegion region(heap(), named);
  Mutator& mutator = region.Enter();
  SharedAllocator allocator(heap().state().shared);
  const ObjectPtr list = NewSharedList(allocator, 1, 3);
  const ObjectPtr third = Load(Load(list, kA), kA);
  region.SetRoot(0, NewPair(mutator, 1));
  Link(mutator, region.RootObject(0), kA, list);
  region.SetRoot(1, NewPair(mutator, 2));
  auto hex = [](ObjectPtr object) {
    char text[32];
    std::snprintf(text, sizeof text, "%zx", static_cast<size_t>(object.address()));
    return std::string(text);
  };
  SlotAt(third, kB).StoreRaw(RefOf(region.RootObject(1)));
  EXPECT_THAT(MessageOfBrokenHeap(),
              AllOf(HasSubstr("I2"), HasSubstr("+24"), HasSubstr("FrozenPair"),
                    HasSubstr("private"), HasSubstr("\"Pair\" at 0x" + hex(region.RootObject(1))),
                    HasSubstr("mainland"), HasSubstr(hex(list)), HasSubstr(hex(third))));
  SlotAt(third, kB).StoreRaw(Ref{});
  ExpectValid();
  // Neither into the middle of an object, nor to one that is gone.
  SlotAt(third, kB).StoreRaw(RefOf(ObjectPtr(list.address() + 8)));
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("I2"), HasSubstr("no object starts")));
  const ObjectPtr gone = New(allocator, *frozen().bytes, 100'000);
  SlotAt(third, kB).StoreRaw(Ref{});
  Group();
  SlotAt(third, kB).StoreRaw(RefOf(gone));
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("I2"), HasSubstr("free memory")));
  SlotAt(third, kB).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(SharedVerifierTest, FindsAReferenceToADeadSharedObject) {
  TestRegion region(heap());
  region.Enter();
  SharedAllocator allocator(heap().state().shared);
  const ObjectPtr dead = NewSharedPair(allocator, 1);
  region.SetRoot(0, NewSharedPair(allocator, 2));
  Group();
  region.SetRoot(1, NewPair(region.mutator(), 1));
  SlotAt(region.RootObject(1), kA).StoreRaw(RefOf(dead));
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("Pair"), HasSubstr("no shared object")));
  SlotAt(region.RootObject(1), kA).StoreRaw(Ref{});
  ExpectValid();
}

TEST_F(SharedVerifierTest, FindsARootOfTheGroupThatIsPrivate) {
  TestRegion region(heap());
  region.SetRoot(0, NewPair(region.Enter(), 1));
  HeldByGroup roots;
  heap().AddGroupRoots(&roots);
  roots.words = {7, 0, region.Root(0)};
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("root 2 of the group"), HasSubstr("Pair")));
  ASSERT_FALSE(violations().empty());
  EXPECT_EQ(violations().back().kind, Violation::Kind::kForeignRoot);
  roots.words.pop_back();
  ExpectValid();
  heap().RemoveGroupRoots(&roots);
}

TEST_F(SharedVerifierTest, FindsHeadersLinesAndTagsThatAreWrong) {
  TestRegion region(heap());
  region.Enter();
  const AddressSpace& space = *heap().state().space;
  SharedAllocator allocator(heap().state().shared);
  const ObjectPtr pair = NewSharedPair(allocator, 1);
  const ObjectPtr wide = New(allocator, *frozen().bytes, 1'000);
  auto& header_word = *reinterpret_cast<Word*>(pair.address());
  for (const Word wrong : {header_word | header::kLarge, header_word | header::kRemembered, Word{0},
                           Word{header::kMaxTypeId} << header::kTypeShift}) {
    const Word before = std::exchange(header_word, wrong);
    EXPECT_THAT(MessageOfBrokenHeap(), HasSubstr("I6"));
    header_word = before;
    ExpectValid();
  }
  uint64_t& covers = space.covers(space.BlockOf(wide.address()))[0];
  const uint64_t covers_before = std::exchange(covers, 0);
  ASSERT_NE(covers_before, 0u);
  EXPECT_THAT(MessageOfBrokenHeap(), AllOf(HasSubstr("I6"), HasSubstr("line")));
  covers = covers_before;
  ExpectValid();
  const BlockIndex block = space.BlockOf(pair.address());
  space.set_tag(block, tag::kShared | tag::kYoung);
  EXPECT_THAT(MessageOfBrokenHeap(), HasSubstr("I4"));
  space.set_tag(block, tag::kShared);
  ExpectValid();
}

TEST_F(SharedVerifierTest, RunsBehindGroupCollectionsWhenAskedTo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  options().stress.verify = true;
  EXPECT_DEATH(
      {
        TestRegion region(heap());
        Mutator& mutator = region.Enter();
        SharedAllocator allocator(heap().state().shared);
        region.SetRoot(0, NewSharedPair(allocator, 1));
        region.SetRoot(1, mutator.Allocate(*types().still));
        SlotAt(region.RootObject(0), kB).StoreRaw(RefOf(region.RootObject(1)));
        Group();
      },
      "FrozenPair");
}

}  // namespace
}  // namespace Atoll
