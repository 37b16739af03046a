// Copying into another region: graphs of any size, and what is refused.
#include <atomic>
#include <cstring>
#include <thread>

#include "heap/flip_to_shared.h"
#include "safepoint/platform.h"
#include "tests/isolate/graph_fixture.h"

namespace Atoll {
namespace {

using platform::faults::Request;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class GraphCopierTest : public GraphTest {
 protected:
  ~GraphCopierTest() override { platform::faults::Reset(); }

  ObjectPtr NewArray(Mutator& mutator, size_t length) {
    return mutator.AllocateArray(*types().array, length);
  }
  const Type& FrozenBytes() {
    TypeInfo info;
    info.name = "FrozenBytes";
    info.layout = Layout::kLeaf;
    info.fixed_size = kElements;
    info.element_size = 1;
    info.length_offset = 8;
    info.flags.deeply_immutable = true;
    return *heap().RegisterType(info).value();
  }
  /// What is left behind when a copy of root 0 is refused: nothing.
  Status ExpectRefused(TestRegion& source, StatusCode code) {
    TestRegion receiver(heap());
    const size_t used = heap().state().pool.used_bytes();
    const std::vector<Word> before = BytesOf(source.region());
    const Status status = CopyAndAdopt(source.mutator(), Ref{source.Root(0)}, receiver);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_EQ(heap().state().pool.used_bytes(), used);
    EXPECT_EQ(BytesOf(source.region()), before);
    ExpectValid();
    return status;
  }
};

TEST_F(GraphCopierTest, AListOfTenMillionNodes) {
  constexpr size_t kNodes = 10'000'000;
  TestRegion source(heap());
  TestRegion receiver(heap());
  source.Enter();
  MakeList(source, 0, 1, kNodes);
  Link(source.mutator(), source.RootObject(0), kB, source.RootObject(0));
  ASSERT_TRUE(CopyAndAdopt(source.mutator(), Ref{source.Root(0)}, receiver).ok());
  ExpectList(receiver.RootObject(0), 1, kNodes);
  EXPECT_EQ(Load(receiver.RootObject(0), kB), receiver.RootObject(0));
  EXPECT_NE(receiver.RootObject(0), source.RootObject(0));
  source.Leave();
  source.EndRegion();
  receiver.Enter();
  Major(receiver);
  ExpectList(receiver.RootObject(0), 1, kNodes);
  ExpectValid();
}

TEST_F(GraphCopierTest, AWideArrayOfArraysAndLargeObjects) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  constexpr size_t kWide = 20'000;
  source.SetRoot(0, NewArray(mutator, kWide));
  for (size_t i = 0; i < kWide; ++i) {
    const ObjectPtr child = i % 1000 == 0 ? mutator.AllocateArray(*types().bytes, 300'000 + i)
                            : i % 7 == 0  ? NewArray(mutator, i % 300)
                                          : NewPair(mutator, i);
    ASSERT_TRUE(child);
    if (i % 1000 == 0)
      std::fill_n(reinterpret_cast<char*>(child.address() + kElements), 300'000, 7);
    if (i % 7 == 0 && i % 300 > 0 && i % 1000 != 0) {
      Link(mutator, child, ElementAt(i % 300 - 1), source.RootObject(0));
    }
    Link(mutator, source.RootObject(0), ElementAt(i), child);
  }
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  ExpectSame(mutator, source.Root(0), receiver.Root(0));
  EXPECT_NE(LoadFlags(receiver.Root(0)) & header::kLarge, 0);
  ExpectValid();
  source.Leave();
  receiver.Enter();
  Minor(receiver);
  Major(receiver);
  ExpectValid();
  EXPECT_EQ(receiver.mutator().LengthOf(receiver.RootObject(0)), kWide);
}

// A large object has blocks of its own also where one would fit into what is left of a block.
TEST_F(GraphCopierTest, LargeObjectsSmallerThanABlock) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 20));
  for (size_t i = 0; i < 20; ++i) {
    LinkNew(mutator, ElementAt(i), NewArray(mutator, 1'000 + i * 100),
            [&] { return source.RootObject(0); });
  }
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  source.Leave();
  Mutator& to = receiver.Enter();
  for (size_t i = 0; i < 20; ++i) {
    const ObjectPtr child = Load(receiver.RootObject(0), ElementAt(i));
    const bool is_large = to.SizeOf(child) > kLargeObjectThreshold;
    EXPECT_EQ(is_large, i > 0);
    EXPECT_EQ((LoadFlags(child.address()) & header::kLarge) != 0, is_large);
    EXPECT_EQ(child.address() % kBlockSize == 0, is_large) << to.SizeOf(child) << " bytes";
  }
  Major(receiver);
  for (size_t i = 0; i < 20; ++i) {
    LinkNew(to, ElementAt(0), NewPair(to, i),
            [&] { return Load(receiver.RootObject(0), ElementAt(i)); });
    EXPECT_EQ(to.LengthOf(Load(receiver.RootObject(0), ElementAt(i))), 1'000 + i * 100);
  }
  ExpectValid();
  Minor(receiver);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(IdAt(Load(Load(receiver.RootObject(0), ElementAt(i)), ElementAt(0))), i);
  }
  ExpectValid();
}

TEST_F(GraphCopierTest, TheCopyIsCountedAsTheReceiversAllocation) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 10'000));  // three blocks
  for (size_t i = 0; i < 5'000; ++i) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, i),
            [&] { return source.RootObject(0); });  // five blocks
  }
  std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  Ref copied;
  ASSERT_TRUE(copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied).ok());
  EXPECT_EQ(region->state().young_large_bytes, 3 * kBlockSize);
  EXPECT_EQ(region->state().eden_blocks, 5u);
  EXPECT_EQ(region->stats().block_bytes, 8 * kBlockSize);
  EXPECT_TRUE(region->state().filling_young.empty());
  EXPECT_TRUE(region->state().filling_large.empty());
  ASSERT_TRUE(destination->Detach().ok());
  TestRegion receiver(heap());
  ASSERT_TRUE(receiver.region().Adopt(*region).ok());
  EXPECT_EQ(receiver.region().state().old_used_bytes.load(), 8 * kBlockSize);
}

TEST_F(GraphCopierTest, TwoObjectsWithinSixteenBytes) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  constexpr size_t kUnits = 100;
  const Type& unit = *graph_types().unit;
  source.SetRoot(0, NewArray(mutator, 2 * kUnits));
  for (size_t i = 0; i < kUnits; ++i) {
    const ObjectPtr object = mutator.Allocate(unit);
    mutator.IdentityHash(object);
    Link(mutator, source.RootObject(0), ElementAt(i), object);
    // Each of them is met a second time.
    Link(mutator, source.RootObject(0), ElementAt(2 * kUnits - 1 - i), object);
  }
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  ExpectSame(mutator, source.Root(0), receiver.Root(0));
  ExpectValid();
}

// ---- What is refused

TEST_F(GraphCopierTest, AnUnsendableObjectIsNamedWithItsPath) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 5));
  source.SetRoot(1, NewPair(mutator, 1));
  Link(mutator, source.RootObject(0), ElementAt(2), source.RootObject(1));
  LinkNew(mutator, kB, mutator.Allocate(*graph_types().socket),
          [&] { return source.RootObject(1); });
  const Status status = ExpectRefused(source, StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("type \"Socket\""));
  EXPECT_THAT(status.message(), HasSubstr("unsendable"));
  EXPECT_THAT(status.message(),
              EndsWith("path: root -> \"Array\" element 2 -> \"Pair\" slot 1 -> \"Socket\""));
}

TEST_F(GraphCopierTest, AnUnsendableObjectBehindAKey) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  // A map's entries as structs: number, key, value.
  source.SetRoot(0, NewPair(mutator, 1));
  source.SetRoot(1, mutator.AllocateArray(*graph_types().structs, 10));
  Link(mutator, source.RootObject(0), kA, source.RootObject(1));
  const size_t key = GraphTypes::kStructElements + 3 * GraphTypes::kStructSize + 8;
  LinkNew(mutator, key, mutator.Allocate(*graph_types().socket),
          [&] { return source.RootObject(1); });
  EXPECT_THAT(ExpectRefused(source, StatusCode::kInvalidArgument).message(),
              EndsWith("path: root -> \"Pair\" slot 0 -> \"Structs\" element 3 slot 0 -> "
                       "\"Socket\""));
}

TEST_F(GraphCopierTest, ALongPathIsNamedByItsEnds) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, mutator.Allocate(*graph_types().socket));
  for (int i = 0; i < 100'000; ++i) {
    const ObjectPtr pair = NewPair(mutator, 1);
    Link(mutator, pair, kA, source.RootObject(0));
    source.SetRoot(0, pair);
  }
  const std::string message = ExpectRefused(source, StatusCode::kInvalidArgument).message();
  EXPECT_THAT(message, HasSubstr("-> (99985 more) ->"));
  EXPECT_THAT(message, EndsWith("-> \"Pair\" slot 0 -> \"Socket\""));
  EXPECT_LT(message.size(), 1'000u);
}

TEST_F(GraphCopierTest, AnObjectWithAFinalizer) {
  for (const bool many : {false, true}) {
    for (const bool old : {false, true}) {
      Counter finalized;
      TestRegion source(heap());
      Mutator& mutator = source.Enter();
      MakeList(source, 0, 1, many ? 1'000 : 3);
      const ObjectPtr third = Load(Load(source.RootObject(0), kA), kA);
      ASSERT_TRUE(
          mutator.AddFinalizer(third, FinalizerKind::kNative, Counter::Add, &finalized).ok());
      if (old) Major(source);
      const Status status = ExpectRefused(source, StatusCode::kInvalidArgument);
      EXPECT_THAT(status.message(), HasSubstr("has a finalizer"));
      EXPECT_THAT(status.message(),
                  EndsWith("path: root -> \"Pair\" slot 0 -> \"Pair\" slot 0 -> \"Pair\""));
      // Another object's finalizer does not matter.
      Store(mutator, source.RootObject(0), SlotAt(source.RootObject(0), kA), Ref{});
      TestRegion receiver(heap());
      EXPECT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
      EXPECT_EQ(finalized.calls, 0);
    }
  }
}

TEST_F(GraphCopierTest, NonMovingObjectsAndForeignSlots) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewPair(mutator, 1));
  LinkNew(mutator, kA, mutator.Allocate(*types().still), [&] { return source.RootObject(0); });
  EXPECT_THAT(ExpectRefused(source, StatusCode::kInvalidArgument).message(),
              HasSubstr("non-moving"));
  source.SetRoot(0, mutator.Allocate(*graph_types().stray));
  EXPECT_THAT(ExpectRefused(source, StatusCode::kInvalidArgument).message(),
              HasSubstr("outside the object"));
}

// ---- Weak things

TEST_F(GraphCopierTest, AWeakReferenceKeepsWhatIsReachedOtherwise) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  const ObjectPtr shared = heap().AllocateProgram(*types().pair);
  source.SetRoot(1, NewPair(mutator, 1));
  source.SetRoot(2, NewPair(mutator, 2));
  source.SetRoot(0, NewArray(mutator, 4));
  for (size_t i = 0; i < 3; ++i) {
    const ObjectPtr weak = mutator.Allocate(*types().weak);
    Link(mutator, weak, 8, i == 0 ? source.RootObject(1) : i == 1 ? source.RootObject(2) : shared);
    Link(mutator, source.RootObject(0), ElementAt(i), weak);
  }
  // The second one's referent is reached, and only after the weak reference has been looked at.
  Link(mutator, source.RootObject(0), ElementAt(3), source.RootObject(2));
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  const ObjectPtr copy = receiver.RootObject(0);
  EXPECT_EQ(WeakGet(Load(copy, ElementAt(0))), Ref{});
  EXPECT_EQ(ObjectOf(WeakGet(Load(copy, ElementAt(1)))), Load(copy, ElementAt(3)));
  EXPECT_EQ(IdAt(Load(copy, ElementAt(3))), 2u);
  EXPECT_EQ(ObjectOf(WeakGet(Load(copy, ElementAt(2)))), shared);
  EXPECT_EQ(IdAt(ObjectOf(WeakGet(Load(source.RootObject(0), ElementAt(0))))), 1u);
  ExpectValid();
}

TEST_F(GraphCopierTest, AnEphemeronsValueIsReachedThroughItsKey) {
  // A chain: the value of each is the key of the next; listed so that the first comes last.
  for (const size_t count : {size_t{1}, size_t{3}, size_t{20'000}}) {
    for (const bool reached : {false, true}) {
      TestRegion source(heap());
      TestRegion receiver(heap());
      Mutator& mutator = source.Enter();
      source.SetRoot(0, NewArray(mutator, count + 1));
      source.SetRoot(1, NewPair(mutator, 0));
      if (reached) Link(mutator, source.RootObject(0), ElementAt(count), source.RootObject(1));
      for (size_t i = 0; i < count; ++i) {
        const ObjectPtr value = NewPair(mutator, i + 1);
        source.SetRoot(2, value);
        const ObjectPtr ephemeron = mutator.Allocate(*types().ephemeron);
        Link(mutator, ephemeron, 8, source.RootObject(1));
        Link(mutator, ephemeron, 16, source.RootObject(2));
        Link(mutator, source.RootObject(0), ElementAt(count - 1 - i), ephemeron);
        source.Root(1) = source.Root(2);
      }
      ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
      const ObjectPtr copy = receiver.RootObject(0);
      for (size_t i = 0; i < count; ++i) {
        const ObjectPtr ephemeron = Load(copy, ElementAt(count - 1 - i));
        ASSERT_EQ(bool(Load(ephemeron, 8)), reached);
        ASSERT_EQ(bool(Load(ephemeron, 16)), reached);
        if (!reached) continue;
        ASSERT_EQ(IdAt(Load(ephemeron, 8)), i);
        ASSERT_EQ(IdAt(Load(ephemeron, 16)), i + 1);
      }
      ExpectValid();
    }
  }
}

// ---- Memory, cancelling, stops

TEST_F(GraphCopierTest, RefusedByTheLimits) {
  options().limit_bytes = size_t{64} << 20;
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  MakeList(source, 0, 1, 1'200'000);  // 37 MiB: no second one fits
  EXPECT_THAT(ExpectRefused(source, StatusCode::kResourceExhausted).message(),
              HasSubstr("heap \"test-heap\""));
  MakeList(source, 0, 1, 10'000);
  Major(source);
  std::unique_ptr<Region> region =
      heap().CreateRegion({.name = "tight", .limit_bytes = 4 * kBlockSize}).value();
  std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  Ref copied;
  const Status status = copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("region \"tight\""));
  EXPECT_EQ(region->stats().block_bytes, 0u);
  // And in the same region once there is room.
  region->SetLimit(0);
  EXPECT_TRUE(copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied).ok());
  ExpectValid();
}

TEST_F(GraphCopierTest, OffHeapMemoryRefusedAtEveryRequest) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 3'000));
  for (size_t i = 0; i < 3'000; ++i) {
    source.SetRoot(1, mutator.Allocate(i % 2 == 0 ? *types().weak : *types().ephemeron));
    const ObjectPtr pair = NewPair(mutator, i);
    Link(mutator, source.RootObject(1), 8, pair);
    Link(mutator, source.RootObject(0), ElementAt(i), source.RootObject(1));
  }
  uint64_t refused = 0;
  for (uint64_t n = 1;; ++n) {
    GraphCopier fresh(heap());  // keeps nothing from the last time
    std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
    std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
    Ref copied;
    platform::faults::FailNth(Request::kRaw, n, false);
    const Status status = fresh.CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied);
    platform::faults::Reset();
    ExpectValid();
    if (status.ok()) break;
    ++refused;
    ASSERT_EQ(status.code(), StatusCode::kResourceExhausted) << status.message();
    ASSERT_EQ(region->stats().block_bytes, 0u);
    // The same copier goes on.
    ASSERT_TRUE(fresh.CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied).ok());
    EXPECT_EQ(mutator.LengthOf(ObjectOf(copied)), 3'000u);
  }
  EXPECT_GE(refused, 5u);
}

TEST_F(GraphCopierTest, CancelledInTheMiddle) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  MakeList(source, 0, 1, 200'000);
  std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  int asked = 0;
  size_t blocks = 0;
  auto cancel = [&] {
    blocks = region->state().blocks.load();
    return ++asked == 50;
  };
  Ref copied{77};
  const std::vector<Word> before = BytesOf(source.region());
  const Status status = copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied,
                                          {.is_cancelled = cancel});
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(asked, 50);
  EXPECT_GT(blocks, 10u);
  EXPECT_EQ(copied.word, 77u);
  EXPECT_EQ(region->stats().block_bytes, 0u);
  EXPECT_EQ(BytesOf(source.region()), before);
  ExpectValid();
}

TEST_F(GraphCopierTest, StopsInTheMiddleFindAHeapInOrder) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  MakeList(source, 0, 1, 50'000);
  source.SetRoot(1, NewArray(mutator, 300'000));
  Link(mutator, source.RootObject(0), kB, source.RootObject(1));
  for (size_t i = 0; i < 300'000; i += 3) {
    LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return source.RootObject(1); });
  }
  std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  // Nobody else has a root of what is copied, until it is adopted.
  auto unrooted = std::make_unique<NoCollectScope>(*destination);
  std::atomic<int> stops{0};
  std::atomic<int> wanted{1};
  std::atomic<bool> done{false};
  std::thread thread([&] {
    while (!done.load()) {
      if (stops.load() >= wanted.load()) {
        platform::YieldThread();
        continue;
      }
      const Status status = heap().Verify();
      EXPECT_TRUE(status.ok()) << status.message();
      EXPECT_TRUE(heap().CollectAll().ok());
      ++stops;
    }
  });
  // Each time there are two stops more.
  int rounds = 0;
  auto wait_for_stop = [&] {
    if (++rounds % 20 != 0) return false;
    wanted.fetch_add(2);
    while (stops.load() < wanted.load()) mutator.Poll();
    return false;
  };
  Ref copied;
  const Status status = copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied,
                                          {.is_cancelled = wait_for_stop});
  {
    NoCollectScope scope(mutator);
    done.store(true);
    {
      NativeScope native(mutator);
      thread.join();
    }
  }
  unrooted.reset();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_GE(stops.load(), 4);
  ASSERT_TRUE(destination->Detach().ok());
  ASSERT_TRUE(receiver.region().Adopt(*region).ok());
  receiver.Root(0) = copied.word;
  ExpectSame(mutator, source.Root(0), receiver.Root(0));
  ExpectValid();
}

TEST_F(GraphCopierTest, ALargeObjectBecomesSharedWhileItIsCopied) {
  const Type& frozen = FrozenBytes();
  constexpr size_t kLength = 200'000;  // the copy polls in the middle of it
  for (const size_t others : {size_t{3}, size_t{300}}) {
    TestRegion source(heap());
    TestRegion receiver(heap());
    Mutator& mutator = source.Enter();
    source.SetRoot(0, NewArray(mutator, 3));
    source.SetRoot(1, NewArray(mutator, others));
    Link(mutator, source.RootObject(0), ElementAt(1), source.RootObject(1));
    for (size_t i = 0; i < others; ++i) {
      LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return source.RootObject(1); });
    }
    const ObjectPtr large = mutator.AllocateArray(frozen, kLength);
    std::memset(reinterpret_cast<void*>(large.address() + kElements), 7, kLength);
    Link(mutator, source.RootObject(0), ElementAt(0), large);
    Link(mutator, source.RootObject(0), ElementAt(2), large);
    const std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
    const std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
    Status flipped{StatusCode::kCancelled, "there was no poll"};
    auto flip = [&] {  // as another mutator of the region may
      if (!flipped.ok()) flipped = FlipToShared(mutator, large);
      return false;
    };
    Ref copied;
    ASSERT_TRUE(
        copier()
            .CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied, {.is_cancelled = flip})
            .ok());
    ASSERT_TRUE(flipped.ok()) << flipped.message();
    ASSERT_TRUE(destination->Detach().ok());
    ASSERT_TRUE(receiver.region().Adopt(*region).ok());
    receiver.Root(0) = copied.word;
    const ObjectPtr copy = Load(receiver.RootObject(0), ElementAt(0));
    EXPECT_NE(copy, large) << "it was private when it was found";
    EXPECT_EQ(Load(receiver.RootObject(0), ElementAt(2)), copy);
    EXPECT_EQ(std::memcmp(reinterpret_cast<void*>(copy.address() + kElements),
                          reinterpret_cast<void*>(large.address() + kElements), kLength),
              0);
    ExpectValid();
  }
}

TEST_F(GraphCopierTest, ASlotThatATraceCallbackVisitsTwiceIsCopiedOnce) {
  TypeInfo info;
  info.name = "Twice";
  info.layout = Layout::kCustom;
  info.fixed_size = sizeof(PairObject);
  info.trace = [](ObjectPtr object, SlotVisitor& visitor) {
    for (int i = 0; i < 2; ++i) visitor.VisitRange(Slot(object.address() + kA), 2);
  };
  const Type& twice = *heap().RegisterType(info).value();
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewPair(mutator, 1));
  LinkNew(mutator, kA, mutator.Allocate(twice), [&] { return source.RootObject(0); });
  LinkNew(mutator, kA, NewPair(mutator, 2), [&] { return Load(source.RootObject(0), kA); });
  Link(mutator, source.RootObject(0), kB, Load(Load(source.RootObject(0), kA), kA));
  ASSERT_TRUE(CopyAndAdopt(mutator, Ref{source.Root(0)}, receiver).ok());
  ExpectSame(mutator, source.Root(0), receiver.Root(0));
  EXPECT_EQ(Load(Load(receiver.RootObject(0), kA), kA), Load(receiver.RootObject(0), kB));
}

TEST_F(GraphCopierTest, LargeImmutableObjectsBecomeSharedByTheCommitAlone) {
  const Type& frozen = FrozenBytes();
  for (const bool interfere : {false, true}) {
    TestRegion source(heap());
    TestRegion receiver(heap());
    Mutator& mutator = source.Enter();
    source.SetRoot(0, NewArray(mutator, 3'000));
    for (size_t i = 0; i < 3'000; ++i) {
      LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return source.RootObject(0); });
    }
    const ObjectPtr large = mutator.AllocateArray(frozen, 100'000);
    const ObjectPtr weak = mutator.Allocate(*types().weak);
    Link(mutator, weak, kHeaderSize, large);
    Link(mutator, source.RootObject(0), ElementAt(2'999), weak);
    for (const size_t i : {0u, 1u, 2'998u}) {
      Link(mutator, source.RootObject(0), ElementAt(i), large);
    }
    const std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
    const std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
    bool pinned = false;
    auto pin = [&] {  // as another mutator of the region may, after the object was found
      if (interfere && !pinned) pinned = mutator.Pin(large).ok();
      EXPECT_EQ(mutator.TagOf(large.address()) & tag::kShared, 0u);
      return false;
    };
    // The last element is looked at first.
    const CopyOptions publish{.is_cancelled = pin, .publishes = true};
    Ref copied;
    ASSERT_TRUE(
        copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied, publish).ok());
    EXPECT_EQ(pinned, interfere);
    EXPECT_EQ(copier().Commit(mutator), !interfere);
    EXPECT_EQ((mutator.TagOf(large.address()) & tag::kShared) != 0, !interfere);
    if (interfere) {
      EXPECT_TRUE(mutator.Unpin(large).ok());
      EXPECT_TRUE(region->Clear().ok());
      ASSERT_TRUE(copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied).ok());
    }
    ASSERT_TRUE(destination->Detach().ok());
    ASSERT_TRUE(receiver.region().Adopt(*region).ok());
    receiver.Root(0) = copied.word;
    ExpectSame(mutator, source.Root(0), receiver.Root(0));
    const ObjectPtr found = Load(receiver.RootObject(0), ElementAt(0));
    EXPECT_EQ(found == large, !interfere);
    EXPECT_EQ(Load(Load(receiver.RootObject(0), ElementAt(2'999)), kHeaderSize), found);
    ExpectValid();
  }
}

// { header, id }: the id is what it owns, and a finalizer frees it.
TEST_F(GraphCopierTest, TransfersAreTakenBack) {
  TypeInfo info;
  info.name = "Handle";
  info.fixed_size = 16;
  info.transfer = [](ObjectPtr from, ObjectPtr to) { IdAt(to) = std::exchange(IdAt(from), 0); };
  const Type& type = *heap().RegisterType(info).value();
  Counter counter;
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewArray(mutator, 2));
  for (size_t i = 0; i < 2; ++i) {
    LinkNew(mutator, ElementAt(i), mutator.Allocate(type), [&] { return source.RootObject(0); });
    const ObjectPtr handle = Load(source.RootObject(0), ElementAt(i));
    IdAt(handle) = i + 1;
    ASSERT_TRUE(
        mutator.AddFinalizer(handle, FinalizerKind::kNative, Counter::Add, &counter, 1'000).ok());
    if (i == 0) Major(source);  // one of them is old
  }
  const std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  const std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  for (const bool take_back : {true, false}) {
    Ref copied;
    ASSERT_TRUE(copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied).ok());
    EXPECT_EQ(copier().transfer_bytes(), 2'000u);
    ASSERT_TRUE(copier().Commit(mutator));
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(IdAt(Load(source.RootObject(0), ElementAt(i))), 0u);
      EXPECT_EQ(IdAt(Load(ObjectOf(copied), ElementAt(i))), i + 1);
    }
    EXPECT_EQ(source.region().stats().external_bytes, 0u);
    EXPECT_EQ(region->stats().external_bytes, 2'000u);
    if (take_back) {
      copier().TakeBackTransfers(mutator);
      EXPECT_EQ(source.region().stats().external_bytes, 2'000u);
    }
    ASSERT_TRUE(region->Clear().ok());
    EXPECT_EQ(counter.calls, take_back ? 0 : 2);
    Minor(source);
    Major(source);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(IdAt(Load(source.RootObject(0), ElementAt(i))), take_back ? i + 1 : 0u);
    }
    ExpectValid();
  }
  EXPECT_EQ(source.region().stats().external_bytes, 0u);
  EXPECT_EQ(heap().stats().external_bytes, 0u);
}

TEST_F(GraphCopierTest, AnObjectWhosePathWasCutIsRefusedAllTheSame) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  source.SetRoot(0, NewPair(mutator, 1));
  source.SetRoot(1, mutator.Allocate(*graph_types().socket));
  for (int i = 0; i < 10'000; ++i) {
    const ObjectPtr pair = NewPair(mutator, 1);
    Link(mutator, pair, kA, source.RootObject(1));
    source.SetRoot(1, pair);
  }
  Link(mutator, source.RootObject(0), kA, source.RootObject(1));
  auto cut = [&] {  // as another mutator of the region may
    Link(mutator, source.RootObject(0), kA, ObjectPtr());
    return false;
  };
  const std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  const std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  Ref copied;
  const Status status =
      copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied, {.is_cancelled = cut});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("type \"Socket\""));
  EXPECT_THAT(status.message(), EndsWith("path: none left"));
  ExpectValid();
}

TEST_F(GraphCopierTest, ADestinationServesOneCopyAfterAnother) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  const std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  const std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  for (uint64_t round = 0; round < 6; ++round) {
    TestRegion receiver(heap());
    MakeList(source, 0, round, 10'000);
    Link(mutator, source.RootObject(0), kB, NewArray(mutator, 20'000));
    Ref copied;
    ASSERT_TRUE(copier().CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied).ok());
    if (round % 2 == 0) {
      ASSERT_TRUE(region->Clear().ok());
      EXPECT_LE(region->stats().block_bytes, kBlockSize);
    } else {
      ASSERT_TRUE(receiver.region().Adopt(*region).ok());
      EXPECT_EQ(region->stats().block_bytes, 0u);
      receiver.Root(0) = copied.word;
      ExpectSame(mutator, source.Root(0), receiver.Root(0));
    }
    ExpectValid();
  }
}

TEST_F(GraphCopierTest, ADestinationIsNeitherClearedNorAdoptedMeanwhile) {
  TestRegion source(heap());
  TestRegion receiver(heap());
  Mutator& mutator = source.Enter();
  MakeList(source, 0, 1, 10'000);
  const std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
  const std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
  size_t refused = 0;
  auto interfere = [&] {
    EXPECT_EQ(region->Clear().code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(receiver.region().Adopt(*region).code(), StatusCode::kFailedPrecondition);
    ++refused;
    return false;
  };
  Ref copied;
  ASSERT_TRUE(copier()
                  .CopyInto(mutator, Ref{source.Root(0)}, *destination, &copied,
                            {.is_cancelled = interfere})
                  .ok());
  EXPECT_GE(refused, 3u);
  ASSERT_TRUE(receiver.region().Adopt(*region).ok());
  receiver.Root(0) = copied.word;
  ExpectList(receiver.RootObject(0), 1, 10'000);
  ExpectValid();
}

TEST_F(GraphCopierTest, WrongDestinations) {
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  std::unique_ptr<Mutator> same = source.region().AttachMutator("same").value();
  Ref copied;
  EXPECT_EQ(copier().CopyInto(mutator, Ref{}, *same, &copied).code(), StatusCode::kInvalidArgument);
  const std::unique_ptr<Heap> other = CreateHeap({}).value();
  const std::unique_ptr<Region> region = other->CreateRegion({}).value();
  const std::unique_ptr<Mutator> elsewhere = region->AttachMutator("elsewhere").value();
  EXPECT_EQ(copier().CopyInto(mutator, Ref{}, *elsewhere, &copied).code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace Atoll
