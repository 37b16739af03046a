#include "atoll/become.h"

#include "atoll/weak_table.h"
#include "gc/become.h"
#include "heap/mutator_record.h"
#include "heap/region_state.h"
#include "tests/gc/shared_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A private object of the region, or one of the group.
enum class Home : uint8_t { kRegion, kProgram, kShared };

class BecomeTest : public SharedSpaceTest {
 protected:
  // Where the words are read from, inside the stop.
  using Words = std::vector<const Word*>;
  static std::vector<Ref> Read(const Words& words) {
    std::vector<Ref> refs;
    for (const Word* word : words) refs.push_back(Ref{*word});
    return refs;
  }
  Status DoBecome(const Words& before, const Words& after,
                  SafepointLevel level = SafepointLevel::kReload) {
    Status result;
    const Status stopped =
        heap().safepoints().RunWithMutatorsStopped(level, "test", [&](const StoppedScope& scope) {
          result = Become(heap(), scope, Read(before), Read(after));
        });
    EXPECT_TRUE(stopped.ok()) << stopped.message();
    return result;
  }
  void ExpectBecomes(const Words& before, const Words& after) {
    const Status status = DoBecome(before, after);
    EXPECT_TRUE(status.ok()) << status.message();
    ExpectValid();
  }
  // An error, and nothing has been changed.
  void ExpectRefused(const Words& before, const Words& after, StatusCode code,
                     const ::testing::Matcher<const std::string&>& message) {
    const std::vector<Ref> before_words = Read(before);
    const std::vector<Ref> after_words = Read(after);
    const Status status = DoBecome(before, after);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_THAT(status.message(), message);
    EXPECT_EQ(Read(before), before_words);
    EXPECT_EQ(Read(after), after_words);
    ExpectValid();
  }
  // What Check says after a rewriting that leaves places out.
  Status CheckWithout(uint32_t left_out, const Word& before, const Word& after) {
    Status result;
    const Status stopped = heap().safepoints().RunWithMutatorsStopped(
        SafepointLevel::kReload, "test", [&](const StoppedScope& scope) {
          const Ref from[] = {Ref{before}};
          const Ref to[] = {Ref{after}};
          platform::MutexLock regions(heap().state().regions_mutex);
          BecomeRun run(heap().state(), scope);
          result = run.Prepare(from, to);
          EXPECT_TRUE(result.ok()) << result.message();
          run.Rewrite(BecomeRun::kAllPlaces & ~left_out);
          result = run.Check();
        });
    EXPECT_TRUE(stopped.ok()) << stopped.message();
    return result;
  }
};

class WeaklyHeldByGroup final : public GroupRoots {
 public:
  void VisitRoots(RootVisitor&) override {}
  void VisitWeakRoots(RootVisitor& visitor) override { visitor.VisitSlot(Slot(&word)); }
  Word word = 0;
};

// ---- Places: one reference to an object in each, and nothing else

// Everything that a place may need, and what is read from it afterwards.
class PlaceTest : public BecomeTest {
 protected:
  struct Place {
    const char* name;
    Home home;  // of what is referred to
    uint32_t bit;
    void (PlaceTest::*hold)(ObjectPtr);
    Ref (PlaceTest::*held)();
  };

  // The two objects are in roots 0 and 1 of the region; root 2 is what holds.
  ObjectPtr New(Home home, uint64_t id) {
    switch (home) {
      case Home::kRegion:
        return NewPair(region_->mutator(), id);
      case Home::kProgram: {
        const ObjectPtr object = heap().AllocateProgram(*types().pair);
        IdAt(object) = id;
        return object;
      }
      case Home::kShared:
        return NewSharedPair(*allocator_, id);
    }
    return {};
  }
  // Run for each age of what is private.
  void RunPlace(const Place& place, Age age, bool leave_out) {
    SCOPED_TRACE(std::string(place.name) + ", " + ToString(age));
    heap();
    allocator_.emplace(heap().state().shared);
    HeldByGroup held;
    heap().AddGroupRoots(&held);
    heap().AddGroupRoots(&group_);
    heap().AddGroupRoots(&weak_);
    {
      TestRegion region(heap());
      region_ = &region;
      region.Enter();
      std::optional<HandleScope> scope(region.mutator());
      const ObjectPtr before = New(place.home, 1);
      region.SetRoot(0, before);
      held.words.push_back(place.home == Home::kRegion ? 0 : before.address());
      const ObjectPtr after = New(place.home, 2);
      region.SetRoot(1, after);
      held.words.push_back(place.home == Home::kRegion ? 0 : after.address());
      AgeTo(region, age);
      (this->*place.hold)(region.RootObject(0));
      const Word from = region.Root(0);
      const Word to = region.Root(1);
      if (leave_out) {
        EXPECT_THAT(CheckWithout(place.bit, from, to).message(),
                    AllOf(HasSubstr("still refers"), HasSubstr("before[0]")));
      } else {
        ExpectBecomes({&from}, {&to});
        EXPECT_EQ((this->*place.held)().word, to);
        // Both of the region's own roots say the same by now; and what was found is no accident.
        EXPECT_EQ(region.Root(0), to);
        EXPECT_NE(from, to);
        Minor(region);
        Major(region);
        ExpectValid();
        EXPECT_EQ(IdAt(ObjectOf((this->*place.held)())), 2u);
      }
      persistent_.Reset();
      weak_persistent_.Reset();
      region_ = nullptr;
      scope.reset();
      region.Leave();
    }
    heap().RemoveGroupRoots(&weak_);
    heap().RemoveGroupRoots(&group_);
    heap().RemoveGroupRoots(&held);
    allocator_.reset();
    group_.words.clear();
    weak_.word = 0;
  }

  // Holders of references
  void HoldInRoot(ObjectPtr object) { region_->SetRoot(2, object); }
  Ref HeldInRoot() { return Ref{region_->Root(2)}; }
  void HoldInSlot(ObjectPtr) {
    region_->SetRoot(2, NewPair(region_->mutator(), 3));
    Link(region_->mutator(), region_->RootObject(2), kB, region_->RootObject(0));
  }
  Ref HeldInSlot() { return SlotAt(region_->RootObject(2), kB).Load(); }
  void HoldInElement(ObjectPtr) {
    region_->SetRoot(2, region_->mutator().AllocateArray(*types().array, 20));
    Link(region_->mutator(), region_->RootObject(2), ElementAt(19), region_->RootObject(0));
  }
  Ref HeldInElement() { return SlotAt(region_->RootObject(2), ElementAt(19)).Load(); }
  void HoldInLarge(ObjectPtr) {
    region_->SetRoot(2, region_->mutator().AllocateArray(*types().array, 20'000));
    Link(region_->mutator(), region_->RootObject(2), ElementAt(19'999), region_->RootObject(0));
  }
  Ref HeldInLarge() { return SlotAt(region_->RootObject(2), ElementAt(19'999)).Load(); }
  void HoldInWeak(ObjectPtr) {
    region_->SetRoot(2, region_->mutator().Allocate(*types().weak));
    Link(region_->mutator(), region_->RootObject(2), kHeaderSize, region_->RootObject(0));
  }
  Ref HeldInWeak() { return WeakGet(region_->RootObject(2)); }
  void HoldInKey(ObjectPtr) {
    region_->SetRoot(2, region_->mutator().Allocate(*types().ephemeron));
    Link(region_->mutator(), region_->RootObject(2), kHeaderSize, region_->RootObject(0));
  }
  Ref HeldInKey() { return SlotAt(region_->RootObject(2), kHeaderSize).Load(); }
  void HoldInValue(ObjectPtr) {
    region_->SetRoot(2, region_->mutator().Allocate(*types().ephemeron));
    Link(region_->mutator(), region_->RootObject(2), kHeaderSize, region_->RootObject(1));
    Link(region_->mutator(), region_->RootObject(2), kHeaderSize + 8, region_->RootObject(0));
  }
  Ref HeldInValue() { return SlotAt(region_->RootObject(2), kHeaderSize + 8).Load(); }
  void HoldInHandle(ObjectPtr object) { handle_.emplace(region_->mutator(), RefOf(object)); }
  Ref HeldInHandle() { return handle_->Get(); }
  void HoldInPersistent(ObjectPtr object) {
    persistent_ = Persistent(region_->region(), RefOf(object));
  }
  Ref HeldInPersistent() { return persistent_.Get(); }
  void HoldInWeakPersistent(ObjectPtr object) {
    weak_persistent_ = WeakPersistent(region_->region(), RefOf(object));
  }
  Ref HeldInWeakPersistent() { return weak_persistent_.Get(); }
  void HoldInGroupRoot(ObjectPtr object) { group_.words.push_back(object.address()); }
  Ref HeldInGroupRoot() { return Ref{group_.words.front()}; }
  void HoldInWeakGroupRoot(ObjectPtr object) { weak_.word = object.address(); }
  Ref HeldInWeakGroupRoot() { return Ref{weak_.word}; }
  void HoldInProgram(ObjectPtr object) {
    region_->SetRoot(2, heap().AllocateProgram(*types().pair));
    Link(region_->mutator(), region_->RootObject(2), kB, object);
  }
  void HoldInShared(ObjectPtr object) {
    region_->SetRoot(2, NewSharedPair(*allocator_, 3, {}, object));
  }
  void HoldInLargeShared(ObjectPtr object) {
    region_->SetRoot(2, SharedSpaceTest::New(*allocator_, *frozen().array, 20'000));
    SlotAt(region_->RootObject(2), ElementAt(19'999)).StoreRaw(RefOf(object));
  }

  static std::vector<Place> Places(Home home) {
    using T = PlaceTest;
    std::vector<Place> places{
        {"client root", home, BecomeRun::kClientRoots, &T::HoldInRoot, &T::HeldInRoot},
        {"slot", home, BecomeRun::kObjects, &T::HoldInSlot, &T::HeldInSlot},
        {"element", home, BecomeRun::kObjects, &T::HoldInElement, &T::HeldInElement},
        {"large array", home, BecomeRun::kObjects, &T::HoldInLarge, &T::HeldInLarge},
        {"weak reference", home, BecomeRun::kObjects, &T::HoldInWeak, &T::HeldInWeak},
        {"key", home, BecomeRun::kObjects, &T::HoldInKey, &T::HeldInKey},
        {"value", home, BecomeRun::kObjects, &T::HoldInValue, &T::HeldInValue},
        {"handle", home, BecomeRun::kHandles, &T::HoldInHandle, &T::HeldInHandle},
        {"Persistent", home, BecomeRun::kPersistents, &T::HoldInPersistent, &T::HeldInPersistent},
        {"WeakPersistent", home, BecomeRun::kWeakPersistents, &T::HoldInWeakPersistent,
         &T::HeldInWeakPersistent},
    };
    if (home == Home::kRegion) return places;
    places.insert(
        places.end(),
        {{"group root", home, BecomeRun::kGroupRoots, &T::HoldInGroupRoot, &T::HeldInGroupRoot},
         {"weak group root", home, BecomeRun::kWeakGroupRoots, &T::HoldInWeakGroupRoot,
          &T::HeldInWeakGroupRoot},
         {"Program object", home, BecomeRun::kProgram, &T::HoldInProgram, &T::HeldInSlot},
         {"shared object", home, BecomeRun::kShared, &T::HoldInShared, &T::HeldInSlot},
         {"large shared array", home, BecomeRun::kShared, &T::HoldInLargeShared, &T::HeldInLarge}});
    return places;
  }

  TestRegion* region_ = nullptr;
  std::optional<SharedAllocator> allocator_;
  HeldByGroup group_;
  WeaklyHeldByGroup weak_;
  std::optional<LocalRef> handle_;
  Persistent persistent_;
  WeakPersistent weak_persistent_;
};

TEST_F(PlaceTest, PrivateObjectsAreReplacedInEachPlace) {
  for (const Age age : kAges) {
    for (const Place& place : Places(Home::kRegion)) RunPlace(place, age, false);
  }
}

TEST_F(PlaceTest, ProgramObjectsAreReplacedInEachPlace) {
  for (const Place& place : Places(Home::kProgram)) RunPlace(place, Age::kYoung, false);
}

TEST_F(PlaceTest, SharedObjectsAreReplacedInEachPlace) {
  for (const Place& place : Places(Home::kShared)) RunPlace(place, Age::kYoung, false);
}

TEST_F(PlaceTest, TheCheckFindsWhatIsLeftOutInEachPlace) {
  for (const Home home : {Home::kRegion, Home::kProgram, Home::kShared}) {
    for (const Place& place : Places(home)) {
      if (place.bit == BecomeRun::kClientRoots) continue;  // the other roots are left out then, too
      RunPlace(place, Age::kYoung, true);
    }
  }
}

// ---- Places that need more than a holder

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
    Mutator& mutator = region.Enter();
    region.SetRoot(0, NewPair(mutator, 1));
    region.SetRoot(2, NewPair(mutator, 3));
    region.SetRoot(3, mutator.AllocateArray(*types().array, 20'000));
    Link(mutator, region.RootObject(2), kA, region.RootObject(0));
    for (size_t i = 0; i < 20'000; i += 3) {
      Link(mutator, region.RootObject(3), ElementAt(i), region.RootObject(0));
    }
    AgeTo(region, Age::kOld);
    region.SetRoot(1, NewPair(mutator, 2));
    ASSERT_TRUE(IsYoung(mutator, region.RootObject(1)));
    ASSERT_FALSE(IsYoung(mutator, region.RootObject(2)));
    if (remembers) {
      ExpectBecomes({&region.Root(0)}, {&region.Root(1)});
      region.Root(0) = region.Root(1) = 0;
      Minor(region);
      ExpectValid();
      EXPECT_EQ(IdAt(Load(region.RootObject(2), kA)), 2u);
      for (size_t i = 0; i < 20'000; i += 3) {
        ASSERT_EQ(Load(region.RootObject(3), ElementAt(i)), Load(region.RootObject(2), kA));
      }
    } else {
      const Status left = CheckWithout(BecomeRun::kRememberedSets, region.Root(0), region.Root(1));
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
  EXPECT_THAT(CheckWithout(BecomeRun::kGuarded, guarded, region.Root(1)).message(),
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
  EXPECT_THAT(CheckWithout(BecomeRun::kWeakTables, before, region.Root(1)).message(),
              HasSubstr("a weak table's key of region \"region\" still refers"));
  region.SetRoot(0, NewPair(mutator, 0));
  ASSERT_TRUE(
      mutator.AddFinalizer(region.RootObject(0), FinalizerKind::kNative, Counter::Add, &counter)
          .ok());
  before = region.Root(0);
  EXPECT_THAT(CheckWithout(BecomeRun::kFinalizers, before, region.Root(1)).message(),
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

// ---- What is refused

TEST_F(BecomeTest, RefusesPairsThatDoNotPair) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 4; ++i) region.SetRoot(i, NewPair(mutator, i));
  const Words r{&region.Root(0), &region.Root(1), &region.Root(2), &region.Root(3)};
  const auto code = StatusCode::kInvalidArgument;
  ExpectRefused({r[0], r[1]}, {r[2]}, code,
                AllOf(HasSubstr("before has 2"), HasSubstr("after 1"), HasSubstr("needs the one")));
  ExpectRefused({r[0], r[1], r[0]}, {r[2], r[3], r[3]}, code,
                AllOf(HasSubstr("before[2]"), HasSubstr("is before[0] too")));
  ExpectRefused({r[0]}, {r[0]}, code, AllOf(HasSubstr("after[0]"), HasSubstr("is before[0] too")));
  ExpectRefused({r[0], r[1]}, {r[1], r[2]}, code,
                AllOf(HasSubstr("after[0]"), HasSubstr("is before[1] too"), HasSubstr("chain")));
  ExpectRefused({r[0], r[1]}, {r[1], r[0]}, code,
                AllOf(HasSubstr("is before[1] too"), HasSubstr("exchange")));
}

TEST_F(BecomeTest, RefusesWordsThatAreNoObjectsOfTheHeap) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  HeapOptions other_options;
  other_options.name = "other";
  auto made = CreateHeap(other_options);
  ASSERT_TRUE(made.ok());
  const Word immediate = 43;
  const Word null = 0;
  const Word inside = region.Root(0) + 8;
  const auto code = StatusCode::kInvalidArgument;
  for (const Word* wrong : {&immediate, &null}) {
    ExpectRefused({wrong}, {&region.Root(1)}, code,
                  AllOf(HasSubstr("before[0] is 0x"), HasSubstr("no reference to an object")));
    ExpectRefused({&region.Root(0)}, {wrong}, code, HasSubstr("after[0] is 0x"));
  }
  ExpectRefused(
      {&inside}, {&region.Root(1)}, code,
      AllOf(HasSubstr("before[0] of 1"), HasSubstr("is no object of heap \"test-heap\"")));
  Heap& other = *made.value();
  TypeInfo info;
  info.name = "Foreign";
  const Type* type = other.RegisterType(info).value();
  const Word foreign = other.AllocateProgram(*type).address();
  ExpectRefused({&region.Root(0)}, {&foreign}, code,
                AllOf(HasSubstr("after[0] of 1"), HasSubstr("of another heap, or a stale")));
  const Status stopped = other.safepoints().RunWithMutatorsStopped(
      SafepointLevel::kReload, "test", [&](const StoppedScope& scope) {
        const Status status = Become(heap(), scope, {}, {});
        EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
        EXPECT_THAT(status.message(), AllOf(HasSubstr("test-heap"), HasSubstr("another heap")));
      });
  EXPECT_TRUE(stopped.ok()) << stopped.message();
}

TEST_F(BecomeTest, RefusesReferencesThatWouldBreakTheIsolation) {
  SharedAllocator allocator(heap().state().shared);
  TestRegion other(heap(), {.name = "other"});
  other.Enter("other");
  other.SetRoot(0, NewPair(other.mutator(), 1));
  other.mutator().EnterNative();
  TestRegion region(heap(), {.name = "mine"});
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(1, NewSharedPair(allocator, 2));
  region.SetRoot(2, heap().AllocateProgram(*types().pair));
  const auto code = StatusCode::kInvalidArgument;
  ExpectRefused({&region.Root(0)}, {&other.Root(0)}, code,
                AllOf(HasSubstr("\"mine\" and \"other\""), HasSubstr("before[0], the \"Pair\"")));
  for (const size_t shared : {1, 2}) {
    ExpectRefused({&region.Root(shared)}, {&region.Root(0)}, code,
                  AllOf(HasSubstr("private to region \"mine\""), HasSubstr("freeze it")));
  }
  other.mutator().MakeCurrent();
  other.mutator().LeaveNative();
  other.Leave();
  mutator.MakeCurrent();
}

TEST_F(BecomeTest, RefusesWhatCannotFollow) {
  SharedAllocator allocator(heap().state().shared);
  const WeakTable table(heap());
  Counter counter;
  TestRegion region(heap());
  Mutator& mutator = region.Enter("mine");
  for (size_t i = 0; i < 5; ++i) region.SetRoot(i, NewPair(mutator, i));
  region.SetRoot(5, NewSharedPair(allocator, 5));
  const auto code = StatusCode::kInvalidArgument;
  ASSERT_TRUE(mutator.Pin(region.RootObject(0)).ok());
  ExpectRefused({&region.Root(0)}, {&region.Root(1)}, code,
                AllOf(HasSubstr("it is pinned"), HasSubstr("Unpin it first")));
  ASSERT_TRUE(mutator.Unpin(region.RootObject(0)).ok());
  const auto add = [&](size_t root, FinalizerKind kind) {
    return mutator.AddFinalizer(region.RootObject(root), kind, Counter::Add, &counter).ok();
  };
  ASSERT_TRUE(add(0, FinalizerKind::kThreadAffine));
  ExpectRefused({&region.Root(0)}, {&region.Root(1)}, code,
                AllOf(HasSubstr("thread-affine finalizer"), HasSubstr("let that thread")));
  ASSERT_TRUE(add(2, FinalizerKind::kNative));
  ExpectRefused({&region.Root(2)}, {&region.Root(5)}, code,
                AllOf(HasSubstr("has a finalizer"), HasSubstr("make a private one")));
  ASSERT_TRUE(table.Put(mutator, region.RootObject(3), 7).ok());
  ExpectRefused({&region.Root(3)}, {&region.Root(5)}, code,
                AllOf(HasSubstr("entry in a weak table"), HasSubstr("Remove it first")));
  {
    const NoCollectScope scope(mutator);
    ExpectRefused({&region.Root(3)}, {&region.Root(4)}, StatusCode::kFailedPrecondition,
                  AllOf(HasSubstr("mutator \"mine\""), HasSubstr("NoCollectScope open"),
                        HasSubstr("ask again")));
  }
  ExpectBecomes({&region.Root(3)}, {&region.Root(4)});
}

TEST_F(BecomeTest, RefusesStopsThatAreNotForIt) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  for (const SafepointLevel level : {SafepointLevel::kGC, SafepointLevel::kDeopt}) {
    const Status status = DoBecome({&region.Root(0)}, {&region.Root(1)}, level);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("test-heap"), HasSubstr(ToString(level)),
                                        HasSubstr(ToString(SafepointLevel::kReload))));
  }
  heap().safepoints().StopMutators({}, "test", [&](const StoppedScope& scope) {
    const Status status = Become(heap(), scope, {}, {});
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr("some mutators"));
  });
  EXPECT_NE(region.Root(0), region.Root(1));
}

TEST_F(BecomeTest, RefusedMemoryChangesNothing) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (size_t i = 0; i < 2; ++i) region.SetRoot(i, NewPair(mutator, i));
  for (const int n : {1, 2}) {
    platform::faults::FailNth(platform::faults::Request::kRaw, n, false);
    const Status status = DoBecome({&region.Root(0)}, {&region.Root(1)});
    platform::faults::Reset();
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.message();
    EXPECT_THAT(status.message(), AllOf(HasSubstr("table of 1 pairs"), HasSubstr("fewer objects")));
    EXPECT_NE(region.Root(0), region.Root(1));
    ExpectValid();
  }
}

TEST_F(BecomeTest, RefusedMemoryForRememberedSetsIsMadeUpFor) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  region.SetRoot(0, NewPair(mutator, 1));
  region.SetRoot(2, NewPair(mutator, 3));
  Link(mutator, region.RootObject(2), kA, region.RootObject(0));
  AgeTo(region, Age::kOld);
  region.SetRoot(1, NewPair(mutator, 2));
  platform::faults::FailNth(platform::faults::Request::kRaw, 3, true);
  const Status status = DoBecome({&region.Root(0)}, {&region.Root(1)});
  platform::faults::Reset();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(region.region().state().own->remembered.overflowed);
  region.Root(0) = region.Root(1) = 0;
  ExpectValid();
  Minor(region);
  EXPECT_EQ(IdAt(Load(region.RootObject(2), kA)), 2u);
}

}  // namespace
}  // namespace Atoll
