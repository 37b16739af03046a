// Something happens at each step of a message's way in turn: between PrepareExit and Commit, during
// the walk for unsendable objects, in the inbox, between inbox and handler, while it is unpacked,
// and first of all in the handler.
#include <thread>

#include "heap/mutator_record.h"
#include "tests/isolate/graph_fixture.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

using platform::faults::Request;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// How a list travels.
enum class Way { kSmall, kImage, kRegion, kHandedOver, kTinyHandedOver };
constexpr Way kWays[] = {Way::kSmall, Way::kImage, Way::kRegion, Way::kHandedOver,
                         Way::kTinyHandedOver};
const char* ToString(Way way) {
  constexpr const char* kNames[] = {"small", "image", "region", "handed over", "tiny handed over"};
  return kNames[static_cast<size_t>(way)];
}
size_t LengthFor(Way way) {
  switch (way) {
    case Way::kSmall:
      return 1;
    case Way::kImage:
    case Way::kTinyHandedOver:
      return 20;
    case Way::kRegion:
    case Way::kHandedOver:
      break;
  }
  return 1'000;
}

class StepsTest : public MessagingTest {
 protected:
  StepsTest() { options.heap.decay_nanos = 1; }
  ~StepsTest() override { platform::faults::Reset(); }

  /// Each object of the list refers to a shared one, the same for all.
  void MakeMessage(Isolate& isolate, size_t field, size_t length) {
    MakeList(isolate, field, 1, length);
    const auto frozen = Freeze(isolate, RefOf(NewPair(isolate, 77)));
    ASSERT_TRUE(frozen.ok()) << frozen.status().message();
    for (ObjectPtr at = ObjectOf(isolate.field(field)); at; at = Load(at, kA)) {
      Link(isolate.mutator(), at, kB, ObjectOf(frozen.value()));
    }
  }
  static void ExpectMessage(Ref message, size_t length) {
    ExpectList(ObjectOf(message), 1, length);
    for (ObjectPtr at = ObjectOf(message); at; at = Load(at, kA)) {
      ASSERT_TRUE(Load(at, kB));
      ASSERT_EQ(IdAt(Load(at, kB)), 77u);
    }
  }
  /// From an isolate of its own, which ends.
  void SendOne(Way way, const SendPort& to) {
    const ExitInfo info = RunIsolate([&](Isolate& isolate) {
      MakeMessage(isolate, 0, LengthFor(way));
      if (way != Way::kHandedOver && way != Way::kTinyHandedOver) {
        return ExpectSent(isolate, to, isolate.field(0));
      }
      auto ticket = PrepareExit(isolate, to, isolate.field(0), nullptr,
                                {.always_adopt = way == Way::kHandedOver});
      ASSERT_TRUE(ticket.ok()) << ticket.status().message();
      EXPECT_TRUE(ticket.value().Commit().ok());
    });
    EXPECT_NE(info.reason, ExitReason::kFailed) << info.error.message();
  }
  static void Collect(Isolate& isolate, Mutator::Collection kind) {
    const Status status = isolate.mutator().Collect(kind);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  /// A collection, by number; 0: none.
  static constexpr int kCollections = 5;
  void CollectSomehow(Isolate& isolate, int which) {
    switch (which) {
      case 1:
        return Collect(isolate, Mutator::Collection::kMinor);
      case 2:
        return Collect(isolate, Mutator::Collection::kMajor);
      case 3:
        return CollectAll();
      case 4: {
        std::thread other([this] { CollectAll(); });
        while (!isolate.mutator().PollPending()) platform::YieldThread();
        isolate.mutator().Poll();
        return other.join();
      }
      default:
        return;
    }
  }
};

// ---- Between PrepareExit and Commit

TEST_F(StepsTest, ACollectionBetweenPrepareExitAndCommitVoidsTheTicket) {
  for (const Way way : {Way::kHandedOver, Way::kTinyHandedOver}) {
    for (int which = 0; which < kCollections; ++which) {
      SCOPED_TRACE(std::string(ToString(way)) + ", collection " + std::to_string(which));
      int handled = 0;
      const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
        ++handled;
        ExpectMessage(message, LengthFor(way));
        isolate.Exit();
      });
      const ExitInfo info = RunIsolate([&](Isolate& isolate) {
        MakeMessage(isolate, 0, LengthFor(way));
        const ExitOptions exit{.always_adopt = way == Way::kHandedOver};
        auto ticket = PrepareExit(isolate, receiver.to(), isolate.field(0), nullptr, exit);
        ASSERT_TRUE(ticket.ok()) << ticket.status().message();
        CollectSomehow(isolate, which);
        const Status committed = ticket.value().Commit();
        if (which == 0) {
          EXPECT_TRUE(committed.ok());
          return;
        }
        EXPECT_EQ(committed.code(), StatusCode::kFailedPrecondition);
        EXPECT_THAT(committed.message(),
                    AllOf(HasSubstr("allocated or collected since PrepareExit"),
                          HasSubstr("prepare again")));
        ExpectMessage(isolate.field(0), LengthFor(way));
        ExpectValid();
        { const ExitTicket ended = std::move(ticket).value(); }
        auto again = PrepareExit(isolate, receiver.to(), isolate.field(0), nullptr, exit);
        ASSERT_TRUE(again.ok()) << again.status().message();
        EXPECT_TRUE(again.value().Commit().ok());
      });
      EXPECT_EQ(info.reason, ExitReason::kHandedOver);
      exits.WaitFor(receiver.id);
      EXPECT_EQ(handled, 1);
      ExpectValid();
      if (HasFailure()) return;
    }
  }
}

// ---- During the walk for unsendable objects

TEST_F(StepsTest, ACommitWithoutMemoryForTheWalkIsAskedAgain) {
  const GraphTypes graph_types(heap());
  constexpr size_t kLength = 5'000;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    ExpectList(ObjectOf(message), 1, kLength);
    isolate.Exit();
  });
  uint64_t refused = 0;
  const ExitInfo info = RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, kLength);
    SetField(isolate, 1, RefOf(isolate.mutator().Allocate(*graph_types.socket)));
    auto ticket =
        PrepareExit(isolate, receiver.to(), isolate.field(0), nullptr, {.always_adopt = true});
    ASSERT_TRUE(ticket.ok()) << ticket.status().message();
    for (;;) {
      platform::faults::FailNth(Request::kRaw, refused + 1, false);
      const Status committed = ticket.value().Commit();
      platform::faults::Reset();
      if (committed.ok()) break;
      ++refused;
      EXPECT_EQ(committed.code(), StatusCode::kResourceExhausted) << committed.message();
      EXPECT_THAT(committed.message(), HasSubstr("no memory"));
      ExpectList(ObjectOf(isolate.field(0)), 1, kLength);
      ASSERT_LT(refused, 100u);
    }
  });
  EXPECT_EQ(info.reason, ExitReason::kHandedOver);
  EXPECT_GE(refused, 1u);
  exits.WaitFor(receiver.id);
  ExpectValid();
}

TEST_F(StepsTest, ACollectionOfTheGroupDuringTheUnsendableWalk) {
  const GraphTypes graph_types(heap());
  constexpr size_t kObjectsPerPoll = 1'000;
  for (size_t polls = 1; polls <= 5; ++polls) {
    for (const bool is_reached : {false, true}) {
      SCOPED_TRACE(std::to_string(polls) + (is_reached ? " polls, reached" : " polls"));
      const size_t length = polls * kObjectsPerPoll + 10;
      int handled = 0;
      const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
        ++handled;
        ExpectList(ObjectOf(message), 1, length);
        isolate.Exit();
      });
      RunIsolate([&](Isolate& isolate) {
        MakeList(isolate, 0, 1, length);
        SetField(isolate, 1, RefOf(isolate.mutator().Allocate(*graph_types.socket)));
        if (is_reached) {
          ObjectPtr last = ObjectOf(isolate.field(0));
          while (Load(last, kA)) last = Load(last, kA);
          Link(isolate.mutator(), last, kB, ObjectOf(isolate.field(1)));
        }
        const uint64_t before = heap().stats().group.count;
        std::atomic<bool> done{false};
        std::thread other([&] {
          while (!done.load()) CollectAll();
        });
        // From here on there is one at the first poll, and at as many of the others as it manages.
        while (!isolate.mutator().PollPending()) platform::YieldThread();
        auto ticket =
            PrepareExit(isolate, receiver.to(), isolate.field(0), nullptr, {.always_adopt = true});
        const bool collected = heap().stats().group.count > before;
        done.store(true);
        if (is_reached) {
          ASSERT_FALSE(ticket.ok());
          EXPECT_EQ(ticket.status().code(), StatusCode::kInvalidArgument);
          EXPECT_THAT(ticket.status().message(), HasSubstr("slot 1 -> \"Socket\""));
        } else {
          ASSERT_TRUE(ticket.ok()) << ticket.status().message();
        }
        EXPECT_TRUE(collected) << "there was no collection during the walk";
        {
          NativeScope native(isolate.mutator());
          other.join();
        }
        if (ticket.ok()) {
          // The thread's last collection may have come behind the walk.
          const ExitTicket ended = std::move(ticket).value();
        }
        auto again =
            PrepareExit(isolate, receiver.to(), isolate.field(0), nullptr, {.always_adopt = true});
        ExpectList(ObjectOf(isolate.field(0)), 1, length);
        EXPECT_EQ(again.ok(), !is_reached);
        EXPECT_EQ(again.ok() && again.value().Commit().ok(), !is_reached);
      });
      if (is_reached) KillAndWait(receiver.id);
      exits.WaitFor(receiver.id);
      EXPECT_EQ(handled, is_reached ? 0 : 1);
      ExpectValid();
      if (HasFailure()) return;
    }
  }
}

// ---- On its way, and on arrival

TEST_F(StepsTest, CollectionsWhileItWaitsAndFirstOfAllInTheHandler) {
  for (const Way way : kWays) {
    for (int in_handler = 0; in_handler < kCollections; ++in_handler) {
      for (const int in_flight : {0, 1, 2}) {
        SCOPED_TRACE(std::string(ToString(way)) + ", in flight " + std::to_string(in_flight) +
                     ", in the handler " + std::to_string(in_handler));
        int handled = 0;
        const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
          SetField(isolate, 0, message);
          CollectSomehow(isolate, in_handler);
          ExpectMessage(isolate.field(0), LengthFor(way));
          for (int which = 1; which < kCollections; ++which) {
            CollectSomehow(isolate, which);
            ExpectMessage(isolate.field(0), LengthFor(way));
          }
          if (++handled == 2) isolate.Exit();
        });
        ASSERT_TRUE(group().Pause(receiver.id));
        SendOne(way, receiver.to());
        for (int i = 0; i < in_flight; ++i) {
          CollectAll();
          ExpectValid();
        }
        SendOne(way, receiver.to());
        ASSERT_TRUE(group().Resume(receiver.id));
        exits.WaitFor(receiver.id);
        EXPECT_EQ(handled, 2);
        ExpectValid();
        if (HasFailure()) return;
      }
    }
  }
}

// What has been taken out of the inbox waits for the handler of what came before it.
TEST_F(StepsTest, CollectionsBetweenTheInboxAndTheHandler) {
  for (const Way way : kWays) {
    for (int which = 1; which < kCollections; ++which) {
      SCOPED_TRACE(std::string(ToString(way)) + ", collection " + std::to_string(which));
      int handled = 0;
      const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
        if (message == Immediate(1)) {
          CollectSomehow(isolate, which);
          NativeScope native(isolate.mutator());
          CollectAll();
          ExpectValid();
          return;
        }
        ExpectMessage(message, LengthFor(way));
        if (++handled == 2) isolate.Exit();
      });
      ASSERT_TRUE(group().Pause(receiver.id));
      for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(SendImmediate(group(), receiver.to(), Immediate(1)), SendStatus::kDelivered);
        SendOne(way, receiver.to());
      }
      ASSERT_TRUE(group().Resume(receiver.id));
      exits.WaitFor(receiver.id);
      EXPECT_EQ(handled, 2);
      ExpectValid();
      if (HasFailure()) return;
    }
  }
}

// ---- Unpacking, with every possible room left in the block that is allocated in

TEST_F(StepsTest, AnImageIsUnpackedWithAnyRoomLeftInTheBlock) {
  constexpr size_t kLength = 6;
  constexpr size_t kMostRoom = kLength * sizeof(PairObject) + 64;
  size_t room = 0;
  size_t exact = 0;
  std::atomic<size_t> arrived{0};
  const auto fill = [&](Isolate& isolate) {
    // Arrays of bytes, until `room` is left of a block.
    Mutator& mutator = isolate.mutator();
    const auto left = [&] {
      const uintptr_t top = mutator.record().top();
      return top % kBlockSize == 0 ? 0 : kBlockSize - top % kBlockSize;
    };
    constexpr size_t kLeast = kElements;
    for (int tries = 0; tries < 100 && left() != room; ++tries) {
      const size_t now = left();
      const size_t wanted = now >= room + kLeast ? std::min<size_t>(now - room, 4'096) : 512;
      // Nothing smaller than an empty array may be left over.
      const size_t size =
          now - room - wanted < kLeast && wanted > 2 * kLeast && now != room + wanted
              ? wanted - kLeast
              : wanted;
      ASSERT_TRUE(mutator.AllocateArray(*client.types->bytes, size - kElements));
    }
    if (left() == room) ++exact;
  };
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    if (message == Immediate(1)) return fill(isolate);
    SetField(isolate, room % 10, message);
    ExpectMessage(message, kLength);
    if (room % 64 == 0) {
      Collect(isolate, Mutator::Collection::kMinor);
      ExpectMessage(isolate.field(room % 10), kLength);
    }
    ++arrived;
  });
  for (room = 0; room <= kMostRoom; room += kGranule) {
    SCOPED_TRACE("room " + std::to_string(room));
    ASSERT_TRUE(group().Pause(receiver.id));
    ASSERT_EQ(SendImmediate(group(), receiver.to(), Immediate(1)), SendStatus::kDelivered);
    RunIsolate([&](Isolate& isolate) {
      MakeMessage(isolate, 0, kLength);
      ExpectSent(isolate, receiver.to(), isolate.field(0));
    });
    const size_t before = arrived.load();
    ASSERT_TRUE(group().Resume(receiver.id));
    while (arrived.load() == before) platform::YieldThread();
    if (HasFailure()) break;
  }
  KillAndWait(receiver.id);
  EXPECT_GT(exact, kMostRoom / kGranule / 2);
}

// ---- Refused memory

// Each request for memory that the handling of a message makes is refused in turn: the message is
// handled or its isolate ends for want of memory, and nothing is left either way.
TEST_F(StepsTest, MemoryRefusedToTheReceiver) {
  size_t refused = 0;
  size_t failed = 0;
  size_t handled = 0;
  for (const Way way : kWays) {
    for (const Request request : {Request::kRaw, Request::kCommit}) {
      bool has_more = true;
      for (uint64_t n = 1; has_more; ++n) {
        SCOPED_TRACE(std::string(ToString(way)) + ", request " + std::to_string(n));
        const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
          ++handled;
          // It holds on to it, and needs more than is at hand.
          if (!isolate.SetField(0, message).ok()) return isolate.Exit();
          isolate.mutator().AllocateArray(*client.types->bytes, 4 << 20);
          static_cast<void>(isolate.mutator().Collect(Mutator::Collection::kMajor));
          ExpectMessage(isolate.field(0), LengthFor(way));
          isolate.Exit();
        });
        ASSERT_TRUE(group().Pause(receiver.id));
        SendOne(way, receiver.to());
        group().state().Trim();
        group().state().Trim();
        platform::faults::FailNth(request, n, false);
        ASSERT_TRUE(group().Resume(receiver.id));
        const ExitInfo info = exits.WaitFor(receiver.id);
        has_more = platform::faults::Count(request) >= n;
        refused += has_more;
        platform::faults::Reset();
        if (info.reason == ExitReason::kFailed) {
          ++failed;
          EXPECT_EQ(info.error.code(), StatusCode::kResourceExhausted) << info.error.message();
          EXPECT_THAT(info.error.message(), HasSubstr("a message was lost"));
        }
        ExpectValid();
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GE(handled, 10u);
  EXPECT_GE(refused, 1u);
  EXPECT_LE(failed, refused);
}

// ---- Spawn

TEST_F(StepsTest, ASpawnFailsAtEachRequestForMemory) {
  size_t refused = 0;
  for (const Request request : {Request::kRaw, Request::kMapZeroed, Request::kCommit}) {
    bool has_more = true;
    for (uint64_t n = 1; has_more; ++n) {
      SCOPED_TRACE("request " + std::to_string(n));
      GroupUnderTest fresh;  // where nothing is at hand
      const TestTypes& types = fresh.types();
      std::atomic<int> ran{0};
      platform::faults::FailNth(request, n, false);
      const auto spawned = fresh.TrySpawn([&](Isolate& isolate) {
        ++ran;
        const ObjectPtr object = isolate.mutator().Allocate(*types.pair);
        if (!object) {
          EXPECT_EQ(isolate.mutator().last_error().code(), StatusCode::kResourceExhausted);
        }
      });
      // The listener is told of those that were spawned, and of no others.
      if (spawned.ok()) {
        EXPECT_EQ(fresh.exits.WaitFor(spawned.value()).reason, ExitReason::kReturned);
      } else {
        EXPECT_EQ(spawned.status().code(), StatusCode::kResourceExhausted);
      }
      fresh.group().WaitUntilEmpty();
      EXPECT_EQ(ran, spawned.ok() ? 1 : 0);
      EXPECT_EQ(fresh.exits.count(), spawned.ok() ? 1u : 0u);
      has_more = platform::faults::Count(request) >= n;
      refused += has_more;
      platform::faults::Reset();
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(refused, 2u);
}

TEST_F(StepsTest, AnIsolateWhoseInitializationFails) {
  for (const int fails_at : {0, 1, 2, 3}) {
    SCOPED_TRACE(fails_at);
    std::atomic<int> initialized{0};
    std::atomic<int> cleaned{0};
    client.initialize = [&](Isolate& isolate) -> Status {
      // What it has done by then ends with it.
      if (++initialized != 1 || fails_at == 0) return {StatusCode::kUnsupported, "not today"};
      if (fails_at >= 1) SetField(isolate, 0, RefOf(NewPair(isolate, 1)));
      if (fails_at >= 2) isolate.Hold();
      if (fails_at >= 3) {
        MakeList(isolate, 1, 1, 5'000);
        Collect(isolate, Mutator::Collection::kMajor);
      }
      return {StatusCode::kUnsupported, "not today"};
    };
    client.cleanup = [&](IsolateId, void*) { ++cleaned; };
    const ExitInfo info = RunIsolate([](Isolate&) { ADD_FAILURE() << "it was not initialized"; });
    EXPECT_EQ(info.reason, ExitReason::kFailed);
    EXPECT_EQ(info.error.code(), StatusCode::kUnsupported);
    EXPECT_THAT(info.error.message(), HasSubstr("not today"));
    EXPECT_EQ(initialized, 1);
    EXPECT_EQ(cleaned, 1);
    ExpectValid();
  }
  client.initialize = nullptr;
  client.cleanup = nullptr;
}

}  // namespace
}  // namespace Atoll
