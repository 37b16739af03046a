// sendAndExit that is refused, and tickets that are not good any more.
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "heap/region_state.h"
#include "tests/messaging/exit_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

class ExitRefusedTest : public ExitTest {
 protected:
  /// Runs `body` in an isolate, which must get an error and live on.
  void ExpectRefused(const std::function<Result<ExitTicket>(Isolate&)>& body,
                     const std::string& words) {
    const ExitInfo info = RunIsolate([&](Isolate& isolate) {
      MakeList(isolate, 0, 3, 100);
      auto ticket = body(isolate);
      ASSERT_FALSE(ticket.ok());
      EXPECT_THAT(ticket.status().message(), HasSubstr(words));
      ExpectList(ObjectOf(isolate.field(0)), 3, 100);
      EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
      ExpectList(ObjectOf(isolate.field(0)), 3, 100);
    });
    EXPECT_EQ(info.reason, ExitReason::kReturned);
  }
};

TEST_F(ExitRefusedTest, ByAClosedPort) {
  HeldPort port;
  RunIsolate([&](Isolate& isolate) {
    port.Open(isolate, [](Isolate&, Ref) {});
    port.Close();
  });
  SendStatus status;
  ExpectRefused([&](Isolate& isolate) { return Prepare(isolate, port, isolate.field(0), &status); },
                "its port is closed");
  EXPECT_EQ(status, SendStatus::kClosed);
}

TEST_F(ExitRefusedTest, ByAFullPort) {
  HeldPort port;
  Event go_on;
  const IsolateId receiver = SpawnReceiver(port, [&](Isolate&, Ref) {}, {.max_messages = 1});
  ASSERT_TRUE(group().Pause(receiver));
  ASSERT_EQ(SendImmediate(group(), port.to(), Immediate(1)), SendStatus::kDelivered);
  SendStatus status;
  ExpectRefused([&](Isolate& isolate) { return Prepare(isolate, port, isolate.field(0), &status); },
                "its port is full");
  EXPECT_EQ(status, SendStatus::kFull);
  KillAndWait(receiver);
}

TEST_F(ExitRefusedTest, ByAPortThatNeverTakesSoMuch) {
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) {}, {.max_bytes = 1'000});
  SendStatus status;
  ExpectRefused([&](Isolate& isolate) { return Prepare(isolate, port, isolate.field(0), &status); },
                "its port takes 1000 in all");
  EXPECT_EQ(status, SendStatus::kOverQuota);
  KillAndWait(receiver);
}

TEST_F(ExitRefusedTest, OnAnotherThread) {
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) {});
  ExpectRefused(
      [&](Isolate& isolate) {
        std::optional<Result<ExitTicket>> ticket;
        const Ref root = isolate.field(0);
        std::thread([&] { ticket.emplace(Prepare(isolate, port, root)); }).join();
        return std::move(*ticket);
      },
      "this thread does not run the isolate");
  KillAndWait(receiver);
}

TEST_F(ExitRefusedTest, WithSeveralMutators) {
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) {});
  ExpectRefused(
      [&](Isolate& isolate) {
        auto second = isolate.mutator().region().AttachMutator("second").value();
        auto ticket = Prepare(isolate, port, isolate.field(0));
        EXPECT_TRUE(second->Detach().ok());
        return ticket;
      },
      "2 mutators attached");
  KillAndWait(receiver);
}

TEST_F(ExitRefusedTest, OfAnUnsendableObjectDeepInside) {
  const Type* socket = AddUnsendable();
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) {});
  ExpectRefused(
      [&](Isolate& isolate) {
        Mutator& mutator = isolate.mutator();
        const ObjectPtr object = mutator.Allocate(*socket);
        EXPECT_TRUE(object);
        const ObjectPtr second = Load(ObjectOf(isolate.field(0)), kA);
        Link(mutator, second, kB, object);
        auto ticket = Prepare(isolate, port, isolate.field(0));
        EXPECT_THAT(ticket.status().message(),
                    HasSubstr("root -> \"Pair\" slot 0 -> \"Pair\" slot 1 -> \"Socket\""));
        return ticket;
      },
      "\"Socket\" cannot leave its isolate");
  KillAndWait(receiver);
}

TEST_F(ExitTest, UnsendableObjectsThatAreNotReachedAreNoMatter) {
  const Type* socket = AddUnsendable();
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    EXPECT_EQ(isolate.mutator().region().state().unsendable_count, 1u);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(isolate.mutator().region().state().unsendable_count, 0u);
    port.Close();
  });
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    MakeList(isolate, 0, 0, 100);
    SetField(isolate, 1, RefOf(mutator.Allocate(*socket)));
    SetField(isolate, 2, RefOf(mutator.Allocate(*socket)));
    EXPECT_EQ(mutator.region().state().unsendable_count, 2u);
    SetField(isolate, 2, Ref{});
    EXPECT_TRUE(mutator.Collect(Mutator::Collection::kMinor).ok());
    EXPECT_EQ(mutator.region().state().unsendable_count, 1u);
    EXPECT_TRUE(mutator.Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(mutator.region().state().unsendable_count, 1u);
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, ATicketIsVoidOnceTheIsolateHasAllocated) {
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE(); });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 100);
    auto ticket = Prepare(isolate, port, isolate.field(0));
    ASSERT_TRUE(ticket.ok());
    NewPair(isolate, 1);
    EXPECT_THAT(ticket.value().Commit().message(), HasSubstr("has allocated"));
  });
  KillAndWait(receiver);
  EXPECT_EQ(exits.WaitFor(2).size(), 2u);
}

// The object is there when it is validated, but only then becomes part of the message.
TEST_F(ExitTest, ATicketIsVoidOnceAnUnsendableObjectIsStoredIntoTheMessage) {
  const Type* socket = AddUnsendable();
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE(); });
  RunIsolate([&](Isolate& isolate) {
    Mutator& mutator = isolate.mutator();
    MakeList(isolate, 0, 0, 100);
    SetField(isolate, 1, RefOf(mutator.Allocate(*socket)));
    auto ticket = Prepare(isolate, port, isolate.field(0));
    ASSERT_TRUE(ticket.ok());
    Link(mutator, ObjectOf(isolate.field(0)), kB, ObjectOf(isolate.field(1)));
    EXPECT_THAT(ticket.value().Commit().message(),
                HasSubstr("path: root -> \"Pair\" slot 1 -> \"Socket\""));
    Link(mutator, ObjectOf(isolate.field(0)), kB, ObjectPtr());
    ExpectList(ObjectOf(isolate.field(0)), 0, 100);
  });
  KillAndWait(receiver);
  EXPECT_EQ(exits.WaitFor(2).size(), 2u);
}

TEST_F(ExitTest, ATicketIsNotCommittedOnAnotherThread) {
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE(); });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 100);
    auto ticket = Prepare(isolate, port, isolate.field(0));
    ASSERT_TRUE(ticket.ok());
    Status status;
    std::thread([&] { status = ticket.value().Commit(); }).join();
    EXPECT_THAT(status.message(), HasSubstr("does not run its isolate"));
  });
  KillAndWait(receiver);
}

TEST_F(ExitTest, ATicketIsCommittedOnce) {
  HeldPort port;
  std::atomic<int> got{0};
  SpawnReceiver(port, [&](Isolate&, Ref) {
    ++got;
    port.Close();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 100);
    auto ticket = Prepare(isolate, port, isolate.field(0));
    ASSERT_TRUE(ticket.ok());
    EXPECT_TRUE(ticket.value().Commit().ok());
    EXPECT_EQ(ticket.value().Commit().code(), StatusCode::kFailedPrecondition);
    auto again = Prepare(isolate, port, isolate.field(0));
    EXPECT_THAT(again.status().message(), HasSubstr("exiting already"));
  });
  exits.WaitFor(2);
  EXPECT_EQ(got, 1);
}

// The isolate is parked, and has gone, by the time they are looked at.
TEST_F(ExitTest, ATicketIsVoidAfterItsTurn) {
  options.resident_isolates = 0;
  Event parked;
  client.leave = [&](Isolate& isolate) {
    if (isolate.field(0).word != 0) parked.Set();
  };
  HeldPort port;
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE(); });
  std::optional<ExitTicket> dropped;
  std::optional<ExitTicket> committed;
  HeldPort own;
  const IsolateId sender = SpawnReceiver(own, [&](Isolate& isolate, Ref message) {
    if (message == Immediate(1)) {
      MakeList(isolate, 0, 0, 20);
      dropped = Prepare(isolate, port, isolate.field(0)).value();
      committed = Prepare(isolate, port, isolate.field(0)).value();
      EXPECT_THAT(dropped->Commit().message(), HasSubstr("has prepared another"));
      return;
    }
    dropped.reset();
    EXPECT_THAT(committed->Commit().message(), HasSubstr("the turn that prepared it has ended"));
    ExpectList(ObjectOf(isolate.field(0)), 0, 20);
    own.Close();
  });
  EXPECT_EQ(SendImmediate(group(), own.to(), Immediate(1)), SendStatus::kDelivered);
  parked.Wait();
  CollectAll();
  ExpectValid();
  EXPECT_EQ(SendImmediate(group(), own.to(), Immediate(2)), SendStatus::kDelivered);
  EXPECT_EQ(exits.WaitFor(sender).reason, ExitReason::kReturned);
  EXPECT_EQ(committed->Commit().code(), StatusCode::kFailedPrecondition);
  committed.reset();
  KillAndWait(receiver);
}

TEST_F(ExitTest, TheLastOfTwoTicketsCounts) {
  HeldPort port;
  std::atomic<int> got{0};
  SpawnReceiver(port, [&](Isolate&, Ref message) {
    ExpectList(ObjectOf(message), 50, 100);
    ++got;
    port.Close();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 100);
    MakeList(isolate, 1, 50, 100);
    auto first = Prepare(isolate, port, isolate.field(0));
    auto last = Prepare(isolate, port, isolate.field(1));
    { const ExitTicket dropped = std::move(first).value(); }
    EXPECT_TRUE(last.value().Commit().ok());
  });
  exits.WaitFor(2);
  EXPECT_EQ(got, 1);
}

TEST_F(ExitTest, ADroppedTicketChangesNothing) {
  HeldPort port;
  const IsolateId receiver =
      SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE(); }, {.max_messages = 1});
  const ExitInfo info = RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 100);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(Prepare(isolate, port, isolate.field(0)).ok());
    ExpectList(ObjectOf(isolate.field(0)), 0, 100);
  });
  EXPECT_EQ(info.reason, ExitReason::kReturned);
  KillAndWait(receiver);
}

}  // namespace
}  // namespace Atoll
