// Something happens at each step of a copy, of an unpacking and of an adoption in turn: a
// collection of the group, by the copying thread or by another; an attempt to collect the source; a
// kill; a refusal of memory. The step is moved on until there is none left.
#include <functional>
#include <thread>

#include "tests/isolate/graph_fixture.h"
#include "tests/isolate/random_graph.h"

namespace Atoll {
namespace {

using platform::faults::Request;

/// The graphs that are copied; each is built into root 0 of a region.
enum class Shape { kList, kWide, kWeak, kLarge, kShared, kRandom };
constexpr Shape kShapes[] = {Shape::kList,  Shape::kWide,   Shape::kWeak,
                             Shape::kLarge, Shape::kShared, Shape::kRandom};
const char* ToString(Shape shape) {
  constexpr const char* kNames[] = {"list", "wide", "weak", "large", "shared", "random"};
  return kNames[static_cast<size_t>(shape)];
}

class CopyStepsTest : public GraphTest {
 protected:
  CopyStepsTest() { options().decay_nanos = 1; }  // memory goes back, so that it is asked for again
  ~CopyStepsTest() override { platform::faults::Reset(); }

  void Build(TestRegion& region, Shape shape) {
    Mutator& mutator = region.mutator();
    const auto top = [&] { return region.RootObject(0); };
    switch (shape) {
      case Shape::kList:
        MakeList(region, 0, 1, 30);
        // A cycle, and an identity hash.
        Link(mutator, Load(top(), kA), kB, top());
        mutator.IdentityHash(top());
        return;
      case Shape::kWide:
        region.SetRoot(0, mutator.AllocateArray(*types().array, 300));
        for (size_t i = 0; i < 300; i += 9)
          LinkNew(mutator, ElementAt(i), NewPair(mutator, i), top);
        return;
      case Shape::kWeak:
        return BuildWeak(region);
      case Shape::kLarge:
        region.SetRoot(0, mutator.AllocateArray(*types().array, 5'000));
        LinkNew(mutator, ElementAt(0), mutator.AllocateArray(*types().bytes, 100'000), top);
        LinkNew(mutator, ElementAt(4'999), mutator.AllocateArray(*types().array, 2'000), top);
        LinkNew(mutator, ElementAt(2), NewPair(mutator, 7), top);
        return;
      case Shape::kShared: {
        MakeList(region, 1, 100, 10);
        Ref frozen;
        ASSERT_TRUE(Freeze(region, 1, &frozen).ok());
        region.Root(1) = frozen.word;
        MakeList(region, 0, 1, 10);
        for (ObjectPtr at = top(); at; at = Load(at, kA)) {
          Link(mutator, at, kB, region.RootObject(1));
        }
        region.Root(1) = 0;  // kept by the graph alone
        return;
      }
      case Shape::kRandom:
        break;
    }
    std::mt19937_64 random(11);
    const ObjectPtr program = heap().AllocateProgram(*types().pair);
    RandomGraph graph(heap(), types(), graph_types(), program);
    std::vector<ModelNode> nodes = RandomGraph::Model(random, 30, {1, 3, 99, ~Word{0}});
    region.Root(0) = graph.Build(mutator, nodes, random)[0];
  }
  /// A chain of ephemerons, each the key of the one behind it, in an order that takes rounds; and
  /// weak references to what is reached and what is not.
  void BuildWeak(TestRegion& region) {
    Mutator& mutator = region.mutator();
    constexpr size_t kCount = 8;
    const auto top = [&] { return region.RootObject(0); };
    region.SetRoot(0, mutator.AllocateArray(*types().array, 2 * kCount + 1));
    region.SetRoot(1, mutator.AllocateArray(*types().array, kCount + 1));
    const auto key = [&](size_t i) { return Load(region.RootObject(1), ElementAt(i)); };
    for (size_t i = 0; i <= kCount; ++i) {
      LinkNew(mutator, ElementAt(i), NewPair(mutator, i), [&] { return region.RootObject(1); });
    }
    for (size_t i = 0; i < kCount; ++i) {
      LinkNew(mutator, ElementAt(i), mutator.Allocate(*types().ephemeron), top);
      const ObjectPtr ephemeron = Load(top(), ElementAt(i));
      Link(mutator, ephemeron, 8, key(kCount - 1 - i));
      Link(mutator, ephemeron, 16, key(kCount - i));
      LinkNew(mutator, ElementAt(kCount + i), mutator.Allocate(*types().weak), top);
      Link(mutator, Load(top(), ElementAt(kCount + i)), 8, key(i));
    }
    Link(mutator, top(), ElementAt(2 * kCount), key(0));
    region.Root(1) = 0;
  }
  Status Freeze(TestRegion& region, size_t root, Ref* frozen) {
    std::unique_ptr<Region> place = heap().CreateRegion({.name = "frozen"}).value();
    std::unique_ptr<Mutator> mutator = place->AttachMutator("frozen").value();
    const Status status = copier().CopyInto(region.mutator(), Ref{region.Root(root)}, *mutator,
                                            frozen, {.for_shared = true});
    EXPECT_TRUE(mutator->Detach().ok());
    return status;
  }

  /// Polls of a copy, counted; at the one with the number `at` (from 1 on) `action` is called.
  struct Steps {
    size_t at = 0;
    std::function<bool()> action;
    size_t polls = 0;
    bool operator()() { return ++polls == at && action(); }
  };

  GraphCopier& CopierNow() { return fresh_ == nullptr ? copier() : *fresh_; }

  /// How a graph is copied: into a region that another adopts, or packed and unpacked. The copy's
  /// root lands in root 0 of `to`, which has no mutator.
  enum class Way { kAdopted, kPacked };
  Status Copy(Way way, TestRegion& from, TestRegion& to, Steps& steps) {
    const CopyOptions copy_options{.is_cancelled = steps, .poll_bytes = 8};
    Mutator& source = from.mutator();
    const Ref root{from.Root(0)};
    if (way == Way::kPacked) {
      Image image;
      const auto packed = CopierNow().Pack(source, {&root, 1}, kLargeObjectThreshold, nullptr,
                                           &image, copy_options);
      if (!packed.ok()) return packed.status();
      if (packed.value() != GraphCopier::Packing::kImage)
        return {StatusCode::kUnsupported, "large"};
      NativeScope native(source);
      to.Enter();
      const Status status = Unpack(to.mutator(), image.view(), &to.Root(0));
      to.Leave();
      return status;
    }
    auto region = heap().CreateRegion({.name = "message"});
    if (!region.ok()) return region.status();
    auto mutator = region.value()->AttachMutator("message");
    if (!mutator.ok()) return mutator.status();
    Ref copied;
    const Status status =
        CopierNow().CopyInto(source, root, *mutator.value(), &copied, copy_options);
    EXPECT_TRUE(mutator.value()->Detach().ok());
    if (!status.ok()) {
      EXPECT_EQ(region.value()->stats().block_bytes, 0u) << "a copy that failed left something";
      return status;
    }
    const Status adopted = to.region().Adopt(*region.value());
    if (adopted.ok()) to.Root(0) = copied.word;
    return adopted;
  }

  /// Runs `action` at each poll of each way to copy each graph, but for the last `spare` ones.
  /// `after` looks at what came of it.
  void AtEachPoll(const std::function<bool(TestRegion& source)>& action,
                  const std::function<void(const Status&)>& after, size_t spare = 0) {
    for (const Shape shape : kShapes) {
      for (const Way way : {Way::kAdopted, Way::kPacked}) {
        SCOPED_TRACE(std::string(ToString(shape)) + (way == Way::kPacked ? ", packed" : ""));
        TestRegion source(heap());
        source.Enter();
        Build(source, shape);
        if (way == Way::kPacked) Major(source);
        ExpectValid();  // and what was allocated last is in the lists
        Steps counting;
        {
          TestRegion receiver(heap());
          if (Copy(way, source, receiver, counting).code() == StatusCode::kUnsupported) {
            source.Leave();
            continue;
          }
        }
        size_t tried = 0;
        // The large ones poll thousands of times within one object: at some of these.
        const size_t stride = shape == Shape::kLarge ? 397 : 1;
        for (size_t at = 1; at + spare <= counting.polls; at += stride) {
          SCOPED_TRACE("poll " + std::to_string(at));
          TestRegion receiver(heap());
          const std::vector<Word> before = BytesOf(source.region());
          ASSERT_FALSE(before.empty());
          Steps steps{at, [&] { return action(source); }};
          const Status status = Copy(way, source, receiver, steps);
          EXPECT_GE(steps.polls, at);
          EXPECT_TRUE(BytesOf(source.region()) == before) << "the source has changed";
          after(status);
          if (status.ok()) ExpectSame(source.mutator(), source.Root(0), receiver.Root(0));
          ExpectValid();
          if (status.ok() && at % 5 == 0) CollectReceiver(source, receiver);
          ++tried;
          if (HasFailure()) return;
        }
        EXPECT_GE(tried, 5u);
        source.Leave();
      }
    }
  }
  void CollectReceiver(TestRegion& source, TestRegion& receiver) {
    {
      NativeScope native(source.mutator());
      receiver.Enter();
      Minor(receiver);
      Major(receiver);
      receiver.Leave();
    }
    source.mutator().MakeCurrent();
    ExpectSame(source.mutator(), source.Root(0), receiver.Root(0));
    ExpectValid();
  }

  std::unique_ptr<GraphCopier> fresh_;  // for one copy, whose memory is refused
};

TEST_F(CopyStepsTest, ACollectionOfTheGroup) {
  size_t collections = 0;
  AtEachPoll(
      [&](TestRegion&) {
        Group();
        ++collections;
        return false;
      },
      [](const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); });
  EXPECT_GT(collections, 200u);
  EXPECT_EQ(heap().stats().group.count, collections);
}

TEST_F(CopyStepsTest, ACollectionOfTheGroupByAnotherThread) {
  std::thread other;
  AtEachPoll(
      [&](TestRegion& source) {
        other = std::thread([this] { Group(); });
        // The next poll answers, or the end of the copy's managed state.
        while (!source.mutator().PollPending()) platform::YieldThread();
        return false;
      },
      [&](const Status& status) {
        EXPECT_TRUE(status.ok()) << status.message();
        if (!other.joinable()) return;
        EXPECT_FALSE(MutatorThread::Current()->PollPending()) << "it was answered during the copy";
        other.join();
      },
      /*spare=*/1);
  EXPECT_GT(heap().stats().group.count, 200u);
}

TEST_F(CopyStepsTest, AnAttemptToCollectTheSource) {
  size_t attempts = 0;
  AtEachPoll(
      [&](TestRegion& source) {
        const auto kind =
            attempts++ % 2 == 0 ? Mutator::Collection::kMinor : Mutator::Collection::kMajor;
        const Status status = source.mutator().Collect(kind);
        EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status.message();
        return false;
      },
      [](const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); });
  EXPECT_GT(attempts, 200u);
}

TEST_F(CopyStepsTest, AKill) {
  size_t kills = 0;
  AtEachPoll(
      [&](TestRegion&) {
        ++kills;
        return true;
      },
      [](const Status& status) { EXPECT_EQ(status.code(), StatusCode::kCancelled); });
  EXPECT_GT(kills, 200u);
}

TEST_F(CopyStepsTest, ACollectionAtEachPollOfAFreeze) {
  for (const Shape shape : {Shape::kList, Shape::kWide, Shape::kShared, Shape::kRandom}) {
    SCOPED_TRACE(ToString(shape));
    TestRegion source(heap());
    source.Enter();
    Build(source, shape);
    bool has_more = true;
    size_t at = 0;
    while (has_more) {
      ++at;
      SCOPED_TRACE("poll " + std::to_string(at));
      Steps steps{at, [&] {
                    Group();
                    return at % 3 == 0;  // a kill besides
                  }};
      std::unique_ptr<Region> place = heap().CreateRegion({.name = "frozen"}).value();
      std::unique_ptr<Mutator> mutator = place->AttachMutator("frozen").value();
      Ref frozen;
      const Status status =
          copier().CopyInto(source.mutator(), Ref{source.Root(0)}, *mutator, &frozen,
                            {.is_cancelled = steps, .poll_bytes = 8, .for_shared = true});
      has_more = steps.polls >= at;
      EXPECT_TRUE(mutator->Detach().ok());
      EXPECT_EQ(place->stats().block_bytes, 0u);
      EXPECT_EQ(status.code(), has_more && at % 3 == 0 ? StatusCode::kCancelled : StatusCode::kOk);
      if (status.ok()) {
        source.Root(1) = frozen.word;
        Group();
        // Its words are the source's but for references to private objects, which are shared now.
        EXPECT_NE(source.mutator().TagOf(source.Root(1)) & tag::kShared, 0u);
        if (shape == Shape::kList) {
          ExpectList(source.RootObject(1), 1, 30);
          EXPECT_EQ(Load(Load(source.RootObject(1), kA), kB), source.RootObject(1));
        }
        source.Root(1) = 0;
      }
      ExpectValid();
      if (HasFailure()) return;
    }
    EXPECT_GT(at, 10u);
    source.Leave();
  }
  Group();
  EXPECT_EQ(heap().stats().shared_bytes, 0u);
}

// Requests to the system, by number: each is refused once, or it and all later ones, until the copy
// makes fewer requests than that.
TEST_F(CopyStepsTest, ARefusalOfMemory) {
  size_t refusals = 0;
  for (const Shape shape : kShapes) {
    for (const Way way : {Way::kAdopted, Way::kPacked}) {
      for (const Request request : {Request::kRaw, Request::kCommit}) {
        for (const bool and_all_after : {false, true}) {
          SCOPED_TRACE(std::string(ToString(shape)) + (way == Way::kPacked ? ", packed" : ""));
          TestRegion source(heap());
          source.Enter();
          Build(source, shape);
          ExpectValid();
          uint64_t requests = UINT64_MAX;
          for (uint64_t n = 1; n <= requests; ++n) {
            SCOPED_TRACE("request " + std::to_string(n));
            TestRegion receiver(heap());
            // Nothing is at hand from the copies before.
            fresh_ = std::make_unique<GraphCopier>(heap());
            heap().state().allocator.Trim();
            heap().state().pool.Decay();
            const std::vector<Word> before = BytesOf(source.region());
            const size_t used = heap().state().pool.used_bytes();
            Steps steps;
            platform::faults::FailNth(request, n, and_all_after);
            const Status status = Copy(way, source, receiver, steps);
            requests = platform::faults::Count(request);
            platform::faults::Reset();
            if (status.code() == StatusCode::kUnsupported) break;
            EXPECT_TRUE(BytesOf(source.region()) == before) << "the source has changed";
            if (status.ok()) {
              ExpectSame(source.mutator(), source.Root(0), receiver.Root(0));
            } else {
              ++refusals;
              EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.message();
              EXPECT_EQ(heap().state().pool.used_bytes(), used) << "blocks are left";
            }
            ExpectValid();
            if (HasFailure()) return;
          }
          source.Leave();
        }
      }
    }
  }
  EXPECT_GT(refusals, 10u);
}

}  // namespace
}  // namespace Atoll
