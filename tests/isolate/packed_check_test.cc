// What the verifier says of graphs that lie packed off the heap.
#include "isolate/packed_check.h"

#include "atoll/messaging.h"
#include "tests/isolate/graph_fixture.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class PackedCheckTest : public GraphTest {
 protected:
  /// A list of that many pairs, which alone has a reference to a shared object at its head.
  PackedGraph Pack(TestRegion& source, size_t count) {
    Mutator& mutator = source.Enter();
    MakeList(source, 0, 1, count);
    Link(mutator, source.RootObject(0), kB, heap().AllocateProgram(*types().pair));
    const Ref root{source.Root(0)};
    const auto packed = copier().Pack(mutator, std::span(&root, 1), 8192, nullptr, &image_);
    EXPECT_TRUE(packed.ok());
    mutator.EnterNative();
    return image_.view();
  }
  std::string Problem(const PackedGraph& graph) {
    const Status status = CheckPacked(heap().state(), graph, "a graph");
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kInvariantViolated);
    return status.message();
  }
  static constexpr size_t kPairWords = sizeof(PairObject) / sizeof(Word);

  Image image_;
};

TEST_F(PackedCheckTest, AGraphAsItIsPackedIsInOrder) {
  TestRegion source(heap());
  EXPECT_EQ(Problem(Pack(source, 20)), "");
  EXPECT_EQ(Problem(PackedGraph{}), "");
}

TEST_F(PackedCheckTest, WhatIsNotOneObjectBehindTheOther) {
  TestRegion source(heap());
  PackedGraph graph = Pack(source, 20);
  graph.data_bytes -= sizeof(Word);
  EXPECT_THAT(Problem(graph), HasSubstr("I6: in a graph, the \"Pair\" at offset 608 reaches"));
  graph.data_bytes += sizeof(Word);
  const Word header_word = std::exchange(graph.data[kPairWords], Word{0});
  EXPECT_THAT(Problem(graph), HasSubstr("I6: in a graph, what lies at offset 32 is no object's"));
  graph.data[kPairWords] = header_word | header::kRemembered;
  EXPECT_THAT(Problem(graph), HasSubstr("I6"));
  graph.data[kPairWords] = header_word;
  EXPECT_EQ(Problem(graph), "");
}

TEST_F(PackedCheckTest, ReferencesThatLeadNowhere) {
  TestRegion source(heap());
  PackedGraph graph = Pack(source, 20);
  // The head's two slots: to the second pair, and to the shared object.
  Word& inside = graph.data[kA / sizeof(Word)];
  Word& shared = graph.data[kB / sizeof(Word)];
  const Word inside_before = inside;
  for (const Word wrong : {Word{8}, Word{20 * sizeof(PairObject)}}) {
    inside += wrong;
    EXPECT_THAT(Problem(graph), HasSubstr("I1: in a graph, a slot of the \"Pair\" at offset 0"));
    inside = inside_before;
  }
  graph.roots[0] += sizeof(Word);
  EXPECT_THAT(Problem(graph), HasSubstr("I1: in a graph, root 0 refers to offset 8"));
  graph.roots[0] -= sizeof(Word);
  const Word shared_before = std::exchange(shared, source.Root(0));
  EXPECT_THAT(Problem(graph), HasSubstr("refers to a private object"));
  shared = shared_before;
  graph.shared_refs = nullptr;
  EXPECT_THAT(Problem(graph), HasSubstr("I2: in a graph, a slot of the \"Pair\" at offset 0"));
}

class PackedOfIsolatesTest : public IsolateTest {
 protected:
  /// Runs fn(IsolateState&) with the group stopped.
  template <typename Fn>
  void WithStopped(IsolateId id, Fn fn) {
    const Status status = heap().safepoints().RunWithMutatorsStopped(
        SafepointLevel::kGC, "test",
        [&](const StoppedScope&) { fn(group().state().isolates.At(id.index)->state()); });
    ASSERT_TRUE(status.ok()) << status.message();
  }
};

TEST_F(PackedOfIsolatesTest, HeapVerifyLooksAtParkedIsolatesAndAtMessages) {
  options.resident_isolates = 0;
  Event made;
  SendPort to;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    auto port = ReceivePort::Open(
        isolate, [](Isolate&, Ref, void*) {}, nullptr);
    ASSERT_TRUE(port.ok());
    to = port.value().Release();
    MakeList(isolate, 0, 0, 10);
    made.Set();
  });
  made.Wait();
  ASSERT_TRUE(group().Pause(id));
  RunIsolate([&](Isolate& isolate) {
    for (const size_t count : {2u, 100u}) {
      MakeList(isolate, 0, 0, count);
      ASSERT_EQ(Send(isolate, to, isolate.field(0)), SendStatus::kDelivered);
    }
  });
  size_t graphs = 0;
  bool is_idle = false;
  // Parked, and with both messages; and for good: each message wakes a paused isolate, and it is
  // parked anew.
  while (graphs != 3 || !is_idle) {
    graphs = 0;
    WithStopped(id, [&](IsolateState& state) {
      is_idle = state.record.inbox.is_idle();
      state.ForEachPacked(
          [&](const PackedGraph& graph, const char*) { graphs += graph.data_bytes != 0 ? 1 : 0; });
    });
    platform::YieldThread();
  }
  ExpectValid();
  for (size_t broken = 0; broken < 3; ++broken) {
    const auto turn_over = [&](const char** name) {
      WithStopped(id, [&](IsolateState& state) {
        size_t i = 0;
        state.ForEachPacked([&](const PackedGraph& graph, const char* what) {
          if (i++ != broken) return;
          graph.data[0] ^= 1;
          *name = what;
        });
      });
    };
    const char* name = nullptr;
    turn_over(&name);
    const Status status = heap().Verify();
    EXPECT_THAT(status.message(), HasSubstr(std::string("I6: in ") + name + " of isolate"));
    turn_over(&name);
    ExpectValid();
  }
  KillAndWait(id);
}

}  // namespace
}  // namespace Atoll
