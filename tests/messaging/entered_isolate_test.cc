// Isolates on the embedder's own threads.
#include <gmock/gmock.h>

#include <thread>

#include "tests/messaging/port_fixture.h"

namespace Atoll {
namespace {

using ::testing::HasSubstr;
using Received = EnteredIsolate::Received;

class EnteredIsolateTest : public PortTest {
 protected:
  std::unique_ptr<EnteredIsolate> Enter(SpawnOptions spawn = {}) {
    spawn.on_exit = exits.listener();
    auto entered = EnteredIsolate::Enter(group(), spawn);
    EXPECT_TRUE(entered.ok()) << entered.status().message();
    return entered.ok() ? std::move(entered).value() : nullptr;
  }
};

TEST_F(EnteredIsolateTest, IsCurrentAndManagedUntilItIsDestroyed) {
  auto entered = Enter();
  Isolate& isolate = entered->isolate();
  EXPECT_EQ(Isolate::Current(), &isolate);
  MakeList(isolate, 0, 1, 1000);
  EXPECT_TRUE(isolate.mutator().Collect(Mutator::Collection::kMajor).ok());
  ExpectList(ObjectOf(isolate.field(0)), 1, 1000);
  const IsolateId id = isolate.id();
  entered.reset();
  EXPECT_EQ(Isolate::Current(), nullptr);
  EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kReturned);
}

TEST_F(EnteredIsolateTest, WaitsForMessages) {
  auto entered = Enter();
  HeldPort port;
  uint64_t sum = 0;
  port.Open(entered->isolate(), [&](Isolate&, Ref message) { sum += ValueOf(message); });
  Spawn([&](Isolate& isolate) {
    for (uint64_t i = 1; i <= 100; ++i) ExpectSent(isolate, port, Immediate(i));
  });
  while (sum < 5050) EXPECT_EQ(entered->Receive(), Received::kHandled);
  EXPECT_EQ(sum, 5050u);
  EXPECT_EQ(entered->Receive(0), Received::kTimedOut);
  EXPECT_EQ(entered->Receive(1'000'000), Received::kTimedOut);
  ExpectSent(entered->isolate(), port, Immediate(1));
  EXPECT_EQ(entered->Receive(0), Received::kHandled);
}

TEST_F(EnteredIsolateTest, OthersCollectAndVerifyWhileItWaits) {
  auto entered = Enter();
  MakeList(entered->isolate(), 0, 1, 1000);
  HeldPort port;
  int handled = 0;
  port.Open(entered->isolate(), [&](Isolate&, Ref) { ++handled; });
  std::thread other([&] {
    for (uint64_t i = 0; i < 20; ++i) {
      CollectAll();
      ExpectValid();
      EXPECT_EQ(SendImmediate(group(), port.to(), Immediate(i)), SendStatus::kDelivered);
    }
  });
  while (handled < 20) EXPECT_EQ(entered->Receive(), Received::kHandled);
  other.join();
  ExpectList(ObjectOf(entered->isolate().field(0)), 1, 1000);
}

TEST_F(EnteredIsolateTest, IsToldThatItWasKilled) {
  auto entered = Enter();
  const IsolateId id = entered->isolate().id();
  std::thread killer([&] { group().Kill(id); });
  EXPECT_EQ(entered->Receive(), Received::kEnded);
  killer.join();
  EXPECT_FALSE(entered->isolate().Poll());
  entered.reset();
  EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kKilled);
}

TEST_F(EnteredIsolateTest, OneAtATimeOnAThread) {
  auto entered = Enter();
  auto second = EnteredIsolate::Enter(group(), {});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.status().message(), HasSubstr("is in another isolate; leave that first"));
}

TEST_F(EnteredIsolateTest, AnErrorOfInitializeReachesTheCaller) {
  std::atomic<int> cleaned{0};
  client.initialize = [](Isolate&) { return Status(StatusCode::kUnsupported, "not today"); };
  client.cleanup = [&](IsolateId, void*) { ++cleaned; };
  auto entered = EnteredIsolate::Enter(group(), {});
  ASSERT_FALSE(entered.ok());
  EXPECT_EQ(entered.status().message(), "not today");
  EXPECT_EQ(cleaned, 1);
  EXPECT_EQ(group().isolate_count(), 0u);
}

}  // namespace
}  // namespace Atoll
