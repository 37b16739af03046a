// A reference to what is replaced, or changes places, in each place that there is, and nothing
// else.
#include <optional>

#include "heap/mutator_record.h"
#include "heap/region_state.h"
#include "tests/gc/become_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A private object of the region, or one of the group.
enum class Home : uint8_t { kRegion, kProgram, kShared };

class WeaklyHeldByGroup final : public GroupRoots {
 public:
  void VisitRoots(RootVisitor&) override {}
  void VisitWeakRoots(RootVisitor& visitor) override { visitor.VisitSlot(Slot(&word)); }
  Word word = 0;
};

// Everything that a place may need, and what is read from it afterwards.
class PlaceTest : public BecomeTest {
 protected:
  // Of the two objects the one becomes the other, or each does.
  enum class Way : uint8_t { kReplace, kExchange };
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
  void RunPlace(const Place& place, Age age, Way way, bool leave_out = false) {
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
      const Words before_words = way == Way::kReplace ? Words{&from} : Words{&from, &to};
      const Words after_words = way == Way::kReplace ? Words{&to} : Words{&to, &from};
      if (leave_out) {
        EXPECT_THAT(CheckWithout(place.bit, before_words, after_words).message(),
                    AllOf(HasSubstr("still refers"), HasSubstr("before[")));
      } else {
        ExpectBecomes(before_words, after_words);
        EXPECT_EQ((this->*place.held)().word, to);
        // The region's own roots say the same by now; and what was found is no accident.
        EXPECT_EQ(region.Root(0), to);
        EXPECT_EQ(region.Root(1), way == Way::kReplace ? to : from);
        EXPECT_NE(from, to);
        Minor(region);
        Major(region);
        ExpectValid();
        EXPECT_EQ(IdAt(ObjectOf((this->*place.held)())), 2u);
        EXPECT_EQ(IdAt(region.RootObject(1)), way == Way::kReplace ? 2u : 1u);
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
    for (const Place& place : Places(Home::kRegion)) RunPlace(place, age, Way::kReplace);
  }
}

TEST_F(PlaceTest, PrivateObjectsChangePlacesInEachPlace) {
  for (const Age age : kAges) {
    for (const Place& place : Places(Home::kRegion)) RunPlace(place, age, Way::kExchange);
  }
}

TEST_F(PlaceTest, SharedObjectsAreReplacedInEachPlace) {
  for (const Home home : {Home::kProgram, Home::kShared}) {
    for (const Place& place : Places(home)) RunPlace(place, Age::kYoung, Way::kReplace);
  }
}

TEST_F(PlaceTest, SharedObjectsChangePlacesInEachPlace) {
  for (const Home home : {Home::kProgram, Home::kShared}) {
    for (const Place& place : Places(home)) RunPlace(place, Age::kYoung, Way::kExchange);
  }
}

TEST_F(PlaceTest, TheCheckFindsWhatIsLeftOutInEachPlace) {
  for (const Home home : {Home::kRegion, Home::kProgram, Home::kShared}) {
    for (const Place& place : Places(home)) {
      if (place.bit == BecomeRun::kClientRoots) continue;  // the other roots are left out then, too
      for (const Way way : {Way::kReplace, Way::kExchange}) {
        // Who forgets weak references may have forgotten these.
        if (way == Way::kExchange && place.bit == BecomeRun::kWeakGroupRoots) continue;
        RunPlace(place, Age::kYoung, way, /*leave_out=*/true);
      }
    }
  }
}

}  // namespace
}  // namespace Atoll
