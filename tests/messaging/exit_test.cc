// sendAndExit: what arrives, what does not come along, and what is refused.
#include <gmock/gmock.h>

#include <optional>
#include <thread>

#include "heap/region_state.h"
#include "tests/heap/stressed.h"
#include "tests/messaging/port_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMany = 5000;

class ExitTest : public PortTest {
 protected:
  static Result<ExitTicket> Prepare(Isolate& isolate, const HeldPort& port, Ref root,
                                    SendStatus* status = nullptr) {
    return PrepareExit(isolate, port.to(), root, status, {.always_adopt = true});
  }
  static void SendAndExit(Isolate& isolate, const HeldPort& port, Ref root) {
    auto ticket = Prepare(isolate, port, root);
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    const Status committed = ticket.value().Commit();
    EXPECT_TRUE(committed.ok()) << committed.message();
  }
  const Type* AddUnsendable() {
    TypeInfo info;
    info.name = "Socket";
    info.layout = Layout::kFixed;
    info.fixed_size = sizeof(PairObject);
    info.ref_offsets = {kA, kB};
    info.flags.unsendable = true;
    return heap().RegisterType(info).value();
  }
};

TEST_F(ExitTest, AListArrivesAndIsTheReceivers) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    ExpectList(ObjectOf(isolate.field(0)), 7, kMany);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMinor).ok());
    ExpectList(ObjectOf(isolate.field(0)), 7, kMany);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    ExpectList(ObjectOf(isolate.field(0)), 7, kMany);
    port.Close();
  });
  const ExitInfo info = RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 7, kMany);
    SendAndExit(isolate, port, isolate.field(0));
  });
  EXPECT_EQ(info.reason, ExitReason::kHandedOver);
  ExpectValid();
  exits.WaitFor(2);
}

TEST_F(ExitTest, ASmallMessageKeepsNoBlockOfTheRegionThatItCameIn) {
  if (IsStressed(heap())) GTEST_SKIP() << "more moves than the rule would have";
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    const auto blocks_after_major = [&] {
      EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
      return isolate.mutator().region().stats().block_bytes;
    };
    SetField(isolate, 0, message);
    MakeList(isolate, 1, 1, 2'500);  // half a block is left over
    const size_t with_message = blocks_after_major();
    ExpectList(ObjectOf(isolate.field(0)), 7, 32);
    SetField(isolate, 0, Ref{});
    EXPECT_EQ(with_message, blocks_after_major());
    port.Close();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 100'000);
    MakeList(isolate, 0, 7, 32);
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
  ExpectValid();
}

TEST_F(ExitTest, CyclesAndIdentityHashesAreKept) {
  HeldPort port;
  std::atomic<uint32_t> hash{0};
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    const ObjectPtr first = ObjectOf(message);
    EXPECT_EQ(isolate.mutator().IdentityHash(first), hash.load());
    EXPECT_EQ(Load(Load(first, kA), kA), first);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 2);
    const ObjectPtr first = ObjectOf(isolate.field(0));
    hash = isolate.mutator().IdentityHash(first);
    Link(isolate.mutator(), Load(first, kA), kA, first);
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, ATinyResultLeavesTheRestBehind) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    EXPECT_EQ(IdAt(ObjectOf(message)), 9u);
    EXPECT_LE(isolate.mutator().region().stats().block_bytes, 4 * kBlockSize);
    EXPECT_EQ(isolate.mutator().region().stats().adoptions, 0u);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 1, 0, 50 * kMany);
    const ObjectPtr result = NewPair(isolate, 9);
    auto ticket = PrepareExit(isolate, port.to(), RefOf(result));
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    EXPECT_TRUE(ticket.value().Commit().ok());
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, WhatTheMessageDoesNotReachGoesWithTheNextMajor) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    EXPECT_EQ(isolate.mutator().region().stats().adoptions, 1u);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_LE(isolate.mutator().region().stats().block_bytes, 64 * kBlockSize);
    ExpectList(ObjectOf(isolate.field(0)), 0, 100);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    MakeList(isolate, 1, 0, 50 * kMany);
    MakeList(isolate, 0, 0, 100);
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, ImmediatesAndSharedRootsPass) {
  HeldPort port;
  std::atomic<int> got{0};
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    if (message == Immediate(5)) {
      ++got;
    } else {
      EXPECT_EQ(IdAt(ObjectOf(message)), 6u);
      ++got;
    }
    if (got == 2) isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) { SendAndExit(isolate, port, Immediate(5)); });
  RunIsolate([&](Isolate& isolate) {
    auto frozen = Freeze(isolate, RefOf(NewPair(isolate, 6)));
    ASSERT_TRUE(frozen.ok()) << frozen.status().message();
    SendAndExit(isolate, port, frozen.value());
  });
  exits.WaitFor(3);
  EXPECT_EQ(got, 2);
}

TEST_F(ExitTest, NativeFinalizersComeAlong) {
  HeldPort port;
  std::atomic<int> finalized{0};
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(finalized, 0);
    EXPECT_EQ(isolate.mutator().region().stats().external_bytes, 1000u);
    SetField(isolate, 0, Ref{});
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    EXPECT_EQ(finalized, 1);
    port.Close();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, 100);
    EXPECT_TRUE(isolate.mutator()
                    .AddFinalizer(
                        ObjectOf(isolate.field(0)), FinalizerKind::kNative,
                        [](void* data) { ++*static_cast<std::atomic<int>*>(data); }, &finalized,
                        1000)
                    .ok());
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
}

TEST_F(ExitTest, PersistentsPinsAndPortsStayBehind) {
  HeldPort port;
  HeldPort own;
  SpawnReceiver(port, [&](Isolate& isolate, Ref message) {
    SetField(isolate, 0, message);
    EXPECT_FALSE(isolate.mutator().Unpin(ObjectOf(message)).ok()) << "it is not pinned any more";
    EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
    ExpectList(ObjectOf(isolate.field(0)), 0, 100);
    port.Close();
  });
  Persistent kept;
  RunIsolate([&](Isolate& isolate) {
    own.Open(isolate, [](Isolate&, Ref) { ADD_FAILURE() << "a message for one that has ended"; });
    MakeList(isolate, 0, 0, 100);
    kept = Persistent(isolate.mutator().region(), isolate.field(0));
    EXPECT_TRUE(isolate.mutator().Pin(ObjectOf(isolate.field(0))).ok());
    SendAndExit(isolate, port, isolate.field(0));
  });
  exits.WaitFor(2);
  EXPECT_EQ(kept.Get(), Ref{});
  Status why;
  EXPECT_EQ(SendImmediate(group(), own.to(), Immediate(1), &why), SendStatus::kClosed);
  kept.Reset();
}

TEST_F(ExitTest, HandlesOpenWhenItCommitsAreNoMatter) {
  HeldPort port;
  SpawnReceiver(port, [&](Isolate&, Ref message) {
    ExpectList(ObjectOf(message), 0, 100);
    port.Close();
  });
  Spawn([&](Isolate& isolate) {
    HandleScope scope(isolate.mutator());
    MakeList(isolate, 0, 0, 100);
    LocalRef list(isolate.mutator(), isolate.field(0));
    SendAndExit(isolate, port, list.Get());
  });
  exits.WaitFor(2);
}

// ---- Refused

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

// ---- Receivers that do not receive

TEST_F(ExitTest, WhatIsNotReceivedIsFreed) {
  HeldPort port;
  std::atomic<int> finalized{0};
  const IsolateId receiver =
      SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE() << "it is paused, then killed"; });
  ASSERT_TRUE(group().Pause(receiver));
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, kMany);
    EXPECT_TRUE(isolate.mutator()
                    .AddFinalizer(
                        ObjectOf(isolate.field(0)), FinalizerKind::kNative,
                        [](void* data) { ++*static_cast<std::atomic<int>*>(data); }, &finalized)
                    .ok());
    SendAndExit(isolate, port, isolate.field(0));
  });
  ExpectValid();
  CollectAll();
  EXPECT_EQ(finalized, 0) << "it is on its way";
  KillAndWait(receiver);
  EXPECT_EQ(finalized, 1);
}

TEST_F(ExitTest, APortThatClosesAfterTheCommitFreesTheMessage) {
  HeldPort port;
  std::atomic<int> finalized{0};
  const IsolateId receiver = SpawnReceiver(port, [](Isolate&, Ref) { ADD_FAILURE(); });
  const ExitInfo info = RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, kMany);
    EXPECT_TRUE(isolate.mutator()
                    .AddFinalizer(
                        ObjectOf(isolate.field(0)), FinalizerKind::kNative,
                        [](void* data) { ++*static_cast<std::atomic<int>*>(data); }, &finalized)
                    .ok());
    SendAndExit(isolate, port, isolate.field(0));
    NativeScope native(isolate.mutator());
    KillAndWait(receiver);
  });
  EXPECT_EQ(info.reason, ExitReason::kHandedOver);
  EXPECT_EQ(finalized, 1);
}

}  // namespace
}  // namespace Atoll
