// Objects that the group owns: what keeps them, and when do they go?
#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "tests/gc/shared_fixture.h"

namespace Atoll {
namespace {

using platform::faults::Request;

/// One way to hold a shared object.
enum class Way : uint8_t {
  kLocal,
  kStackRef,
  kPersistent,
  kClientRoot,
  kYoung,
  kSurvivor,
  kOld,
  kLargeArray,
  kPinned,
  kGuarded,
  kEphemeronKey,
  kEphemeronValue,
  kWeakRefsStrongSlot,
  kProgram,
  kGroupRoot,
  kNoCollectRegion,
  kNoCollectWeak,
  kAdopted,
  kRegionWithoutMutator,
  kSharedArray,
};
constexpr std::array kWayNames{"local",           "stack ref", "persistent",    "client root",
                               "young",           "survivor",  "old",           "large array",
                               "pinned",          "guarded",   "ephemeron key", "ephemeron value",
                               "strong of weak",  "program",   "group root",    "no-collect region",
                               "no-collect weak", "adopted",   "no mutator",    "shared array"};

class SharedRoots : public SharedSpaceTest {
 protected:
  /// Makes something hold `target`, calls fn, and lets go of it.
  template <typename Fn>
  void Hold(Way way, TestRegion& region, ObjectPtr target, Fn fn) {
    Mutator& mutator = region.mutator();
    auto hold_by_pair = [&] {
      region.SetRoot(0, NewPair(mutator, 7));
      Link(mutator, region.RootObject(0), kB, target);
    };
    switch (way) {
      case Way::kLocal: {
        HandleScope scope(mutator);
        LocalRef local(mutator, RefOf(target));
        return fn();
      }
      case Way::kStackRef: {
        StackScope scope(mutator);
        StackRef ref(mutator, RefOf(target));
        return fn();
      }
      case Way::kPersistent: {
        Persistent persistent(region.region(), RefOf(target));
        return fn();
      }
      case Way::kClientRoot:
        region.SetRoot(0, target);
        break;
      case Way::kYoung:
      case Way::kSurvivor:
      case Way::kOld:
        hold_by_pair();
        AgeTo(region, static_cast<Age>(static_cast<int>(way) - static_cast<int>(Way::kYoung)));
        break;
      case Way::kLargeArray:
        region.SetRoot(0, mutator.AllocateArray(*types().array, 20'000));
        Link(mutator, region.RootObject(0), ElementAt(19'999), target);
        break;
      case Way::kPinned: {
        hold_by_pair();
        const ObjectPtr pinned = region.RootObject(0);
        ASSERT_TRUE(mutator.Pin(pinned).ok());
        region.Root(0) = 0;
        fn();
        ASSERT_TRUE(mutator.Unpin(pinned).ok());
        return;
      }
      case Way::kGuarded:
        hold_by_pair();
        ASSERT_TRUE(
            mutator.AddFinalizer(region.RootObject(0), FinalizerKind::kGuardian, nullptr, nullptr)
                .ok());
        region.Root(0) = 0;
        fn();
        EXPECT_EQ(Load(ObjectOf(region.region().NextGuarded()), kB), target);
        return;
      case Way::kEphemeronKey:
      case Way::kEphemeronValue: {
        region.SetRoot(0, mutator.Allocate(*types().ephemeron));
        const bool is_key = way == Way::kEphemeronKey;
        region.SetRoot(1, NewPair(mutator, 8));
        Link(mutator, region.RootObject(0), is_key ? 8 : 16, target);
        Link(mutator, region.RootObject(0), is_key ? 16 : 8, region.RootObject(1));
        break;
      }
      case Way::kWeakRefsStrongSlot:
        region.SetRoot(0, mutator.Allocate(*types().weak));
        Link(mutator, region.RootObject(0), 24, target);
        break;
      case Way::kProgram: {
        const ObjectPtr program = heap().AllocateProgram(*types().pair);
        Link(mutator, program, kA, target);
        fn();
        Store(mutator, program, SlotAt(program, kA), Ref{});
        return;
      }
      case Way::kGroupRoot: {
        HeldByGroup roots;
        roots.words.push_back(target.address());
        heap().AddGroupRoots(&roots);
        fn();
        heap().RemoveGroupRoots(&roots);
        return;
      }
      case Way::kNoCollectRegion: {
        // Held by an object that nothing holds: the region is left as it is.
        NoCollectScope scope(mutator);
        Link(mutator, NewPair(mutator, 7), kA, target);
        return fn();
      }
      case Way::kNoCollectWeak: {
        WeakPersistent weak(region.region(), RefOf(target));
        NoCollectScope scope(mutator);
        const ObjectPtr weak_reference = mutator.Allocate(*types().weak);
        Link(mutator, weak_reference, 8, target);
        fn();
        EXPECT_EQ(WeakGet(weak_reference), RefOf(target));
        EXPECT_EQ(weak.Get(), RefOf(target));
        return;
      }
      case Way::kAdopted: {
        mutator.EnterNative();
        TestRegion source(heap());
        source.SetRoot(0, NewPair(source.Enter(), 7));
        Link(source.mutator(), source.RootObject(0), kA, target);
        const Word word = source.Root(0);
        source.Leave();
        mutator.LeaveNative();
        ASSERT_TRUE(region.region().Adopt(source.region()).ok());
        region.Root(0) = word;
        source.ClearRoots();
        break;
      }
      case Way::kRegionWithoutMutator: {
        mutator.EnterNative();
        TestRegion idle(heap());
        idle.SetRoot(0, NewPair(idle.Enter(), 7));
        Link(idle.mutator(), idle.RootObject(0), kA, target);
        idle.Leave();
        mutator.LeaveNative();
        return fn();
      }
      case Way::kSharedArray: {
        SharedAllocator allocator(heap().state().shared);
        region.SetRoot(0, New(allocator, *frozen().array, 20'000));
        SlotAt(region.RootObject(0), ElementAt(19'999)).StoreRaw(RefOf(target));
        break;
      }
    }
    fn();
    region.ClearRoots();
  }
};

TEST_F(SharedRoots, EachKindKeepsWhatItReachesAndNothingElse) {
  SharedAllocator allocator(heap().state().shared);
  for (size_t i = 0; i < kWayNames.size(); ++i) {
    SCOPED_TRACE(kWayNames[i]);
    TestRegion region(heap());
    region.Enter();
    const ObjectPtr kept = NewSharedList(allocator, 1, 1'000);
    const ObjectPtr garbage = NewSharedList(allocator, 5'000, 1'000);
    const ObjectPtr tail = Load(Load(kept, kA), kA);
    Hold(static_cast<Way>(i), region, kept, [&] {
      for (int round = 0; round < 2; ++round) {
        Group();
        ExpectValid();
        ExpectList(kept, 1, 1'000);
        EXPECT_TRUE(IsThere(kept));
        EXPECT_TRUE(IsThere(tail));
        EXPECT_FALSE(IsThere(garbage));
      }
    });
    Group();
    EXPECT_FALSE(IsThere(kept));
    EXPECT_EQ(SharedBytes(), 0u);
    ExpectValid();
    if (HasFailure()) return;
  }
  EXPECT_TRUE(violations().empty());
}

TEST_F(SharedRoots, ARegionsOwnCollectionsFreeNone) {
  TestRegion region(heap());
  region.Enter();
  SharedAllocator allocator(heap().state().shared);
  const ObjectPtr list = NewSharedList(allocator, 1, 3'000);
  region.SetRoot(0, list);
  Minor(region);
  region.Root(0) = 0;
  Minor(region);
  Major(region);
  ExpectList(list, 1, 3'000);
  EXPECT_TRUE(IsThere(list));
  Group();
  EXPECT_EQ(SharedBytes(), 0u);
}

TEST_F(SharedRoots, SurvivorsOfRandomGraphsAreThoseOfAModel) {
  SharedAllocator allocator(heap().state().shared);
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    HeldByGroup roots;
    heap().AddGroupRoots(&roots);
    constexpr size_t kObjects = 4'000;
    std::vector<ObjectPtr> objects;
    std::vector<std::vector<size_t>> edges(kObjects);
    for (size_t i = 0; i < kObjects; ++i) {
      const uint64_t kind = random() % 20;
      const size_t length = kind == 0 ? random() % 3'000 : random() % 40;
      const ObjectPtr object = kind < 4    ? New(allocator, *frozen().array, length)
                               : kind == 4 ? New(allocator, *frozen().bytes, random() % 10'000)
                                           : NewSharedPair(allocator, i);
      ASSERT_TRUE(object);
      auto link = [&](size_t offset) {
        const size_t to = random() % kObjects;
        if (to >= i) return;
        SlotAt(object, offset).StoreRaw(RefOf(objects[to]));
        edges[i].push_back(to);
      };
      if (kind < 4 && length > 0) link(ElementAt(random() % length));
      if (kind > 4) link(kA);
      if (kind > 8) link(kB);
      objects.push_back(object);
    }
    std::vector<bool> reached(kObjects);
    std::vector<size_t> work;
    for (size_t n = 0; n < 60; ++n) {
      const size_t i = random() % kObjects;
      if (n % 3 == 0) {
        roots.words.push_back(objects[i].address());
      } else if (n % 3 == 1) {
        region.SetRoot(n, objects[i]);
      } else {
        region.SetRoot(n, NewPair(mutator, n));
        Link(mutator, region.RootObject(n), kA, objects[i]);
      }
      work.push_back(i);
    }
    while (!work.empty()) {
      const size_t i = work.back();
      work.pop_back();
      if (reached[i]) continue;
      reached[i] = true;
      work.insert(work.end(), edges[i].begin(), edges[i].end());
    }
    for (int round = 0; round < 2; ++round) {
      Group();
      for (size_t i = 0; i < kObjects; ++i) {
        ASSERT_EQ(IsThere(objects[i]), reached[i]) << "object " << i << ", round " << round;
      }
      ExpectValid();
    }
    heap().RemoveGroupRoots(&roots);
  }
}

TEST_F(SharedRoots, EveryEncodingFindsThem) {
  for (const RefEncoding& encoding :
       {PlainPointers::kEncoding, LowTagOne::kEncoding, NanBoxing::kEncoding,
        HeaderBefore::kEncoding, CompressedPointers::kEncoding, RefEncoding{3, 2, ~Word{7}, 0}}) {
    SCOPED_TRACE(std::to_string(encoding.ref_pattern) + (encoding.compressed ? " compressed" : ""));
    HeapOptions options = this->options();
    options.encoding = encoding;
    options.stress.verify = true;
    std::unique_ptr<Heap> heap = CreateHeap(options).value();
    TypeInfo info;
    info.name = "FrozenPair";
    info.layout = Layout::kFixed;
    info.fixed_size = sizeof(PairObject);
    info.slot_size = encoding.compressed ? 4 : 8;
    info.ref_offsets = {kA, kB};
    info.flags.deeply_immutable = true;
    const Type& type = *heap->RegisterType(info).value();
    TestTypes types(*heap);
    const auto slot_at = [&type](ObjectPtr object, size_t offset) {
      return type.SlotAt(object.address() + offset);
    };
    {
      TestRegion region(*heap);
      Mutator& mutator = region.Enter();
      SharedAllocator allocator(heap->state().shared);
      auto word_of = [&](ObjectPtr object) { return encoding.Make(object.address()); };
      std::vector<ObjectPtr> objects;
      for (size_t i = 0; i < 6; ++i) objects.push_back(New(allocator, type));
      slot_at(objects[0], kB).StoreRaw(Ref{word_of(objects[1])});
      region.Root(0) = word_of(objects[0]);
      const ObjectPtr pair = mutator.Allocate(*types.pair);
      slot_at(pair, kA).StoreRaw(Ref{word_of(objects[2])});
      region.Root(1) = word_of(pair);
      const ObjectPtr weak = mutator.Allocate(*types.weak);
      slot_at(weak, 8).StoreRaw(Ref{word_of(objects[3])});
      slot_at(weak, 24).StoreRaw(Ref{word_of(objects[4])});
      region.Root(2) = word_of(weak);
      ASSERT_TRUE(heap->CollectAll().ok());
      for (size_t i = 0; i < objects.size(); ++i) {
        EXPECT_EQ(heap->state().space->IsMarked(objects[i].address()), i != 3 && i != 5) << i;
      }
      const ObjectPtr moved(encoding.Decode(region.Root(2)));
      EXPECT_EQ(slot_at(moved, 8).Load().word, 0u);
      EXPECT_EQ(slot_at(moved, 24).Load().word, word_of(objects[4]));
      EXPECT_TRUE(heap->Verify().ok());
    }
  }
}

TEST_F(SharedRoots, AMarkStackThatIsRefusedMemoryLosesNothing) {
  TestRegion region(heap());
  region.Enter();
  SharedAllocator allocator(heap().state().shared);
  constexpr size_t kLists = 3'000;  // many more than fit the stack's first segment
  region.SetRoot(0, New(allocator, *frozen().array, kLists));
  for (size_t i = 0; i < kLists; ++i) {
    // Trees, so that there is much to push at every depth.
    const ObjectPtr left = NewSharedList(allocator, i * 10, 3);
    const ObjectPtr right = NewSharedList(allocator, i * 10 + 5, 3);
    SlotAt(region.RootObject(0), ElementAt(i))
        .StoreRaw(RefOf(NewSharedPair(allocator, i, left, right)));
  }
  const ObjectPtr garbage = NewSharedList(allocator, 1, 10);
  for (const uint64_t nth : {1, 2, 5}) {
    for (const bool all_after : {true, false}) {
      platform::faults::FailNth(Request::kRaw, nth, all_after);
      Group();
      EXPECT_GE(platform::faults::Count(Request::kRaw), nth) << "memory was asked for";
      platform::faults::Reset();
      for (size_t i = 0; i < kLists; ++i) {
        const ObjectPtr pair = Load(region.RootObject(0), ElementAt(i));
        for (ObjectPtr at : {Load(pair, kA), Load(pair, kB)}) {
          for (; at; at = Load(at, kA)) ASSERT_TRUE(IsThere(at));
        }
      }
      EXPECT_FALSE(IsThere(garbage));
      ExpectValid();
    }
  }
}

// ---- Weak references

TEST_F(SharedRoots, WeakReferencesToTheDeadAreClearedByTheCollectionThatFreesThem) {
  for (const Age age : kAges) {
    SCOPED_TRACE(ToString(age));
    TestRegion region(heap());
    Mutator& mutator = region.Enter();
    SharedAllocator allocator(heap().state().shared);
    region.SetRoot(0, NewSharedPair(allocator, 1));
    const ObjectPtr dying = NewSharedPair(allocator, 2);
    for (const size_t n : {1, 2}) {
      region.SetRoot(n, mutator.Allocate(*types().weak));
      Link(mutator, region.RootObject(n), 8, n == 1 ? region.RootObject(0) : dying);
    }
    WeakPersistent to_living(region.region(), RefOf(region.RootObject(0)));
    WeakPersistent to_dying(region.region(), RefOf(dying));
    AgeTo(region, age);
    Major(region);
    EXPECT_EQ(WeakGet(region.RootObject(2)), RefOf(dying)) << "a private collection cannot know";
    EXPECT_EQ(to_dying.Get(), RefOf(dying));
    Group();
    EXPECT_EQ(WeakGet(region.RootObject(1)), RefOf(region.RootObject(0)));
    EXPECT_EQ(to_living.Get(), RefOf(region.RootObject(0)));
    EXPECT_EQ(WeakGet(region.RootObject(2)).word, 0u);
    EXPECT_EQ(to_dying.Get().word, 0u);
    EXPECT_FALSE(IsThere(dying));
    ExpectValid();
  }
}

// ---- Concurrency, figures

TEST_F(SharedRoots, MutatorsAllocateAndPublishSideBySideWhileTheGroupIsCollected) {
  heap();
  frozen();
  constexpr size_t kThreads = 2;
  constexpr size_t kSlots = 64;
  const ObjectPtr table = heap().AllocateProgram(*types().array, kThreads * kSlots);
  std::atomic<size_t> running{kThreads};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      TestRegion region(heap());
      Mutator& mutator = region.Enter("publisher-" + std::to_string(t));
      SharedAllocator allocator(heap().state().shared);
      std::mt19937_64 random(t);
      for (size_t i = 0; i < 30'000; ++i) {
        if (i % 500 == 0) New(allocator, *frozen().bytes, 20'000);
        const ObjectPtr list = NewSharedList(allocator, i, 1 + i % 5);
        // Read by the other thread.
        const size_t slot = t * kSlots + random() % kSlots;
        Store(mutator, table, SlotAt(table, ElementAt(slot)), RefOf(list));
        const Ref other = SlotAt(table, ElementAt(random() % (kThreads * kSlots))).LoadAcquire();
        if (other.word != 0) {
          region.SetRoot(0, ObjectOf(other));
          mutator.Poll();
          const ObjectPtr read = region.RootObject(0);
          const uint64_t first = IdAt(read);
          ExpectList(read, first, 1 + first % 5);
        }
      }
      region.ClearRoots();
      region.Leave();
      running.fetch_sub(1);
    });
  }
  size_t collections = 0;
  while (running.load() != 0) {
    Group();
    if (++collections % 4 == 0) ExpectValid();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(violations().empty());
  Group();
  // What the table holds, and no more: lists of at most five.
  EXPECT_LE(SharedBytes(), kThreads * kSlots * 5 * kBlockSize);
  for (size_t i = 0; i < kThreads * kSlots; ++i) {
    const ObjectPtr list = Load(table, ElementAt(i));
    if (list) {
      EXPECT_TRUE(IsThere(list));
      ExpectList(list, IdAt(list), 1 + IdAt(list) % 5);
    }
  }
  ExpectValid();
}

}  // namespace
}  // namespace Atoll
