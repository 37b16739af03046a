// Isolates with ports for tests of messages.
#ifndef ATOLL_TESTS_MESSAGING_MESSAGING_FIXTURE_H_
#define ATOLL_TESTS_MESSAGING_MESSAGING_FIXTURE_H_

#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "atoll/messaging.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {

/// A port whose handler is a lambda.
struct TestPort {
  using Handler = std::function<void(Isolate&, Ref)>;
  Handler handler;
  ReceivePort port;
  SendPort to;  ///< stays when the port is closed
};

class MessagingTest : public IsolateTest {
 protected:
  MessagingTest() {
    before_end = [this] {
      std::lock_guard lock(ports_mutex_);
      ports_.clear();
    };
  }

  /// Opens a port of the isolate.
  TestPort& Open(Isolate& isolate, TestPort::Handler handler, const PortOptions& bounds = {}) {
    TestPort* port = nullptr;
    {
      std::lock_guard lock(ports_mutex_);
      port = &ports_.emplace_back();
    }
    port->handler = std::move(handler);
    auto opened = ReceivePort::Open(
        isolate,
        [](Isolate& receiver, Ref message, void* data) {
          EXPECT_EQ(Isolate::Current(), &receiver);
          EXPECT_EQ(receiver.mutator().state(), MutatorState::kManaged);
          static_cast<TestPort*>(data)->handler(receiver, message);
        },
        port, bounds);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    port->port = std::move(opened).value();
    port->to = port->port.send_port();
    return *port;
  }
  /// An isolate that lives for its port.
  struct Receiver {
    IsolateId id;
    TestPort* port;
    const SendPort& to() const { return port->to; }
  };
  Receiver SpawnReceiver(TestPort::Handler handler, const PortOptions& bounds = {}) {
    Event opened;
    Receiver receiver{};
    receiver.id = Spawn([&](Isolate& isolate) {
      receiver.port = &Open(isolate, std::move(handler), bounds);
      opened.Set();
    });
    opened.Wait();
    return receiver;
  }

  static void ExpectSent(Isolate& sender, const SendPort& to, Ref message) {
    Status why;
    EXPECT_EQ(Send(sender, to, message, &why), SendStatus::kDelivered) << why.message();
  }
  /// Sends, is refused, and returns why.
  static Status ExpectNotSent(Isolate& sender, const SendPort& to, Ref message,
                              SendStatus expected) {
    Status why;
    const SendStatus status = Send(sender, to, message, &why);
    EXPECT_EQ(status, expected) << ToString(status) << ": " << why.message();
    EXPECT_FALSE(why.ok());
    return why;
  }

 private:
  std::mutex ports_mutex_;
  std::deque<TestPort> ports_;
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_MESSAGING_MESSAGING_FIXTURE_H_
