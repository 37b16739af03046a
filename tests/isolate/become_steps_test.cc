// A Become at each step of a copy in turn: the copy is of the new objects then, all of it.
#include <functional>
#include <thread>

#include "atoll/become.h"
#include "isolate/graph_checks.h"
#include "tests/isolate/graph_fixture.h"

namespace Atoll {
namespace {

enum class Way : uint8_t { kRegion, kImage, kShared };
constexpr Way kWays[] = {Way::kRegion, Way::kImage, Way::kShared};

constexpr uint64_t kOldHead = 1;
constexpr uint64_t kNewHead = 1'000'000;

class BecomeStepsTest : public GraphTest {
 protected:
  /// Polls of a copy, counted; at the one with the number `at` (from 1 on) `action` is called.
  struct Steps {
    size_t at = 0;
    std::function<void()> action;
    size_t polls = 0;
    bool operator()() {
      if (++polls == at) action();
      return false;
    }
  };

  // Root 0: a list whose pairs refer to a Program object by `b`. Root 1: another head for it. Roots
  // 2 and 3: that Program object, and another.
  void Build(TestRegion& region, size_t length) {
    for (const size_t root : {2, 3}) {
      region.SetRoot(root, heap().AllocateProgram(*types().pair));
      IdAt(region.RootObject(root)) = root;
    }
    MakeList(region, 0, kOldHead, length);
    for (ObjectPtr at = region.RootObject(0); at; at = Load(at, kA)) {
      Link(region.mutator(), at, kB, region.RootObject(2));
    }
    region.SetRoot(1, NewPair(region.mutator(), kNewHead));
    Link(region.mutator(), region.RootObject(1), kA, Load(region.RootObject(0), kA));
    Link(region.mutator(), region.RootObject(1), kB, region.RootObject(2));
    if (length < 100) Major(region);  // so that an image has room for it
  }
  // By another thread: it is asked for now, and done at the source's next poll.
  void AskForBecome(TestRegion& source) {
    other_ = std::thread([this, &source] {
      const Status stopped = heap().safepoints().RunWithMutatorsStopped(
          SafepointLevel::kReload, "test", [&](const StoppedScope& scope) {
            const Ref before[] = {Ref{source.Root(0)}, Ref{source.Root(2)}};
            const Ref after[] = {Ref{source.Root(1)}, Ref{source.Root(3)}};
            const Status status = Become(heap(), scope, before, after);
            EXPECT_TRUE(status.ok()) << status.message();
          });
      EXPECT_TRUE(stopped.ok()) << stopped.message();
    });
    while (!source.mutator().PollPending()) platform::YieldThread();
  }
  // The copy's root lands in root 0 of `to`.
  Status Copy(Way way, TestRegion& source, TestRegion& to, Steps& steps) {
    const CopyOptions options{
        .is_cancelled = steps, .poll_bytes = 8, .for_shared = way == Way::kShared};
    Mutator& mutator = source.mutator();
    const Ref root{source.Root(0)};
    if (way == Way::kImage) {
      Image image;
      const auto packed =
          copier().Pack(mutator, {&root, 1}, kLargeObjectThreshold, nullptr, &image, options);
      if (!packed.ok()) return packed.status();
      EXPECT_EQ(packed.value(), GraphCopier::Packing::kImage);
      NativeScope native(mutator);
      to.Enter();
      const Status status = Unpack(to.mutator(), image.view(), &to.Root(0));
      to.Leave();
      return status;
    }
    std::unique_ptr<Region> region = heap().CreateRegion({.name = "message"}).value();
    std::unique_ptr<Mutator> destination = region->AttachMutator("message").value();
    Ref copied;
    Status status = copier().CopyInto(mutator, root, *destination, &copied, options);
    EXPECT_TRUE(destination->Detach().ok());
    if (status.ok() && way == Way::kRegion) status = to.region().Adopt(*region);
    if (status.ok()) to.Root(0) = copied.word;
    return status;
  }
  void ExpectNew(TestRegion& source, TestRegion& to, size_t length) {
    EXPECT_EQ(source.Root(0), source.Root(1));
    EXPECT_EQ(source.Root(2), source.Root(3));
    size_t seen = 0;
    for (ObjectPtr at = to.RootObject(0); at; at = Load(at, kA), ++seen) {
      ASSERT_EQ(IdAt(at), seen == 0 ? kNewHead : kOldHead + seen);
      ASSERT_EQ(Load(at, kB), source.RootObject(3)) << seen;
    }
    EXPECT_EQ(seen, length);
    ExpectValid();
  }
  // A copy with a Become that is asked for at the poll `at`, or without one (0). How many polls.
  size_t CopyAndBecome(Way way, size_t length, size_t at) {
    TestRegion source(heap());
    source.Enter();
    Build(source, length);
    TestRegion to(heap());
    Steps steps{at, [&] { AskForBecome(source); }};
    const Status status = Copy(way, source, to, steps);
    EXPECT_TRUE(status.ok()) << status.message();
    if (other_.joinable()) {
      EXPECT_FALSE(source.mutator().PollPending()) << "it was answered during the copy";
      source.mutator().Poll();
      other_.join();
      ExpectNew(source, to, length);
    }
    source.Leave();
    return steps.polls;
  }

  std::thread other_;
};

TEST_F(BecomeStepsTest, ACopyIsMadeAnew) {
  constexpr size_t kLength = 30;
  for (const Way way : kWays) {
    const size_t polls = CopyAndBecome(way, kLength, 0);
    EXPECT_GE(polls, kLength);
    for (size_t at = 1; at < polls; ++at) {
      SCOPED_TRACE("way " + std::to_string(static_cast<int>(way)) + ", poll " + std::to_string(at));
      EXPECT_GT(CopyAndBecome(way, kLength, at), polls);
      if (HasFailure()) return;
    }
  }
}

// The last poll of the copy is followed by those while its blocks become shared.
TEST_F(BecomeStepsTest, WhatIsBecomingSharedIsCopiedAnew) {
  constexpr size_t kLength = 40 * kBlockSize / sizeof(PairObject);
  const size_t polls = CopyAndBecome(Way::kShared, kLength, 0);
  EXPECT_GT(CopyAndBecome(Way::kShared, kLength, polls), polls);
}

TEST_F(BecomeStepsTest, AWalkForUnsendableObjectsIsMadeAnew) {
  constexpr size_t kLength = 10'000;
  // The Become puts an unsendable object at the start of a list that has been walked in part.
  TestRegion source(heap());
  Mutator& mutator = source.Enter();
  Build(source, kLength);
  source.SetRoot(1, mutator.Allocate(*graph_types().socket));
  IdAt(source.RootObject(1)) = kNewHead;
  Link(mutator, source.RootObject(1), kA, Load(source.RootObject(0), kA));
  AskForBecome(source);  // answered at the walk's first poll, a thousand objects on
  const Status status = CheckSendable(mutator, Ref{source.Root(0)});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("path: root"));
  other_.join();
  EXPECT_EQ(source.Root(0), source.Root(1));
  source.Leave();
}

}  // namespace
}  // namespace Atoll
