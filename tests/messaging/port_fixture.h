// Isolates that get messages: ports whose handlers are a test's lambdas.
#ifndef ATOLL_TESTS_MESSAGING_PORT_FIXTURE_H_
#define ATOLL_TESTS_MESSAGING_PORT_FIXTURE_H_

#include <functional>
#include <memory>
#include <utility>

#include "atoll/messaging.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {

/// A port of an isolate, and what it does with messages. Lives as long as the test.
class HeldPort {
 public:
  using Handler = std::function<void(Isolate&, Ref)>;

  void Open(Isolate& isolate, Handler handler, const PortOptions& options = {}) {
    handler_ = std::move(handler);
    auto port = ReceivePort::Open(
        isolate,
        [](Isolate& current, Ref message, void* data) {
          static_cast<HeldPort*>(data)->handler_(current, message);
        },
        this, options);
    ASSERT_TRUE(port.ok()) << port.status().message();
    port_ = std::move(port).value();
    to_ = port_.send_port();
  }
  void Close() { port_.Close(); }
  /// Also once it is closed.
  const SendPort& to() const { return to_; }

 private:
  Handler handler_;
  ReceivePort port_;
  SendPort to_;
};

class PortTest : public IsolateTest {
 protected:
  /// Spawns an isolate that has a port, and waits until it has.
  IsolateId SpawnReceiver(HeldPort& port, HeldPort::Handler handler, PortOptions options = {}) {
    Event open;
    const IsolateId id = Spawn([&](Isolate& isolate) {
      port.Open(isolate, std::move(handler), options);
      open.Set();
    });
    open.Wait();
    return id;
  }
  static void ExpectSent(Isolate& isolate, const HeldPort& port, Ref message) {
    Status why;
    EXPECT_EQ(Send(isolate, port.to(), message, &why), SendStatus::kDelivered) << why.message();
  }
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_MESSAGING_PORT_FIXTURE_H_
