// What is sent arrives: the same graph, once, in order.
#include <algorithm>
#include <numeric>

#include "atoll/handles.h"
#include "tests/heap/stressed.h"
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

class SendTest : public MessagingTest {
 protected:
  /// Sends what `make` returns to an isolate of its own, which calls `check` and ends.
  void SendOne(const std::function<Ref(Isolate&)>& make,
               const std::function<void(Isolate&, Ref)>& check) {
    int handled = 0;
    const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
      ++handled;
      check(isolate, message);
      isolate.Exit();
    });
    RunIsolate([&](Isolate& isolate) { ExpectSent(isolate, receiver.to(), make(isolate)); });
    EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
    EXPECT_EQ(handled, 1);
    ExpectValid();
  }
  ObjectPtr NewBytes(Isolate& isolate, size_t length, int fill) {
    const ObjectPtr bytes = isolate.mutator().AllocateArray(*client.types->bytes, length);
    EXPECT_TRUE(bytes) << isolate.mutator().last_error().message();
    std::memset(reinterpret_cast<void*>(bytes.address() + kElements), fill, length);
    return bytes;
  }
};

TEST_F(SendTest, Immediates) {
  for (const Ref word : {Ref{}, Immediate(0), Immediate(77), Ref{~Word{0}}}) {
    SendOne([&](Isolate&) { return word; },
            [&](Isolate&, Ref message) { EXPECT_EQ(message, word); });
  }
}

TEST_F(SendTest, SingleObjectsOfAllSizes) {
  for (const size_t length : {0u, 1u, 8u, 40u, 48u, 49u, 500u, 4'000u, 8'160u, 8'170u, 8'176u,
                              8'200u, 30'000u, 40'000u, 3'000'000u}) {
    SCOPED_TRACE(length);
    SendOne([&](Isolate& isolate) { return RefOf(NewBytes(isolate, length, 42)); },
            [&](Isolate& isolate, Ref message) {
              const ObjectPtr bytes = ObjectOf(message);
              ASSERT_EQ(&isolate.mutator().TypeOf(bytes), client.types->bytes);
              ASSERT_EQ(isolate.mutator().LengthOf(bytes), length);
              for (size_t i = 0; i < length; i += length / 100 + 1) {
                ASSERT_EQ(*reinterpret_cast<char*>(bytes.address() + kElements + i), 42);
              }
              SetField(isolate, 0, message);
              ASSERT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
              EXPECT_EQ(isolate.mutator().LengthOf(ObjectOf(isolate.field(0))), length);
            });
  }
}

// Of a few objects, of some KiB, of more than an image holds, and of many blocks.
TEST_F(SendTest, GraphsKeepCyclesSharingAndHashes) {
  for (const size_t count : {2u, 5u, 200u, 255u, 256u, 257u, 1'000u, 50'000u}) {
    SCOPED_TRACE(count);
    uint32_t hash = 0;
    SendOne(
        [&](Isolate& isolate) {
          MakeList(isolate, 0, 1, count);
          const ObjectPtr head = ObjectOf(isolate.field(0));
          ObjectPtr last = head;
          while (Load(last, kA)) last = Load(last, kA);
          Link(isolate.mutator(), last, kB, head);
          Link(isolate.mutator(), head, kB, last);
          hash = isolate.mutator().IdentityHash(last);
          return isolate.field(0);
        },
        [&](Isolate& isolate, Ref message) {
          SetField(isolate, 0, message);
          for (int i = 0; i < 2; ++i) {
            const ObjectPtr head = ObjectOf(isolate.field(0));
            ExpectList(head, 1, count);
            const ObjectPtr last = Load(head, kB);
            EXPECT_EQ(IdAt(last), count);
            EXPECT_EQ(Load(last, kB), head);
            EXPECT_EQ(isolate.mutator().IdentityHash(last), hash);
            ASSERT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
          }
        });
  }
}

TEST_F(SendTest, AListOfMillionsOfNodes) {
  const size_t count = HugeListNodes(heap());
  size_t seen = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    for (ObjectPtr at = ObjectOf(message); at; at = Load(at, kA)) {
      ASSERT_EQ(IdAt(at), seen);
      ++seen;
    }
    isolate.Exit();
  });
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 0, count);
    ExpectSent(isolate, receiver.to(), isolate.field(0));
  });
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  EXPECT_EQ(seen, count);
}

TEST_F(SendTest, TheSendersGraphIsItsOwnStill) {
  for (const size_t count : {1u, 100u, 5'000u}) {
    int handled = 0;
    TestPort* port = nullptr;
    RunIsolate([&](Isolate& isolate) {
      MakeList(isolate, 0, 1, count);
      port = &Open(isolate, [&](Isolate& self, Ref message) {
        ExpectList(ObjectOf(message), 1, count);
        EXPECT_FALSE(message == self.field(0));
        EXPECT_FALSE(message == self.field(1)) << "each is a copy of its own";
        EXPECT_EQ(IdAt(ObjectOf(self.field(0))), 999u);
        SetField(self, 1, message);
        if (++handled == 2) port->port.Close();
      });
      ExpectSent(isolate, port->to, isolate.field(0));
      ExpectSent(isolate, port->to, isolate.field(0));
      ExpectList(ObjectOf(isolate.field(0)), 1, count);
      IdAt(ObjectOf(isolate.field(0))) = 999;
    });
    EXPECT_EQ(handled, 2);
  }
}

TEST_F(SendTest, ToItselfManyTimes) {
  constexpr uint64_t kRounds = 5'000;
  uint64_t seen = 0;
  TestPort* port = nullptr;
  RunIsolate([&](Isolate& isolate) {
    port = &Open(isolate, [&](Isolate& self, Ref message) {
      EXPECT_EQ(IdAt(ObjectOf(message)), seen);
      if (++seen == kRounds) return port->port.Close();
      ExpectSent(self, port->to, RefOf(NewPair(self, seen)));
    });
    ExpectSent(isolate, port->to, RefOf(NewPair(isolate, 0)));
  });
  EXPECT_EQ(seen, kRounds);
}

TEST_F(SendTest, InOrderFromEachOfManySenders) {
  constexpr uint64_t kSenders = 8;
  constexpr uint64_t kEach = 2'000;
  std::vector<uint64_t> next(kSenders, 0);
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    const ObjectPtr head = ObjectOf(message);
    const uint64_t sender = IdAt(head) / kEach;
    ASSERT_EQ(IdAt(head) % kEach, next[sender]++);
    // Now and then a long one, which comes by another way.
    if (Load(head, kA)) ExpectList(Load(head, kA), 1, 300);
    uint64_t all = 0;
    for (const uint64_t n : next) all += n;
    if (all == kSenders * kEach) isolate.Exit();
  });
  for (uint64_t s = 0; s < kSenders; ++s) {
    Spawn([&, s](Isolate& isolate) {
      MakeList(isolate, 0, 1, 300);
      for (uint64_t i = 0; i < kEach; ++i) {
        const ObjectPtr head = NewPair(isolate, s * kEach + i);
        if (i % 100 == 50) Link(isolate.mutator(), head, kA, ObjectOf(isolate.field(0)));
        ExpectSent(isolate, receiver.to(), RefOf(head));
        if (!isolate.Poll()) return;
      }
    });
  }
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  EXPECT_EQ(std::accumulate(next.begin(), next.end(), uint64_t{0}), kSenders * kEach);
}

// Each goes on for ever, by messages to itself: whoever has had a turn waits for all others'.
TEST_F(SendTest, NoSenderIsAheadOfAnother) {
  options.workers = 1;
  constexpr size_t kSenders = 6;
  constexpr uint64_t kEach = 2'000;
  std::vector<uint64_t> seen(kSenders, 0);
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    ++seen[ValueOf(message)];
    const auto [least, most] = std::minmax_element(seen.begin(), seen.end());
    ASSERT_LE(*most - *least, 2u);
    if (*least == kEach) isolate.Exit();
  });
  std::vector<TestPort*> ports(kSenders, nullptr);
  // By one isolate, in one turn: all begin together.
  RunIsolate([&](Isolate&) {
    for (size_t s = 0; s < kSenders; ++s) {
      Spawn([&, s](Isolate& isolate) {
        const auto go_on = [&, s](Isolate& self, Ref) {
          if (Send(self, receiver.to(), Immediate(s)) != SendStatus::kDelivered) return self.Exit();
          ExpectSent(self, ports[s]->to, Ref{});
        };
        ports[s] = &Open(isolate, go_on);
        go_on(isolate, Ref{});
      });
    }
  });
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  group().WaitUntilEmpty();
}

TEST_F(SendTest, ImmediatesFromThreadsOutside) {
  constexpr uint64_t kThreads = 3;
  constexpr uint64_t kEach = 5'000;
  std::vector<uint64_t> next(kThreads, 0);
  uint64_t count = 0;
  const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref message) {
    const uint64_t value = ValueOf(message);
    EXPECT_EQ(value % kEach, next[value / kEach]++);
    if (++count == kThreads * kEach) isolate.Exit();
  });
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(t * kEach + i)),
                  SendStatus::kDelivered);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  EXPECT_EQ(count, kThreads * kEach);
}

// A ring of isolates: each hop wakes the next, on whichever worker.
TEST_F(SendTest, RoundARing) {
  constexpr size_t kIsolates = 50;
  constexpr uint64_t kHops = 20'000;
  std::vector<Receiver> ring(kIsolates);
  uint64_t hops = 0;
  Event ended;
  for (size_t i = 0; i < kIsolates; ++i) {
    ring[i] = SpawnReceiver([&, i](Isolate& isolate, Ref message) {
      EXPECT_EQ(IdAt(ObjectOf(message)), hops);
      if (++hops == kHops) return ended.Set();
      const ObjectPtr next = NewPair(isolate, hops);
      ExpectSent(isolate, ring[(i + 1) % kIsolates].to(), RefOf(next));
    });
  }
  RunIsolate(
      [&](Isolate& isolate) { ExpectSent(isolate, ring[0].to(), RefOf(NewPair(isolate, 0))); });
  ended.Wait();
  EXPECT_EQ(hops, kHops);
}

// What is never handled is freed: the fixture checks that nothing is left of it.
TEST_F(SendTest, MessagesToOneThatEndsBeforeAreFreed) {
  for (int round = 0; round < 30; ++round) {
    Event blocked;
    Event go_on;
    int handled = 0;
    const Receiver receiver = SpawnReceiver([&](Isolate& isolate, Ref) {
      ++handled;
      blocked.Set();
      go_on.Wait(isolate);
      isolate.Exit();
    });
    RunIsolate([&](Isolate& isolate) {
      for (const size_t count : {1u, 2u, 100u, 1'000u}) {
        MakeList(isolate, 0, 1, count);
        for (int i = 0; i < 5; ++i) ExpectSent(isolate, receiver.to(), isolate.field(0));
        ExpectSent(isolate, receiver.to(), Immediate(count));
      }
    });
    blocked.Wait();
    if (round % 2 == 0) group().Kill(receiver.id);
    go_on.Set();
    exits.WaitFor(receiver.id);
    EXPECT_EQ(handled, 1);
  }
}

TEST_F(SendTest, ShutdownWithMessagesOnTheirWay) {
  constexpr size_t kIsolates = 20;
  std::vector<Receiver> receivers(kIsolates);
  std::atomic<uint64_t> handled{0};
  Event busy;
  for (size_t i = 0; i < kIsolates; ++i) {
    receivers[i] = SpawnReceiver([&, i](Isolate& isolate, Ref message) {
      // Each message becomes two: these only grow in number.
      HandleScope scope(isolate.mutator());
      const LocalRef kept(isolate.mutator(), message);
      Send(isolate, receivers[(i + 1) % kIsolates].to(), kept.Get());
      Send(isolate, receivers[(i + 7) % kIsolates].to(), kept.Get());
      if (handled.fetch_add(1) == 2'000) busy.Set();
    });
  }
  RunIsolate([&](Isolate& isolate) {
    MakeList(isolate, 0, 1, 10);
    ExpectSent(isolate, receivers[0].to(), isolate.field(0));
    MakeList(isolate, 0, 1, 400);
    ExpectSent(isolate, receivers[1].to(), isolate.field(0));
  });
  busy.Wait();
  group().Shutdown();
  EXPECT_GT(handled.load(), 2'000u);
}

}  // namespace
}  // namespace Atoll
