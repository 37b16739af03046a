// Become, where references to shared objects lie outside all regions: in the images of parked
// isolates, in messages on their way, in fields of the program; and while copies are being made.
#include "atoll/become.h"

#include <atomic>
#include <thread>

#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kOld = 77;
constexpr uint64_t kNew = 78;

/// A pair of shared objects, of which one is to become the other: at first `old_one` and
/// `new_one` have the ids kOld and kNew.
class BecomeOfIsolatesTest : public MessagingTest {
 protected:
  BecomeOfIsolatesTest() {
    options.resident_isolates = 0;  // isolates are parked after each turn
  }

  /// Kept by a Program object.
  void MakeShared() {
    RunIsolate([&](Isolate& isolate) {
      holder_ = heap().AllocateProgram(*types().pair);
      ASSERT_TRUE(holder_);
      for (const auto& [offset, id] : {std::pair{kA, kOld}, {kB, kNew}}) {
        const auto frozen = Freeze(isolate, RefOf(NewPair(isolate, id)));
        ASSERT_TRUE(frozen.ok()) << frozen.status().message();
        Store(isolate.mutator(), holder_, SlotAt(holder_, offset), frozen.value());
      }
    });
  }
  Ref old_one() const { return SlotAt(holder_, kA).Load(); }
  Ref new_one() const { return SlotAt(holder_, kB).Load(); }

  void SetNewOne(Ref object) { SlotAt(holder_, kB).StoreRaw(object); }

  enum class Way : uint8_t { kReplace, kExchange };
  /// On a thread of the test's, or in a turn.
  void BecomeNow(Way way = Way::kReplace) {
    const Ref first = old_one();
    const Ref second = new_one();
    Status status;
    const Status changed =
        group().program().Change(SafepointLevel::kReload, "test", [&](const StoppedScope& stopped) {
          const Ref both[] = {old_one(), new_one()};
          const Ref crosswise[] = {new_one(), old_one()};
          const size_t pairs = way == Way::kReplace ? 1 : 2;
          status = Become(heap(), stopped, {both, pairs}, {crosswise, pairs});
        });
    EXPECT_TRUE(changed.ok()) << changed.message();
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(old_one(), second);
    EXPECT_EQ(new_one(), way == Way::kReplace ? second : first);
    ExpectValid();
  }
  void RunParked(Way way);
  void RunWaiting(Way way);
  /// Nothing but what refers to the new object may keep it: the holder forgets both.
  void ForgetBoth() {
    for (const uint32_t offset : {kA, kB}) SlotAt(holder_, offset).StoreRaw(Ref{});
    CollectAll();
  }
  /// A list of pairs that refer to the old object by `b`.
  void MakeMessage(Isolate& isolate, size_t field, size_t length) {
    MakeList(isolate, field, 1, length);
    for (ObjectPtr at = ObjectOf(isolate.field(field)); at; at = Load(at, kA)) {
      Link(isolate.mutator(), at, kB, ObjectOf(old_one()));
    }
  }
  static void ExpectList(ObjectPtr head, size_t length, uint64_t shared_id) {
    MessagingTest::ExpectList(head, 1, length);
    for (ObjectPtr at = head; at; at = Load(at, kA)) ASSERT_EQ(IdAt(Load(at, kB)), shared_id);
  }

 private:
  ObjectPtr holder_;
};

void BecomeOfIsolatesTest::RunParked(Way way) {
  MakeShared();
  Event looked;
  TestPort* port = nullptr;
  Event opened;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    MakeMessage(isolate, 0, 20);
    SetField(isolate, 1, old_one());    // a root outside its image
    SetField(isolate, 100, old_one());  // in a chunk of its own
    port = &Open(isolate, [&](Isolate& current, Ref) {
      ExpectList(ObjectOf(current.field(0)), 20, kNew);
      EXPECT_EQ(IdAt(ObjectOf(current.field(1))), kNew);
      EXPECT_EQ(current.field(1), current.field(100));
      EXPECT_EQ(RefOf(Load(ObjectOf(current.field(0)), kB)), current.field(1));
      looked.Set();
      current.Exit();
    });
    opened.Set();
  });
  opened.Wait();
  // It is parked, once it has no residence: then it is the image that is changed.
  size_t parked = 0;
  while (parked == 0) {
    platform::YieldThread();
    ASSERT_TRUE(heap()
                    .safepoints()
                    .RunWithMutatorsStopped(SafepointLevel::kGC, "test",
                                            [&](const StoppedScope&) {
                                              group().state().isolates.ForEach(
                                                  [&](IsolateRecord& record) {
                                                    if (record.inbox.is_closed()) return;
                                                    parked += record.state().parked ? 1 : 0;
                                                  });
                                            })
                    .ok());
  }
  BecomeNow(way);
  ForgetBoth();
  EXPECT_EQ(SendImmediate(group(), port->to, Immediate(1)), SendStatus::kDelivered);
  looked.Wait();
  exits.WaitFor(id);
}

TEST_F(BecomeOfIsolatesTest, ParkedIsolatesAreOfAPiece) {
  for (const Way way : {Way::kReplace, Way::kExchange}) RunParked(way);
}

void BecomeOfIsolatesTest::RunWaiting(Way way) {
  MakeShared();
  // Small, an image, a region, and the shared object itself.
  const size_t lengths[] = {1, 20, 1'000, 0};
  std::atomic<int> received{0};
  Event paused;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    const size_t length = lengths[received.fetch_add(1)];
    if (length == 0) {
      EXPECT_EQ(IdAt(ObjectOf(message)), kNew);
      return isolate.Exit();
    }
    ExpectList(ObjectOf(message), length, kNew);
  });
  ASSERT_TRUE(group().Pause(receiver.id));
  RunIsolate([&](Isolate& isolate) {
    for (const size_t length : lengths) {
      if (length != 0) MakeMessage(isolate, 0, length);
      ExpectSent(isolate, receiver.to(), length == 0 ? old_one() : isolate.field(0));
    }
  });
  EXPECT_EQ(received.load(), 0);
  BecomeNow(way);
  ForgetBoth();
  ASSERT_TRUE(group().Resume(receiver.id));
  exits.WaitFor(receiver.id);
  EXPECT_EQ(received.load(), 4);
}

TEST_F(BecomeOfIsolatesTest, MessagesThatWaitAreOfAPiece) {
  for (const Way way : {Way::kReplace, Way::kExchange}) RunWaiting(way);
}

TEST_F(BecomeOfIsolatesTest, InitialAndOwnFieldsFollow) {
  MakeShared();
  auto added = group().program().AddField(old_one());
  ASSERT_TRUE(added.ok()) << added.status().message();
  RunIsolate([&](Isolate& isolate) {
    SetField(isolate, 1, old_one());
    SetField(isolate, 200, old_one());
    // There, back, and there for good.
    const Ref first = old_one();
    for (int round = 0; round < 2; ++round) {
      BecomeNow(Way::kExchange);
      for (const size_t field : {added.value(), size_t{1}, size_t{200}}) {
        EXPECT_EQ(isolate.field(field), old_one()) << field;
        EXPECT_EQ(isolate.field(field) == first, round == 1) << field;
      }
    }
    BecomeNow();
    for (const size_t field : {added.value(), size_t{1}, size_t{200}}) {
      EXPECT_EQ(isolate.field(field), new_one()) << field;
    }
  });
  EXPECT_EQ(group().program().InitialField(added.value()), new_one());
  // The fixture expects nothing shared to be left: it becomes a Program object.
  const ObjectPtr last = heap().AllocateProgram(*types().pair);
  SetNewOne(RefOf(last));
  BecomeNow();
  EXPECT_EQ(group().program().InitialField(added.value()), RefOf(last));
}

// ---- Hand-overs

class BecomeAtExitTest : public BecomeOfIsolatesTest {
 protected:
  // An isolate that commits its exit, and does something in the rest of its turn.
  void HandOver(size_t length, bool always_adopt, uint64_t expected_id,
                const std::function<void()>& after_commit) {
    const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
      ExpectList(ObjectOf(message), length, expected_id);
      isolate.Exit();
    });
    const ExitInfo info = RunIsolate([&](Isolate& isolate) {
      MakeMessage(isolate, 0, length);
      auto ticket = PrepareExit(isolate, receiver.to(), isolate.field(0), nullptr,
                                {.always_adopt = always_adopt});
      ASSERT_TRUE(ticket.ok()) << ticket.status().message();
      const Status committed = ticket.value().Commit();
      ASSERT_TRUE(committed.ok()) << committed.message();
      SetField(isolate, 0, Ref{});
      after_commit();
    });
    EXPECT_EQ(info.reason, ExitReason::kHandedOver);
    exits.WaitFor(receiver.id);
  }
};

TEST_F(BecomeAtExitTest, WhatIsHandedOverFollowsAfterTheCommit) {
  for (const bool tiny : {true, false}) {
    SCOPED_TRACE(tiny);
    MakeShared();
    HandOver(20, /*always_adopt=*/!tiny, kNew, [&] {
      BecomeNow();
      ForgetBoth();
    });
  }
}

TEST_F(BecomeAtExitTest, ATinyMessageKeepsWhatItRefersToAfterTheCommit) {
  options.heap.stress.poison = true;
  MakeShared();
  HandOver(20, /*always_adopt=*/false, kOld, [&] { ForgetBoth(); });
}

TEST_F(BecomeAtExitTest, ATicketIsVoid) {
  MakeShared();
  const Receiver receiver = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE(); });
  RunIsolate([&](Isolate& isolate) {
    MakeMessage(isolate, 0, 20);
    auto ticket = PrepareExit(isolate, receiver.to(), isolate.field(0));
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    BecomeNow();
    const Status committed = ticket.value().Commit();
    EXPECT_EQ(committed.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(committed.message(), HasSubstr("prepare again"));
  });
  KillAndWait(receiver.id);
  ForgetBoth();
}

// ---- Copies that are being made

// Isolates send, freeze and park graphs that refer to a shared object, which becomes another all
// the time: no copy may mix the two, or refer to one that has been replaced.
TEST_F(BecomeOfIsolatesTest, CopiesNeverMixOldAndNew) {
  constexpr int kRounds = 20;
  constexpr size_t kLength = 40'000;  // polls, and enough blocks for polls while they are shared
  options.heap.stress.verify = false;
  MakeShared();
  std::atomic<bool> done{false};
  std::atomic<int> received{0};
  const auto expect_one = [&](ObjectPtr head) {
    const ObjectPtr shared = Load(head, kB);
    size_t length = 0;
    for (ObjectPtr at = head; at; at = Load(at, kA), ++length) ASSERT_EQ(Load(at, kB), shared);
    ASSERT_EQ(length, kLength);
  };
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    if (message.word % 8 != 0) return isolate.Exit();
    expect_one(ObjectOf(message));
    received.fetch_add(1);
  });
  const IsolateId sender = Spawn([&](Isolate& isolate) {
    MakeMessage(isolate, 0, kLength);
    while (!done.load()) {
      ExpectSent(isolate, receiver.to(), isolate.field(0));
      const auto frozen = Freeze(isolate, isolate.field(0));
      ASSERT_TRUE(frozen.ok()) << frozen.status().message();
      expect_one(ObjectOf(frozen.value()));
      const int sent = received.load();
      ASSERT_TRUE(PollUntil(isolate, [&] { return received.load() != sent || done.load(); }));
    }
  });
  // In an isolate of its own: the old object becomes a fresh copy of itself, and so on.
  RunIsolate([&](Isolate& isolate) {
    for (int i = 0; i < kRounds; ++i) {
      const auto fresh = Freeze(isolate, RefOf(NewPair(isolate, kOld)));
      ASSERT_TRUE(fresh.ok());
      SetNewOne(fresh.value());
      BecomeNow();
    }
  });
  done.store(true);
  exits.WaitFor(sender);
  EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(1)), SendStatus::kDelivered);
  exits.WaitFor(receiver.id);
  ForgetBoth();
}

}  // namespace
}  // namespace Atoll
