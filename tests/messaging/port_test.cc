// Ports open, close, fill up, and never become another.
#include "tests/messaging/messaging_fixture.h"

namespace Atoll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PortTest : public MessagingTest {
 protected:
  /// The bytes that a message of these pairs is counted as.
  static constexpr size_t kPairBytes = sizeof(PairObject);
};

TEST_F(PortTest, AnOpenPortKeepsItsIsolateAndClosingItEndsIt) {
  TestPort* port = nullptr;
  const Receiver receiver = SpawnReceiver([&](Isolate&, Ref message) {
    if (message == Immediate(2)) port->port.Close();
  });
  port = receiver.port;
  EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(1)), SendStatus::kDelivered);
  EXPECT_EQ(exits.count(), 0u);
  EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(2)), SendStatus::kDelivered);
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  Status why;
  EXPECT_EQ(SendImmediate(group(), receiver.to(), Immediate(3), &why), SendStatus::kClosed);
  EXPECT_THAT(why.message(), AllOf(HasSubstr("\"test-group\""), HasSubstr("is closed")));
  EXPECT_STREQ(ToString(SendStatus::kClosed), "closed");
}

TEST_F(PortTest, TheEndOfTheIsolateClosesItsPorts) {
  const Receiver receiver = SpawnReceiver([](Isolate&, Ref) {});
  KillAndWait(receiver.id);
  RunIsolate([&](Isolate& isolate) {
    const Status why =
        ExpectNotSent(isolate, receiver.to(), RefOf(NewPair(isolate, 1)), SendStatus::kClosed);
    EXPECT_EQ(why.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(why.message(), HasSubstr("its port is closed, or the port's isolate has ended"));
  });
  receiver.port->port.Close();
  receiver.port->port.Close();
}

TEST_F(PortTest, AnEmptyPort) {
  EXPECT_FALSE(SendPort());
  RunIsolate([&](Isolate& isolate) {
    const Status why = ExpectNotSent(isolate, SendPort{}, Immediate(1), SendStatus::kClosed);
    EXPECT_THAT(why.message(), HasSubstr("empty"));
  });
}

TEST_F(PortTest, GuessesReachNobody) {
  const Receiver receiver = SpawnReceiver([](Isolate&, Ref) { ADD_FAILURE() << "a message"; });
  SendPort guess = receiver.to();
  for (uint64_t i = 1; i < 1'000; ++i) {
    guess.key = receiver.to().key + i;
    ASSERT_EQ(SendImmediate(group(), guess, Immediate(i)), SendStatus::kClosed);
    guess.index = static_cast<uint32_t>(i * 4'000'000);
    ASSERT_EQ(SendImmediate(group(), guess, Immediate(i)), SendStatus::kClosed);
    guess.index = receiver.to().index;
  }
}

TEST_F(PortTest, APortOfAnotherGroupIsRefusedAndBothAreNamed) {
  GroupUnderTest other;
  std::unique_ptr<ReceivePort> foreign;
  Event opened;
  other.Spawn([&](Isolate& isolate) {
    auto port = ReceivePort::Open(
        isolate, [](Isolate&, Ref, void*) { ADD_FAILURE() << "a message"; }, nullptr);
    ASSERT_TRUE(port.ok());
    foreign = std::make_unique<ReceivePort>(std::move(port).value());
    opened.Set();
  });
  opened.Wait();
  other.before_end = [&] { foreign.reset(); };
  const SendPort to = foreign->send_port();
  RunIsolate([&](Isolate& isolate) {
    const TestPort& own = Open(isolate, [](Isolate&, Ref) {});
    ASSERT_NE(own.to.group, to.group);
    for (const Ref message : {Immediate(1), RefOf(NewPair(isolate, 1))}) {
      const Status why = ExpectNotSent(isolate, to, message, SendStatus::kRefused);
      EXPECT_EQ(why.code(), StatusCode::kInvalidArgument);
      EXPECT_THAT(why.message(), AllOf(HasSubstr("group " + std::to_string(to.group)),
                                       HasSubstr("group " + std::to_string(own.to.group))));
    }
    isolate.Exit();
  });
  EXPECT_EQ(SendImmediate(group(), to, Immediate(1)), SendStatus::kRefused);
  other.End();
}

TEST_F(PortTest, AReopenedPortNeverGetsOldMessages) {
  constexpr uint64_t kRounds = 2'000;
  int handled = 0;
  RunIsolate([&](Isolate& isolate) {
    SendPort before;
    for (uint64_t i = 0; i < kRounds; ++i) {
      TestPort& port = Open(isolate, [&, i](Isolate& self, Ref message) {
        EXPECT_EQ(ValueOf(message), i);
        if (++handled == 1) self.Exit();
      });
      EXPECT_FALSE(port.to == before);
      EXPECT_EQ(Send(isolate, before, Immediate(i)), SendStatus::kClosed);
      before = port.to;
      ExpectSent(isolate, port.to, Immediate(i));
      if (i + 1 != kRounds) port.port.Close();
    }
  });
  EXPECT_EQ(handled, 1) << "only the last one was open when its message came";
}

// Ports come and go on several threads, others send to what may have gone.
TEST_F(PortTest, SendersAndClosersRace) {
  constexpr size_t kIsolates = 4;
  constexpr uint64_t kRounds = 400;
  std::mutex mutex;
  std::vector<SendPort> known(kIsolates);
  std::atomic<size_t> ended{0};
  std::atomic<uint64_t> delivered{0};
  std::atomic<uint64_t> refused{0};
  for (size_t n = 0; n < kIsolates; ++n) {
    Spawn([&, n](Isolate& isolate) {
      for (uint64_t i = 0; i < kRounds && isolate.Poll(); ++i) {
        const uint64_t tag = n * kRounds + i;
        TestPort& port = Open(isolate, [tag](Isolate&, Ref message) {
          EXPECT_EQ(ValueOf(message) >> 20, tag) << "a message for another port";
        });
        {
          std::lock_guard lock(mutex);
          known[n] = port.to;
          known[n].group = static_cast<uint32_t>(tag);  // for the test's sake
        }
        for (size_t k = 0; k < kIsolates; ++k) {
          SendPort to;
          {
            std::lock_guard lock(mutex);
            to = known[k];
          }
          const uint64_t to_tag = std::exchange(to.group, port.to.group);
          const Ref message = Immediate(to_tag << 20 | i);
          const SendStatus status = Send(isolate, to, message);
          EXPECT_TRUE(status == SendStatus::kDelivered || status == SendStatus::kClosed);
          (status == SendStatus::kDelivered ? delivered : refused).fetch_add(1);
        }
        port.port.Close();
      }
      ended.fetch_add(1);
    });
  }
  group().WaitUntilEmpty();
  EXPECT_EQ(ended.load(), kIsolates);
  EXPECT_EQ(delivered.load() + refused.load(), kIsolates * kIsolates * kRounds);
  EXPECT_GE(delivered.load(), kIsolates * kRounds) << "each reached itself";
}

TEST_F(PortTest, FullByCountAndOpenAgainAfter) {
  int handled = 0;
  TestPort* port = nullptr;
  RunIsolate([&](Isolate& isolate) {
    port = &Open(isolate,
                 [&](Isolate& self, Ref) {
                   // Each that is handled makes room for one.
                   if (++handled == 1) {
                     ExpectSent(self, port->to, RefOf(NewPair(self, 4)));
                     EXPECT_EQ(Send(self, port->to, RefOf(NewPair(self, 5))), SendStatus::kFull);
                   }
                   if (handled == 4) port->port.Close();
                 },
                 {.max_messages = 3});
    for (int i = 0; i < 3; ++i) ExpectSent(isolate, port->to, RefOf(NewPair(isolate, 1)));
    for (int i = 0; i < 3; ++i) {
      const Status why =
          ExpectNotSent(isolate, port->to, RefOf(NewPair(isolate, 2)), SendStatus::kFull);
      EXPECT_EQ(why.code(), StatusCode::kResourceExhausted);
      EXPECT_THAT(why.message(), AllOf(HasSubstr("full: 3 messages"), HasSubstr("send it again")));
    }
    EXPECT_EQ(SendImmediate(group(), port->to, Immediate(1)), SendStatus::kFull);
  });
  EXPECT_EQ(handled, 4);
}

TEST_F(PortTest, FullByBytesAndOverQuota) {
  int handled = 0;
  TestPort* port = nullptr;
  RunIsolate([&](Isolate& isolate) {
    port = &Open(isolate,
                 [&](Isolate&, Ref) {
                   if (++handled == 2) port->port.Close();
                 },
                 {.max_bytes = 2 * kPairBytes + 8});
    ExpectSent(isolate, port->to, RefOf(NewPair(isolate, 1)));
    ExpectSent(isolate, port->to, RefOf(NewPair(isolate, 2)));
    const Status full =
        ExpectNotSent(isolate, port->to, RefOf(NewPair(isolate, 3)), SendStatus::kFull);
    EXPECT_THAT(full.message(), HasSubstr("64 bytes wait"));
    for (const size_t count : {100u, 2'000u}) {
      MakeList(isolate, 0, 1, count);
      const Status why = ExpectNotSent(isolate, port->to, isolate.field(0), SendStatus::kOverQuota);
      EXPECT_EQ(why.code(), StatusCode::kResourceExhausted);
      EXPECT_THAT(why.message(),
                  AllOf(HasSubstr("takes 72"), HasSubstr("open the port with more")));
      ExpectList(ObjectOf(isolate.field(0)), 1, count);
    }
  });
  EXPECT_EQ(handled, 2);
}

TEST_F(PortTest, ImmediatesFillAPortThatIsBoundedByBytes) {
  int handled = 0;
  TestPort* port = nullptr;
  RunIsolate([&](Isolate& isolate) {
    port = &Open(isolate,
                 [&](Isolate&, Ref) {
                   if (++handled == 2) port->port.Close();
                 },
                 {.max_bytes = 2 * sizeof(Word)});
    ExpectSent(isolate, port->to, Immediate(1));
    EXPECT_EQ(SendImmediate(group(), port->to, Immediate(2)), SendStatus::kDelivered);
    const Status full = ExpectNotSent(isolate, port->to, Immediate(3), SendStatus::kFull);
    EXPECT_THAT(full.message(), HasSubstr("16 bytes wait"));
    EXPECT_EQ(SendImmediate(group(), port->to, Immediate(3)), SendStatus::kFull);
  });
  EXPECT_EQ(handled, 2);
}

// What waited at a port that has been closed does not fill, nor empty, the next one.
TEST_F(PortTest, ABoundedPortCountsItsOwnMessagesAlone) {
  int handled = 0;
  TestPort* last = nullptr;
  RunIsolate([&](Isolate& isolate) {
    for (int round = 0; round < 3; ++round) {
      TestPort& port = Open(isolate, [](Isolate&, Ref) { ADD_FAILURE() << "of a closed port"; },
                            {.max_messages = 2, .max_bytes = 1'000});
      for (int i = 0; i < 2; ++i) ExpectSent(isolate, port.to, RefOf(NewPair(isolate, 1)));
      EXPECT_EQ(Send(isolate, port.to, RefOf(NewPair(isolate, 1))), SendStatus::kFull);
      port.port.Close();
    }
    // When its own messages come, the others have all been freed.
    last = &Open(isolate,
                 [&](Isolate& self, Ref) {
                   if (++handled == 1) {
                     ExpectSent(self, last->to, Immediate(1));
                     EXPECT_EQ(Send(self, last->to, Immediate(1)), SendStatus::kFull);
                   }
                   if (handled == 3) last->port.Close();
                 },
                 {.max_messages = 2, .max_bytes = 1'000});
    for (int i = 0; i < 2; ++i) ExpectSent(isolate, last->to, Immediate(1));
    EXPECT_EQ(Send(isolate, last->to, Immediate(1)), SendStatus::kFull);
  });
  EXPECT_EQ(handled, 3);
}

TEST_F(PortTest, ManySendersNeverExceedTheBound) {
  constexpr uint32_t kBound = 10;
  constexpr int kSenders = 4;
  constexpr int kEach = 2'000;
  options.workers = kSenders + 1;  // senders never give theirs up
  std::atomic<int> waiting{0};
  std::atomic<int> left{kSenders * kEach};
  const Receiver receiver = SpawnReceiver(
      [&](Isolate& isolate, Ref) {
        waiting.fetch_sub(1);
        if (left.fetch_sub(1) == 1) isolate.Exit();
      },
      {.max_messages = kBound});
  for (int s = 0; s < kSenders; ++s) {
    Spawn([&](Isolate& isolate) {
      for (int i = 0; i < kEach;) {
        const SendStatus status = Send(isolate, receiver.to(), RefOf(NewPair(isolate, 1)));
        if (status == SendStatus::kDelivered) {
          // Each sender may be between the delivery and the count, and so may the receiver.
          EXPECT_LE(waiting.fetch_add(1), static_cast<int>(kBound) + kSenders);
          ++i;
        } else {
          ASSERT_EQ(status, SendStatus::kFull);
          platform::YieldThread();
        }
        if (!isolate.Poll()) return;
      }
    });
  }
  EXPECT_EQ(exits.WaitFor(receiver.id).reason, ExitReason::kReturned);
  EXPECT_EQ(left.load(), 0);
}

}  // namespace
}  // namespace Atoll
