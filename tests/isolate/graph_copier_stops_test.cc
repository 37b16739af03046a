// Copying into another region: memory refused, cancelling, stops and changes in the middle, and the
// destination's rules.
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

TEST_F(GraphCopierTest, RefusedByTheLimits) {
  options().limit_bytes = size_t{16} << 20;
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  MakeList(source, 0, 1, 300'000);  // 9 MiB: no second one fits
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
