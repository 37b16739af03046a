// Who survives? Every combination of: the age of the object, the age of what refers to it, the kind
// of collection, and the kind of reference; each with the exact expected answer.
#include "tests/gc/gc_fixture.h"

namespace Atoll {
namespace {

/// What refers to the target, and nothing else does.
enum class By : uint8_t {
  kRoot,
  kFixedObject,
  kArray,
  kLargeArray,
  kLocal,
  kPersistent,
  kPin,
  kNothing,
  kWeakReference,
  kWeakPersistent,
  kEphemeronOfLiveKey,
  kEphemeronOfDeadKey,
  kDeadObject,
  kCount,
};
constexpr const char* kNames[] = {"root",
                                  "fixed object",
                                  "array",
                                  "large array",
                                  "local",
                                  "persistent",
                                  "pin",
                                  "nothing",
                                  "weak reference",
                                  "weak persistent",
                                  "ephemeron of a live key",
                                  "ephemeron of a dead key",
                                  "dead object"};

bool IsStrong(By by) { return by <= By::kPin || by == By::kEphemeronOfLiveKey; }

// Roots: 0 the holder, 1 the target while it ages, 2 the key of an ephemeron.
class Reachability : public GcTest {
 protected:
  static constexpr uint64_t kTargetId = 77;

  ObjectPtr MakeHolder(Mutator& mutator, By by) {
    switch (by) {
      case By::kArray:
        return mutator.AllocateArray(*types().array, 10);
      case By::kLargeArray:
        return mutator.AllocateArray(*types().array, 3000);
      case By::kWeakReference:
        return mutator.Allocate(*types().weak);
      case By::kEphemeronOfLiveKey:
      case By::kEphemeronOfDeadKey:
        return mutator.Allocate(*types().ephemeron);
      default:
        return NewPair(mutator, 1);
    }
  }
  static size_t OffsetIn(By by) {
    switch (by) {
      case By::kArray:
        return ElementAt(7);
      case By::kLargeArray:
        return ElementAt(2999);
      case By::kWeakReference:
        return 8;
      default:
        return kA;
    }
  }

  /// Ages holder and target together, so that each has just its age when the collection comes.
  void MakeBoth(TestRegion& region, By by, Age holder_age, Age target_age) {
    Mutator& mutator = region.mutator();
    const int oldest = std::max(static_cast<int>(holder_age), static_cast<int>(target_age));
    for (int left = oldest; left >= 0; --left) {
      if (left == static_cast<int>(holder_age)) {
        region.SetRoot(0, MakeHolder(mutator, by));
        region.SetRoot(2, NewPair(mutator, 2));  // the key has its holder's age
      }
      if (left == static_cast<int>(target_age)) region.SetRoot(1, NewPair(mutator, kTargetId));
      if (left != 0) MinorAmongGarbage(region);
    }
    ASSERT_EQ(IsYoung(mutator, region.RootObject(1)), target_age != Age::kOld);
  }

  void RunCase(By by, Age holder_age, Age target_age, Kind kind) {
    SCOPED_TRACE(std::string(kNames[static_cast<size_t>(by)]) + " (" + ToString(holder_age) +
                 ") to " + ToString(target_age) + ", " + ToString(kind));
    Counter finalized;
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    MakeBoth(region, by, holder_age, target_age);
    if (HasFatalFailure()) return;
    const ObjectPtr target = region.RootObject(1);
    ASSERT_TRUE(
        mutator.AddFinalizer(target, FinalizerKind::kNative, Counter::Add, &finalized).ok());
    WeakPersistent observer(region.region(), RefOf(target));
    std::unique_ptr<HandleScope> scope;
    std::unique_ptr<LocalRef> local;
    Persistent persistent;

    const ObjectPtr holder = region.RootObject(0);
    switch (by) {
      case By::kRoot:
        region.SetRoot(3, target);
        break;
      case By::kFixedObject:
      case By::kArray:
      case By::kLargeArray:
      case By::kWeakReference:
        Link(mutator, holder, OffsetIn(by), target);
        break;
      case By::kDeadObject:
        Link(mutator, holder, kA, target);
        region.Root(0) = 0;
        break;
      case By::kLocal:
        scope = std::make_unique<HandleScope>(mutator);
        local = std::make_unique<LocalRef>(mutator, RefOf(target));
        break;
      case By::kPersistent:
        persistent = Persistent(region.region(), RefOf(target));
        break;
      case By::kPin:
        ASSERT_TRUE(mutator.Pin(target).ok());
        break;
      case By::kEphemeronOfLiveKey:
      case By::kEphemeronOfDeadKey:
        Link(mutator, holder, 8, region.RootObject(2));
        Link(mutator, holder, 16, target);
        break;
      case By::kWeakPersistent:
      case By::kNothing:
      case By::kCount:
        break;
    }
    if (by != By::kEphemeronOfLiveKey) region.Root(2) = 0;
    region.Root(1) = 0;
    Run(region, kind);

    bool survives = IsStrong(by) || OutlivesUnreachable(target_age, kind);
    // A minor collection takes all old objects for live: what dead ones refer to, and the value
    // of an old ephemeron whose old key is dead.
    const bool holder_taken_for_live = OutlivesUnreachable(holder_age, kind);
    if (by == By::kDeadObject || by == By::kEphemeronOfDeadKey) survives |= holder_taken_for_live;
    EXPECT_EQ(finalized.calls, survives ? 0 : 1);
    EXPECT_EQ(observer.Get().word != 0, survives);
    if (survives) {
      EXPECT_EQ(IdAt(ObjectOf(observer.Get())), kTargetId);
    }
    if (by == By::kWeakReference) {
      EXPECT_EQ(WeakGet(region.RootObject(0)), observer.Get());
    }
    if (by == By::kEphemeronOfLiveKey) {
      EXPECT_EQ(SlotAt(region.RootObject(0), 8).Load(), RefOf(region.RootObject(2)));
      EXPECT_EQ(SlotAt(region.RootObject(0), 16).Load(), observer.Get());
    }
    if (by == By::kEphemeronOfDeadKey && !holder_taken_for_live) {
      EXPECT_EQ(SlotAt(region.RootObject(0), 8).Load().word, 0u);
      EXPECT_EQ(SlotAt(region.RootObject(0), 16).Load().word, 0u);
    }
    ExpectValid();
    // Whatever was kept for too long is gone after a major.
    if (by == By::kPin) {
      EXPECT_TRUE(mutator.Unpin(target).ok());
    }
    local.reset();
    scope.reset();
    persistent.Reset();
    region.ClearRoots();
    Major(region);
    EXPECT_EQ(finalized.calls, 1);
    EXPECT_EQ(observer.Get().word, 0u);
  }

  void RunAllOf(By by) {
    for (const Age holder_age : kAges) {
      for (const Age target_age : kAges) {
        for (const Kind kind : kKinds) {
          RunCase(by, holder_age, target_age, kind);
          if (HasFailure()) return;
        }
      }
    }
  }
};

TEST_F(Reachability, ByRoot) { RunAllOf(By::kRoot); }
TEST_F(Reachability, ByFixedObject) { RunAllOf(By::kFixedObject); }
TEST_F(Reachability, ByArray) { RunAllOf(By::kArray); }
TEST_F(Reachability, ByLargeArray) { RunAllOf(By::kLargeArray); }
TEST_F(Reachability, ByLocal) { RunAllOf(By::kLocal); }
TEST_F(Reachability, ByPersistent) { RunAllOf(By::kPersistent); }
TEST_F(Reachability, ByPin) { RunAllOf(By::kPin); }
TEST_F(Reachability, ByNothing) { RunAllOf(By::kNothing); }
TEST_F(Reachability, ByWeakReference) { RunAllOf(By::kWeakReference); }
TEST_F(Reachability, ByWeakPersistent) { RunAllOf(By::kWeakPersistent); }
TEST_F(Reachability, ByEphemeronOfLiveKey) { RunAllOf(By::kEphemeronOfLiveKey); }
TEST_F(Reachability, ByEphemeronOfDeadKey) { RunAllOf(By::kEphemeronOfDeadKey); }
TEST_F(Reachability, ByDeadObject) { RunAllOf(By::kDeadObject); }

}  // namespace
}  // namespace Atoll
