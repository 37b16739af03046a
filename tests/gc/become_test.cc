// What Become replaces and what goes along.
#include "atoll/weak_table.h"
#include "heap/mutator_record.h"
#include "heap/region_state.h"
#include "tests/gc/become_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

TEST_F(BecomeTest, ReplacesInRegionsInFlightAndAdoptedParts) {
  TestRegion sender(heap());
  sender.Enter("sender");
  MakeList(sender, 0, 10, 100);
  sender.SetRoot(1, NewPair(sender.mutator(), 1));
  sender.SetRoot(2, NewPair(sender.mutator(), 2));
  Link(sender.mutator(), sender.RootObject(0), kB, sender.RootObject(1));
  sender.Leave();  // nobody's: on its way
  ExpectBecomes({&sender.Root(1)}, {&sender.Root(2)});
  EXPECT_EQ(IdAt(Load(sender.RootObject(0), kB)), 2u);
  EXPECT_EQ(sender.Root(1), sender.Root(2));

  TestRegion receiver(heap());
  receiver.Enter("receiver");
  for (size_t i = 0; i < 3; ++i) receiver.Root(i) = sender.Root(i);
  const Status adopted = receiver.region().Adopt(sender.region());
  ASSERT_TRUE(adopted.ok()) << adopted.message();
  sender.ClearRoots();
  receiver.SetRoot(3, NewPair(receiver.mutator(), 3));
  ExpectBecomes({&receiver.Root(2)}, {&receiver.Root(3)});
  // An old object, as adopted ones are, refers to a young one now.
  EXPECT_EQ(IdAt(Load(receiver.RootObject(0), kB)), 3u);
  receiver.Root(1) = receiver.Root(2) = receiver.Root(3) = 0;
  Minor(receiver);
  ExpectValid();
  EXPECT_EQ(IdAt(Load(receiver.RootObject(0), kB)), 3u);
  ExpectList(receiver.RootObject(0), 10, 100);
}

TEST_F(BecomeTest, RemembersOldObjectsThatReferToYoungOnesNow) {
  for (const bool remembers : {true, false}) {
    SCOPED_TRACE(remembers);
    TestRegion region(heap());
    region.Enter();
    MakeOldHolders(region);
    if (remembers) {
      ExpectBecomes({&region.Root(0)}, {&region.Root(1)});
      region.Root(0) = region.Root(1) = 0;
      Minor(region);
      ExpectValid();
      ExpectHeld(region, 2);
    } else {
      const Status left =
          CheckWithout(BecomeRun::kRememberedSets, {&region.Root(0)}, {&region.Root(1)});
      EXPECT_TRUE(left.ok()) << left.message();
      EXPECT_THAT(MessageOfBrokenHeap(), HasSubstr("I3"));
      violations().clear();
      region.ClearRoots();
      // What is broken goes untraced.
      region.Leave();
      region.EndRegion();
    }
  }
}

TEST_F(BecomeTest, GuardedObjectsAreReplaced) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  ASSERT_TRUE(
      mutator.AddFinalizer(region.RootObject(0), FinalizerKind::kGuardian, nullptr, nullptr).ok());
  WeakPersistent seen(region.region(), Ref{region.Root(0)});
  region.Root(0) = 0;
  Major(region);
  ASSERT_EQ(region.region().state().guarded.size(), 1u);
  region.SetRoot(1, NewPair(mutator, 2));
  const Word guarded = region.region().state().guarded.front();
  EXPECT_THAT(CheckWithout(BecomeRun::kGuarded, {&guarded}, {&region.Root(1)}).message(),
              HasSubstr("a guarded object of region \"region\" still refers"));
  ExpectBecomes({&guarded}, {&region.Root(1)});
  EXPECT_EQ(region.region().NextGuarded().word, region.Root(1));
}

TEST_F(BecomeTest, ManyAreReplacedAtOnceAndMayBecomeTheSame) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  constexpr size_t kCount = 1'000;
  // Element i refers to object i.
  region.SetRoot(0, mutator.AllocateArray(*types().array, kCount));
  for (size_t i = 0; i < kCount; ++i) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return region.RootObject(0); });
  }
  region.SetRoot(1, mutator.AllocateArray(*types().array, kCount));
  for (size_t i = 0; i < kCount; i += 2) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, kCount + i),
            [&] { return region.RootObject(1); });
  }
  Words before;
  Words after;
  // Every second becomes its own; every 10th of the others the first of these.
  const auto element = [&](size_t root, size_t i) {
    return reinterpret_cast<const Word*>(region.RootObject(root).address() + ElementAt(i));
  };
  for (size_t i = 0; i < kCount; i += 2) {
    before.push_back(element(0, i));
    after.push_back(element(1, i));
  }
  for (size_t i = 1; i < kCount; i += 10) {
    before.push_back(element(0, i));
    after.push_back(element(1, 0));
  }
  ExpectBecomes(before, after);
  for (size_t i = 0; i < kCount; ++i) {
    const uint64_t want = i % 2 == 0 ? kCount + i : i % 10 == 1 ? kCount : i;
    ASSERT_EQ(IdAt(Load(region.RootObject(0), ElementAt(i))), want) << i;
  }
  Major(region);
  ExpectValid();
}

TEST_F(BecomeTest, AReferenceToTheOldFromTheNewBecomesOneToItself) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, NewPair(mutator, 2));
  Link(mutator, region.RootObject(1), kA, region.RootObject(0));
  ExpectBecomes({&region.Root(0)}, {&region.Root(1)});
  EXPECT_EQ(Load(region.RootObject(1), kA), region.RootObject(1));
}

TEST_F(BecomeTest, PrivateObjectsMayBecomeSharedOnes) {
  SharedAllocator allocator(heap().state().shared);
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, NewSharedPair(allocator, 2));
  ExpectBecomes({&region.Root(0)}, {&region.Root(1)});
  region.SetRoot(2, NewPair(mutator, 3));
  region.SetRoot(3, heap().AllocateProgram(*types().pair));
  ExpectBecomes({&region.Root(2)}, {&region.Root(3)});
  ExpectBecomes({&region.Root(1)}, {&region.Root(3)});  // Shared to Program
  EXPECT_EQ(region.Root(0), region.Root(3));
}

TEST_F(BecomeTest, NothingToReplaceIsFine) { ExpectBecomes({}, {}); }

// ---- What goes along

TEST_F(BecomeTest, TheNewObjectTakesTheHashOfTheOldUnlessItHasOne) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 6; ++i) region.SetRoot(i, NewPair(mutator, i));
  const uint32_t first = mutator.IdentityHash(region.RootObject(0));
  const uint32_t second = mutator.IdentityHash(region.RootObject(2));
  const uint32_t own = mutator.IdentityHash(region.RootObject(3));
  const uint32_t of_new = mutator.IdentityHash(region.RootObject(5));
  ExpectBecomes({&region.Root(0), &region.Root(2), &region.Root(4)},
                {&region.Root(1), &region.Root(3), &region.Root(5)});
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(0)), first);
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(2)), own);
  EXPECT_NE(own, second);
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(4)), of_new);
}

TEST_F(BecomeTest, EntriesOfWeakTablesFollow) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    const WeakTable table(heap());
    const WeakTable other(heap());
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    for (size_t i = 0; i < 4; ++i) region.SetRoot(i, NewPair(mutator, i));
    ASSERT_TRUE(table.Put(mutator, region.RootObject(0), 7).ok());
    ASSERT_TRUE(table.Put(mutator, region.RootObject(2), 8).ok());
    ASSERT_TRUE(table.Put(mutator, region.RootObject(3), 9).ok());
    ASSERT_TRUE(other.Put(mutator, region.RootObject(2), 10).ok());
    AgeTo(region, age);
    region.SetRoot(1, NewPair(mutator, 1));  // younger than what it takes the place of
    ExpectBecomes({&region.Root(0), &region.Root(2)}, {&region.Root(1), &region.Root(3)});
    for (int round = 0; round < 3; ++round) {
      EXPECT_EQ(table.Get(mutator, region.RootObject(0)), 7u);
      // It has an entry of its own.
      EXPECT_EQ(table.Get(mutator, region.RootObject(2)), 9u);
      EXPECT_EQ(other.Get(mutator, region.RootObject(2)), 10u);
      round == 0 ? Minor(region) : Major(region);
    }
    region.ClearRoots();
    Major(region);
    for (const WeakEntries* entries : {&region.region().state().own->young_weak_entries,
                                       &region.region().state().own->weak_entries}) {
      EXPECT_TRUE(entries->empty());
    }
  }
}

TEST_F(BecomeTest, TheCheckFindsEntriesAndFinalizersThatAreLeftOut) {
  Counter counter;  // until the region has ended
  const WeakTable table(heap());
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  ASSERT_TRUE(table.Put(mutator, region.RootObject(0), 7).ok());
  Word before = region.Root(0);
  EXPECT_THAT(CheckWithout(BecomeRun::kWeakTables, {&before}, {&region.Root(1)}).message(),
              HasSubstr("a weak table's key of region \"region\" still refers"));
  region.SetRoot(0, NewPair(mutator, 0));
  ASSERT_TRUE(
      mutator.AddFinalizer(region.RootObject(0), FinalizerKind::kNative, Counter::Add, &counter)
          .ok());
  before = region.Root(0);
  EXPECT_THAT(CheckWithout(BecomeRun::kFinalizers, {&before}, {&region.Root(1)}).message(),
              HasSubstr("a finalizer of region \"region\" still refers"));
}

TEST_F(BecomeTest, FinalizersFollow) {
  for (const FinalizerKind kind : {FinalizerKind::kNative, FinalizerKind::kGuardian}) {
    for (const Age age : kAges) {
      SCOPED_TRACE(ToString(age));
      Counter old_one;
      Counter new_one;
      TestRegion region(heap());
      Mutator& mutator = region.Enter();
      region.SetRoot(0, NewPair(mutator, 1));
      ASSERT_TRUE(
          mutator.AddFinalizer(region.RootObject(0), kind, Counter::Add, &old_one, 64).ok());
      AgeTo(region, age);
      region.SetRoot(1, NewPair(mutator, 2));
      ASSERT_TRUE(
          mutator.AddFinalizer(region.RootObject(1), FinalizerKind::kNative, Counter::Add, &new_one)
              .ok());
      ExpectBecomes({&region.Root(0)}, {&region.Root(1)});
      region.Root(1) = 0;
      Minor(region);
      Major(region);
      EXPECT_EQ(old_one.calls + new_one.calls, 0);
      EXPECT_EQ(region.region().stats().external_bytes, 64u);
      region.Root(0) = 0;
      Major(region);
      if (kind == FinalizerKind::kGuardian) {
        EXPECT_EQ(IdAt(ObjectOf(region.region().NextGuarded())), 2u);
        Major(region);
      } else {
        EXPECT_EQ(old_one.calls, 1);
      }
      EXPECT_EQ(new_one.calls, 1);
      EXPECT_EQ(region.region().stats().external_bytes, 0u);
    }
  }
}

TEST_F(BecomeTest, BitsBesideTheAddressStay) {
  options().encoding = LowTagOne::kEncoding;
  TypeInfo info;
  info.name = "Tagged";
  info.layout = Layout::kFixed;
  info.fixed_size = 32;
  info.ref_offsets = {16, 24};
  const Type& type = *heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const auto tagged = [](ObjectPtr object, Word bits) { return object.address() | 1 | bits; };
  region.Root(0) = tagged(mutator.Allocate(type), 0);
  region.Root(1) = tagged(mutator.Allocate(type), 2);
  region.Root(2) = region.Root(0) | 4;
  ExpectBecomes({&region.Root(0)}, {&region.Root(1)});
  EXPECT_EQ(region.Root(0), region.Root(1) & ~Word{2});
  EXPECT_EQ(region.Root(2), region.Root(0) | 4);
}

}  // namespace
}  // namespace Atoll
