// What cannot be sent is refused whole, with the reason and the way to it.
#include "tests/isolate/graph_fixture.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

using platform::faults::Request;
using ::testing::AllOf;
using ::testing::HasSubstr;

class RefusalTest : public MessagingTest {
 protected:
  ~RefusalTest() override { platform::faults::Reset(); }

  void SetUp() override { graph_types_ = std::make_unique<GraphTypes>(heap()); }
  const GraphTypes& graph_types() { return *graph_types_; }

  /// Runs `body` in an isolate with a port where nothing may arrive.
  void RunSender(const std::function<void(Isolate&, const SendPort&)>& body) {
    const ExitInfo info = RunIsolate([&](Isolate& isolate) {
      TestPort& port = Open(isolate, [](Isolate&, Ref) { ADD_FAILURE() << "a message"; });
      body(isolate, port.to);
      ExpectValid();
      port.port.Close();
    });
    EXPECT_EQ(info.reason, ExitReason::kReturned);
  }
  /// Nothing is left of the copy: no block more is in use. (Less may be: workers without work give
  /// theirs back.)
  Status ExpectRefusedWithoutTrace(Isolate& isolate, const SendPort& to, Ref message) {
    const size_t used = heap().state().pool.used_bytes();
    const Status why = ExpectNotSent(isolate, to, message, SendStatus::kRefused);
    EXPECT_LE(heap().state().pool.used_bytes(), used);
    return why;
  }

 private:
  std::unique_ptr<GraphTypes> graph_types_;
};

TEST_F(RefusalTest, AnUnsendableObjectByItself) {
  RunSender([&](Isolate& isolate, const SendPort& to) {
    const ObjectPtr socket = isolate.mutator().Allocate(*graph_types().socket);
    const Status why = ExpectRefusedWithoutTrace(isolate, to, RefOf(socket));
    EXPECT_EQ(why.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(why.message(), AllOf(HasSubstr("\"Socket\""), HasSubstr("unsendable")));
  });
}

TEST_F(RefusalTest, AnUnsendableObjectDeepInAGraph) {
  for (const size_t count : {3u, 100u, 5'000u, 200'000u}) {
    SCOPED_TRACE(count);
    RunSender([&](Isolate& isolate, const SendPort& to) {
      MakeList(isolate, 0, 1, count);
      SetField(isolate, 1, RefOf(isolate.mutator().Allocate(*graph_types().socket)));
      ObjectPtr last = ObjectOf(isolate.field(0));
      while (Load(last, kA)) last = Load(last, kA);
      Link(isolate.mutator(), last, kB, ObjectOf(isolate.field(1)));
      const Status why = ExpectRefusedWithoutTrace(isolate, to, isolate.field(0));
      EXPECT_THAT(why.message(), AllOf(HasSubstr("root -> \"Pair\""),
                                       HasSubstr("slot 1 -> \"Socket\""), HasSubstr("unsendable")));
      ExpectList(ObjectOf(isolate.field(0)), 1, count);
    });
  }
}

TEST_F(RefusalTest, BehindTheKeyOfAnEphemeron) {
  RunSender([&](Isolate& isolate, const SendPort& to) {
    Mutator& mutator = isolate.mutator();
    SetField(isolate, 0, RefOf(mutator.AllocateArray(*client.types->array, 3)));
    SetField(isolate, 1, RefOf(mutator.Allocate(*client.types->ephemeron)));
    SetField(isolate, 2, RefOf(mutator.Allocate(*graph_types().socket)));
    const auto at = [&](size_t field) { return ObjectOf(isolate.field(field)); };
    const ObjectPtr key = NewPair(isolate, 1);
    Link(mutator, at(1), 8, key);
    Link(mutator, at(1), 16, at(2));
    Link(mutator, at(0), ElementAt(0), at(1));
    // The key is reached otherwise, so the value is as well.
    Link(mutator, at(0), ElementAt(1), key);
    const Status why = ExpectRefusedWithoutTrace(isolate, to, isolate.field(0));
    EXPECT_THAT(why.message(), AllOf(HasSubstr("\"Ephemeron\""), HasSubstr("\"Socket\"")));
  });
}

// A hash map of entries { hash, key, value }: the path names the entry and its key.
TEST_F(RefusalTest, BehindAKeyOfAMap) {
  const Receiver receiver = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE() << "a message"; });
  RunSender([&](Isolate& isolate, const SendPort& to) {
    constexpr size_t kEntries = 64;
    constexpr size_t kBad = 37;
    Mutator& mutator = isolate.mutator();
    SetField(isolate, 0, RefOf(mutator.AllocateArray(*graph_types().structs, kEntries)));
    const auto key_of = [](size_t i) {
      return GraphTypes::kStructElements + i * GraphTypes::kStructSize + 8;
    };
    for (size_t i = 0; i < kEntries; i += 2) {
      SetField(isolate, 1, RefOf(NewPair(isolate, i)));
      Link(mutator, ObjectOf(isolate.field(0)), key_of(i), ObjectOf(isolate.field(1)));
      Link(mutator, ObjectOf(isolate.field(0)), key_of(i) + 8, ObjectOf(isolate.field(1)));
    }
    // The key holds what cannot be sent, one object further on.
    SetField(isolate, 1, RefOf(NewPair(isolate, kBad)));
    SetField(isolate, 2, RefOf(mutator.Allocate(*graph_types().socket)));
    Link(mutator, ObjectOf(isolate.field(1)), kB, ObjectOf(isolate.field(2)));
    Link(mutator, ObjectOf(isolate.field(0)), key_of(kBad), ObjectOf(isolate.field(1)));
    const auto names_the_key =
        AllOf(HasSubstr("root -> \"Structs\" element 37 slot 0 -> \"Pair\" slot 1 -> \"Socket\""),
              HasSubstr("unsendable"));
    EXPECT_THAT(ExpectRefusedWithoutTrace(isolate, to, isolate.field(0)).message(), names_the_key);
    const auto ticket =
        PrepareExit(isolate, receiver.to(), isolate.field(0), nullptr, {.always_adopt = true});
    ASSERT_FALSE(ticket.ok());
    EXPECT_THAT(ticket.status().message(), names_the_key);
    const auto frozen = Freeze(isolate, isolate.field(0));
    ASSERT_FALSE(frozen.ok());
    EXPECT_THAT(frozen.status().message(), names_the_key);
    EXPECT_EQ(IdAt(Load(ObjectOf(isolate.field(0)), key_of(kBad))), kBad);
  });
  KillAndWait(receiver.id);
}

TEST_F(RefusalTest, AnEphemeronWhoseKeyIsNotReachedIsSentEmpty) {
  int handled = 0;
  TestPort* port = nullptr;
  RunIsolate([&](Isolate& isolate) {
    port = &Open(isolate, [&](Isolate&, Ref message) {
      ++handled;
      EXPECT_FALSE(Load(ObjectOf(message), 8));
      EXPECT_FALSE(Load(ObjectOf(message), 16));
      port->port.Close();
    });
    Mutator& mutator = isolate.mutator();
    SetField(isolate, 1, RefOf(mutator.Allocate(*client.types->ephemeron)));
    SetField(isolate, 2, RefOf(mutator.Allocate(*graph_types().socket)));
    SetField(isolate, 3, RefOf(NewPair(isolate, 1)));
    const auto at = [&](size_t field) { return ObjectOf(isolate.field(field)); };
    Link(mutator, at(1), 8, at(3));
    Link(mutator, at(1), 16, at(2));
    ExpectSent(isolate, port->to, isolate.field(1));
    EXPECT_EQ(Load(at(1), 16), at(2)) << "the sender's own is as it was";
  });
  EXPECT_EQ(handled, 1);
}

TEST_F(RefusalTest, FinalizersAndNonMovingObjects) {
  std::atomic<int> finalized{0};
  RunSender([&](Isolate& isolate, const SendPort& to) {
    SetField(isolate, 0, RefOf(NewPair(isolate, 1)));
    const auto count = [](void* data) { static_cast<std::atomic<int>*>(data)->fetch_add(1); };
    ASSERT_TRUE(
        isolate.mutator()
            .AddFinalizer(ObjectOf(isolate.field(0)), FinalizerKind::kNative, count, &finalized)
            .ok());
    EXPECT_THAT(ExpectRefusedWithoutTrace(isolate, to, isolate.field(0)).message(),
                AllOf(HasSubstr("\"Pair\""), HasSubstr("finalizer")));
    SetField(isolate, 1, RefOf(isolate.mutator().Allocate(*client.types->still)));
    EXPECT_THAT(ExpectRefusedWithoutTrace(isolate, to, isolate.field(1)).message(),
                AllOf(HasSubstr("\"StillPair\""), HasSubstr("non-moving")));
    EXPECT_EQ(finalized.load(), 0);
  });
  EXPECT_EQ(finalized.load(), 1);
}

TEST_F(RefusalTest, AReferenceFromAThreadOutside) {
  const IsolateId id = Spawn([&](Isolate& isolate) {
    TestPort& port = Open(isolate, [](Isolate&, Ref) { ADD_FAILURE() << "a message"; });
    SetField(isolate, 0, RefOf(NewPair(isolate, 1)));
    Status why;
    EXPECT_EQ(SendImmediate(isolate.group(), port.to, isolate.field(0), &why),
              SendStatus::kRefused);
    EXPECT_THAT(why.message(), HasSubstr("send that by Send"));
    isolate.Exit();
  });
  EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kReturned);
}

TEST_F(RefusalTest, AKilledSenderStopsInTheMiddleOfTheCopy) {
  const Receiver receiver = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE() << "a message"; });
  const ExitInfo info = RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 300'000);
    group().Kill(isolate.id());
    const Status why = ExpectRefusedWithoutTrace(isolate, receiver.to(), isolate.field(0));
    EXPECT_EQ(why.code(), StatusCode::kCancelled);
    ExpectList(ObjectOf(isolate.field(0)), 1, 300'000);
  });
  EXPECT_EQ(info.reason, ExitReason::kKilled);
}

TEST_F(RefusalTest, KilledBySomebodyElseInTheMiddleOfACopy) {
  const Receiver receiver = SpawnReceiver([](Isolate&, Ref) {});
  for (int round = 0; round < 20; ++round) {
    Event sending;
    const IsolateId id = Spawn([&](Isolate& isolate) {
      MakeList(isolate, 0, 1, 100'000);
      sending.Set();
      SendStatus status = SendStatus::kDelivered;
      while (status == SendStatus::kDelivered && isolate.Poll()) {
        Status why;
        status = Send(isolate, receiver.to(), isolate.field(0), &why);
        EXPECT_TRUE(status == SendStatus::kDelivered || why.code() == StatusCode::kCancelled);
      }
      ExpectList(ObjectOf(isolate.field(0)), 1, 100'000);
    });
    sending.Wait();
    EXPECT_EQ(KillAndWait(id).reason, ExitReason::kKilled);
  }
}

class ExhaustionTest : public RefusalTest {
 protected:
  ExhaustionTest() { options.heap.limit_bytes = 48 << 20; }
};

TEST_F(ExhaustionTest, NoRoomForTheCopy) {
  constexpr size_t kCount = 1'000'000;  // 32 MB
  RunSender([&](Isolate& isolate, const SendPort& to) {
    MakeList(isolate, 0, 1, kCount);
    for (int i = 0; i < 3; ++i) {
      const Status why = ExpectNotSent(isolate, to, isolate.field(0), SendStatus::kRefused);
      EXPECT_EQ(why.code(), StatusCode::kResourceExhausted);
      ExpectList(ObjectOf(isolate.field(0)), 1, kCount);
    }
  });
}

// Each request for off-heap memory or blocks in turn is refused once.
TEST_F(ExhaustionTest, RefusedMemoryAtAnyPoint) {
  const std::pair<Request, size_t> cases[] = {{Request::kRaw, 3},      {Request::kRaw, 100},
                                              {Request::kRaw, 20'000}, {Request::kCommit, 3},
                                              {Request::kCommit, 100}, {Request::kCommit, 20'000}};
  for (const auto& [request, count] : cases) {
    SCOPED_TRACE(count);
    int handled = 0;
    int sent = 0;
    int refused = 0;
    TestPort* port = nullptr;
    RunIsolate([&, request = request, count = count](Isolate& isolate) {
      port = &Open(isolate, [&](Isolate&, Ref message) {
        ExpectList(ObjectOf(message), 1, count);
        if (++handled == sent) port->port.Close();
      });
      MakeList(isolate, 0, 1, count);
      for (uint64_t n = 1; n < 12; ++n) {
        platform::faults::FailNth(request, n, true);
        Status why;
        const SendStatus status = Send(isolate, port->to, isolate.field(0), &why);
        platform::faults::Reset();
        if (status == SendStatus::kDelivered) {
          ++sent;
        } else {
          ++refused;
          EXPECT_EQ(status, SendStatus::kRefused);
          EXPECT_EQ(why.code(), StatusCode::kResourceExhausted) << why.message();
        }
        ExpectList(ObjectOf(isolate.field(0)), 1, count);
      }
      ExpectSent(isolate, port->to, isolate.field(0));
      ++sent;
    });
    EXPECT_EQ(handled, sent);
    EXPECT_EQ(sent + refused, 12);
    EXPECT_TRUE(request != Request::kRaw || refused > 0) << "the first request is the message's";
  }
}

}  // namespace
}  // namespace Atoll
