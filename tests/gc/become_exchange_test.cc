// Objects that change places: each reference to one leads to the other, whatever visits it how
// often.
#include <algorithm>
#include <array>

#include "atoll/weak_table.h"
#include "heap/region_state.h"
#include "tests/gc/become_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class ExchangeTest : public BecomeTest {
 protected:
  void ExpectExchange(TestRegion& region, size_t i, size_t j) {
    ExpectBecomes({&region.Root(i), &region.Root(j)}, {&region.Root(j), &region.Root(i)});
  }
};

TEST_F(ExchangeTest, PermutationsAndChainsAreDoneAtOnce) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 8; ++i) region.SetRoot(i, NewPair(mutator, i));
  const auto r = [&](size_t i) -> const Word* { return &region.Root(i); };
  // 0 -> 1 -> 2 -> 0; 3 -> 4 -> 5; 6 -> 6; 7 stays.
  ExpectBecomes({r(0), r(1), r(2), r(3), r(4), r(6)}, {r(1), r(2), r(0), r(4), r(5), r(6)});
  const std::array<uint64_t, 8> want{1, 2, 0, 4, 5, 5, 6, 7};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(IdAt(region.RootObject(i)), want[i]) << i;
}

TEST_F(ExchangeTest, TwoBecomeOneThatBecomesAnother) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 3; ++i) region.SetRoot(i, NewPair(mutator, i));
  const uint32_t first = mutator.IdentityHash(region.RootObject(0));
  const uint32_t third = mutator.IdentityHash(region.RootObject(2));
  ExpectBecomes({&region.Root(0), &region.Root(1), &region.Root(2)},
                {&region.Root(2), &region.Root(2), &region.Root(0)});
  EXPECT_EQ(IdAt(region.RootObject(0)), 2u);
  EXPECT_EQ(region.Root(1), region.Root(0));
  EXPECT_EQ(IdAt(region.RootObject(2)), 0u);
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(0)), first);
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(2)), third);
}

TEST_F(ExchangeTest, ExchangingTwiceChangesNothing) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 100);
  region.SetRoot(1, Load(Load(region.RootObject(0), kA), kA));
  region.SetRoot(2, NewPair(mutator, 1000));
  for (int round = 0; round < 2; ++round) {
    ExpectExchange(region, 1, 2);
    const ObjectPtr third = Load(Load(region.RootObject(0), kA), kA);
    EXPECT_EQ(IdAt(third), round == 0 ? 1000u : 3u);
    Minor(region);
  }
  ExpectList(region.RootObject(0), 1, 100);
}

TEST_F(ExchangeTest, ManyChangePlaces) {
  constexpr size_t kCount = 20'000;  // several blocks of cells
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, mutator.AllocateArray(*types().array, kCount));
  for (size_t i = 0; i < kCount; ++i) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return region.RootObject(0); });
  }
  Words before;
  for (size_t i = 0; i < kCount; ++i) {
    before.push_back(reinterpret_cast<const Word*>(region.RootObject(0).address() + ElementAt(i)));
  }
  ExpectBecomes(before, Words(before.rbegin(), before.rend()));
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(IdAt(Load(region.RootObject(0), ElementAt(i))), kCount - 1 - i);
  }
  Major(region);
  ExpectValid();
}

TEST_F(ExchangeTest, ReferencesToEachOtherAndToThemselvesFollow) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  Link(mutator, region.RootObject(0), kA, region.RootObject(1));
  Link(mutator, region.RootObject(1), kB, region.RootObject(1));
  ExpectExchange(region, 0, 1);
  // Contents stay, references change: what referred to the other refers to itself.
  EXPECT_EQ(IdAt(region.RootObject(0)), 1u);
  EXPECT_EQ(Load(region.RootObject(1), kA), region.RootObject(1));
  EXPECT_EQ(Load(region.RootObject(0), kB), region.RootObject(1));
}

// ---- What is visited twice

TEST_F(ExchangeTest, ARootThatIsVisitedTwiceIsRewrittenOnce) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  // The region's client visits them, and so does one of the group, which has two of Program.
  HeldByGroup once;
  heap().AddGroupRoots(&once);
  for (uint64_t id = 10; id < 12; ++id) {
    const ObjectPtr object = heap().AllocateProgram(*types().pair);
    IdAt(object) = id;
    once.words.push_back(object.address());
  }
  class Again final : public GroupRoots {
   public:
    explicit Again(HeldByGroup& of) : of_(of) {}
    void VisitRoots(RootVisitor& visitor) override { of_.VisitRoots(visitor); }

   private:
    HeldByGroup& of_;
  } again(once);
  heap().AddGroupRoots(&again);
  ExpectBecomes({&once.words[0], &once.words[1]}, {&once.words[1], &once.words[0]});
  EXPECT_EQ(IdAt(ObjectPtr(once.words[0])), 11u);
  EXPECT_EQ(IdAt(ObjectPtr(once.words[1])), 10u);
  heap().RemoveGroupRoots(&again);
  heap().RemoveGroupRoots(&once);
}

TEST_F(ExchangeTest, ASlotThatItsTypeTracesTwiceIsRewrittenOnce) {
  TypeInfo info;
  info.name = "TracedTwice";
  info.layout = Layout::kCustom;
  info.fixed_size = sizeof(PairObject);
  info.trace = [](ObjectPtr object, SlotVisitor& visitor) {
    for (const uint32_t offset : {kA, kB, kA}) visitor.VisitSlot(SlotAt(object, offset));
  };
  const Type& type = *heap().RegisterType(info).value();
  for (const Age age : kAges) {
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
    region.SetRoot(2, mutator.Allocate(type));
    Link(mutator, region.RootObject(2), kA, region.RootObject(0));
    Link(mutator, region.RootObject(2), kB, region.RootObject(1));
    AgeTo(region, age);
    ExpectExchange(region, 0, 1);
    EXPECT_EQ(IdAt(Load(region.RootObject(2), kA)), 1u);
    EXPECT_EQ(IdAt(Load(region.RootObject(2), kB)), 0u);
  }
}

// ---- Places that need more than a holder

TEST_F(ExchangeTest, ObjectsThatAreNothingButAHeaderLieSideBySide) {
  TypeInfo info;
  info.name = "Bare";
  const Type& type = *heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  std::array<uint32_t, 4> hashes{};
  for (size_t i = 0; i < hashes.size(); ++i) {
    region.SetRoot(i, mutator.Allocate(type));
    hashes[i] = mutator.IdentityHash(region.RootObject(i));
  }
  const Word first = region.Root(0);
  const Word second = region.Root(1);
  ExpectExchange(region, 0, 1);
  EXPECT_EQ(region.Root(0), second);
  EXPECT_EQ(region.Root(1), first);
  for (size_t i = 0; i < hashes.size(); ++i) {
    EXPECT_EQ(mutator.IdentityHash(region.RootObject(i)), hashes[i]);
  }
}

TEST_F(ExchangeTest, OldAndYoungChangePlaces) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeOldHolders(region);
  region.SetRoot(4, NewPair(mutator, 5));
  Link(mutator, region.RootObject(4), kB, region.RootObject(1));
  ExpectExchange(region, 0, 1);
  region.Root(0) = region.Root(1) = 0;
  for (int round = 0; round < 2; ++round) {
    ExpectHeld(region, 2);
    EXPECT_EQ(IdAt(Load(region.RootObject(4), kB)), 1u);
    Minor(region);
    ExpectValid();
  }
}

TEST_F(ExchangeTest, InRegionsInFlightAndAdoptedParts) {
  TestRegion sender(heap());
  sender.Enter("sender");
  MakeList(sender, 0, 10, 100);
  sender.SetRoot(1, NewPair(sender.mutator(), 1));
  sender.SetRoot(2, NewPair(sender.mutator(), 2));
  Link(sender.mutator(), sender.RootObject(0), kB, sender.RootObject(1));
  const uint32_t hash = sender.mutator().IdentityHash(sender.RootObject(1));
  sender.Leave();  // nobody's: on its way
  ExpectExchange(sender, 1, 2);
  EXPECT_EQ(IdAt(Load(sender.RootObject(0), kB)), 2u);
  EXPECT_EQ(IdAt(sender.RootObject(2)), 1u);

  TestRegion receiver(heap());
  receiver.Enter("receiver");
  for (size_t i = 0; i < 3; ++i) receiver.Root(i) = sender.Root(i);
  const Status adopted = receiver.region().Adopt(sender.region());
  ASSERT_TRUE(adopted.ok()) << adopted.message();
  sender.ClearRoots();
  receiver.SetRoot(3, NewPair(receiver.mutator(), 3));
  ExpectExchange(receiver, 1, 3);
  EXPECT_EQ(IdAt(Load(receiver.RootObject(0), kB)), 3u);
  EXPECT_EQ(IdAt(receiver.RootObject(3)), 2u);
  EXPECT_EQ(receiver.mutator().IdentityHash(receiver.RootObject(1)), hash);
  receiver.Root(1) = 0;
  Minor(receiver);
  ExpectValid();
  EXPECT_EQ(IdAt(Load(receiver.RootObject(0), kB)), 3u);
  ExpectList(receiver.RootObject(0), 10, 100);
}

TEST_F(ExchangeTest, BitsBesideTheAddressStay) {
  options().encoding = LowTagOne::kEncoding;
  TypeInfo info;
  info.name = "Tagged";
  info.layout = Layout::kFixed;
  info.fixed_size = 32;
  info.ref_offsets = {16, 24};
  const Type& type = *heap().RegisterType(info).value();
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  const Word first = mutator.Allocate(type).address() | 1;
  const Word second = mutator.Allocate(type).address() | 1;
  region.Root(0) = first;
  region.Root(1) = second | 2;
  region.Root(2) = first | 4;
  ExpectExchange(region, 0, 1);
  EXPECT_EQ(region.Root(0), second);
  EXPECT_EQ(region.Root(1), first | 2);
  EXPECT_EQ(region.Root(2), second | 4);
}

// ---- What goes along: identity is the references', contents are not

TEST_F(ExchangeTest, HashesGoWithTheReferences) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 4; ++i) region.SetRoot(i, NewPair(mutator, i));
  const uint32_t first = mutator.IdentityHash(region.RootObject(0));
  const uint32_t second = mutator.IdentityHash(region.RootObject(1));
  const uint32_t third = mutator.IdentityHash(region.RootObject(2));  // the last has drawn none
  ExpectBecomes({&region.Root(0), &region.Root(1), &region.Root(2), &region.Root(3)},
                {&region.Root(1), &region.Root(0), &region.Root(3), &region.Root(2)});
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(0)), first);
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(1)), second);
  EXPECT_EQ(mutator.IdentityHash(region.RootObject(2)), third);
  const uint64_t header = HeaderOf(region.Root(3)).load();
  EXPECT_EQ(header >> header::kHashShift, 0u) << "drawn when it is asked for";
}

TEST_F(ExchangeTest, EntriesOfWeakTablesGoWithTheReferences) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    const WeakTable table(heap());
    const WeakTable other(heap());
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
    ASSERT_TRUE(table.Put(mutator, region.RootObject(0), 7).ok());
    ASSERT_TRUE(other.Put(mutator, region.RootObject(0), 9).ok());
    AgeTo(region, age);
    region.SetRoot(1, NewPair(mutator, 1));  // younger than the one that it changes places with
    ASSERT_TRUE(table.Put(mutator, region.RootObject(1), 8).ok());
    ExpectExchange(region, 0, 1);
    for (int round = 0; round < 3; ++round) {
      EXPECT_EQ(IdAt(region.RootObject(0)), 1u);
      EXPECT_EQ(table.Get(mutator, region.RootObject(0)), 7u);
      EXPECT_EQ(table.Get(mutator, region.RootObject(1)), 8u);
      EXPECT_EQ(other.Get(mutator, region.RootObject(0)), 9u);
      EXPECT_FALSE(other.Get(mutator, region.RootObject(1)).has_value());
      round == 0 ? Minor(region) : Major(region);
      ExpectValid();
    }
  }
}

TEST_F(ExchangeTest, FinalizersGoWithTheReferences) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    Counter first;
    Counter second;
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 0));
    const auto add = [&](size_t root, Counter& counter, size_t bytes) {
      ASSERT_TRUE(mutator
                      .AddFinalizer(region.RootObject(root), FinalizerKind::kNative, Counter::Add,
                                    &counter, bytes)
                      .ok());
    };
    add(0, first, 64);
    AgeTo(region, age);
    region.SetRoot(1, NewPair(mutator, 1));
    add(1, second, 32);
    ExpectExchange(region, 0, 1);
    Minor(region);
    Major(region);
    EXPECT_EQ(first.calls + second.calls, 0);
    region.Root(0) = 0;
    Major(region);
    EXPECT_EQ(first.calls, 1);
    EXPECT_EQ(second.calls, 0);
    EXPECT_EQ(region.region().stats().external_bytes, 32u);
    EXPECT_EQ(IdAt(region.RootObject(1)), 0u);
    region.Root(1) = 0;
    Major(region);
    EXPECT_EQ(second.calls, 1);
  }
}

TEST_F(ExchangeTest, TheCheckFindsEntriesAndFinalizersThatAreLeftOut) {
  Counter counter;  // until the region has ended
  const WeakTable table(heap());
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 4; ++i) region.SetRoot(i, NewPair(mutator, i));
  ASSERT_TRUE(
      mutator.AddFinalizer(region.RootObject(2), FinalizerKind::kNative, Counter::Add, &counter)
          .ok());
  EXPECT_THAT(CheckWithout(BecomeRun::kFinalizers, {&region.Root(2), &region.Root(3)},
                           {&region.Root(3), &region.Root(2)})
                  .message(),
              HasSubstr("a finalizer of region \"region\" still refers"));
  ASSERT_TRUE(table.Put(mutator, region.RootObject(0), 7).ok());
  EXPECT_THAT(CheckWithout(BecomeRun::kWeakTables, {&region.Root(0), &region.Root(1)},
                           {&region.Root(1), &region.Root(0)})
                  .message(),
              HasSubstr("a weak table's key of region \"region\" still refers"));
  region.ClearRoots();  // an entry that is not found any more goes with its key
  Major(region);
}

}  // namespace
}  // namespace Atoll
