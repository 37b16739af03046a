// A paused isolate handles nothing, and loses nothing.
#include "atoll/messaging.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

/// An isolate that writes down the numbers sent to it.
class PauseTest : public IsolateTest {
 protected:
  void SetUp() override {
    id_ = Spawn([this](Isolate& isolate) {
      auto opened = ReceivePort::Open(
          isolate,
          [](Isolate& receiver, Ref message, void* data) {
            static_cast<PauseTest*>(data)->Handle(receiver, ValueOf(message));
          },
          this);
      ASSERT_TRUE(opened.ok());
      port_ = std::move(opened).value();
      to_ = port_.send_port();
      opened_.Set();
    });
    opened_.Wait();
    before_end = [this] { port_ = ReceivePort(); };
  }

  void Send(uint64_t number) {
    Status why;
    ASSERT_EQ(SendImmediate(group(), to_, Immediate(number), &why), SendStatus::kDelivered)
        << why.message();
  }
  /// Has the isolate handle a message until go_on_ is set.
  void Occupy() {
    handling_ = std::make_unique<Event>();
    go_on_ = std::make_unique<Event>();
    Send(kStop);
    handling_->Wait();
  }
  void WaitForCount(size_t count) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return numbers_.size() >= count; });
  }
  std::vector<uint64_t> numbers() {
    std::lock_guard lock(mutex_);
    return numbers_;
  }

  static constexpr uint64_t kStop = 1'000'000;
  IsolateId id_;
  std::unique_ptr<Event> go_on_;

 private:
  void Handle(Isolate& isolate, uint64_t number) {
    if (number == kStop) {
      handling_->Set();
      go_on_->Wait(isolate);
    }
    std::lock_guard lock(mutex_);
    numbers_.push_back(number);
    arrived_.notify_all();
  }

  ReceivePort port_;
  SendPort to_;
  Event opened_;
  std::unique_ptr<Event> handling_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<uint64_t> numbers_;
};

TEST_F(PauseTest, MessagesAreKeptInOrder) {
  constexpr uint64_t kCount = 500;
  Occupy();
  ASSERT_TRUE(group().Pause(id_));
  for (uint64_t i = 0; i < kCount; ++i) Send(i);
  go_on_->Set();
  // More for the isolate when it is paused already.
  WaitForCount(1);
  for (uint64_t i = kCount; i < 2 * kCount; ++i) Send(i);
  ASSERT_TRUE(group().Resume(id_));
  WaitForCount(1 + 2 * kCount);
  std::vector<uint64_t> expected{kStop};
  for (uint64_t i = 0; i < 2 * kCount; ++i) expected.push_back(i);
  EXPECT_EQ(numbers(), expected);
}

// All three lie in the inbox when the isolate looks into it.
TEST_F(PauseTest, AResumeBehindThePauseIsNotOverlooked) {
  Occupy();
  ASSERT_TRUE(group().Pause(id_));
  Send(1);
  ASSERT_TRUE(group().Resume(id_));
  Send(2);
  go_on_->Set();
  WaitForCount(3);
  EXPECT_EQ(numbers(), (std::vector<uint64_t>{kStop, 1, 2}));
}

// The pause may be the last envelope that one turn handles, and the resume the first of the next.
TEST_F(PauseTest, AResumeBeyondTheTurnsBoundIsNotOverlooked) {
  size_t count = 0;
  for (int before = 56; before < 72; ++before) {
    SCOPED_TRACE(before);
    Occupy();
    for (int i = 0; i < before; ++i) ASSERT_TRUE(group().Resume(id_));
    ASSERT_TRUE(group().Pause(id_));
    ASSERT_TRUE(group().Resume(id_));
    Send(7);
    go_on_->Set();
    WaitForCount(count += 2);
  }
  EXPECT_EQ(numbers().back(), 7u);
}

TEST_F(PauseTest, TheLastWordCounts) {
  Occupy();
  ASSERT_TRUE(group().Pause(id_));
  ASSERT_TRUE(group().Resume(id_));
  ASSERT_TRUE(group().Pause(id_));
  ASSERT_TRUE(group().Pause(id_));
  Send(1);
  go_on_->Set();
  WaitForCount(1);
  EXPECT_EQ(KillAndWait(id_).reason, ExitReason::kKilled);
  EXPECT_EQ(numbers(), (std::vector<uint64_t>{kStop})) << "it was paused to its end";
}

TEST_F(PauseTest, AKillBehindThePauseIsNotOverlooked) {
  Occupy();
  ASSERT_TRUE(group().Pause(id_));
  ExitLog done;
  group().Kill(id_, done.listener());
  go_on_->Set();
  EXPECT_EQ(done.WaitFor(1).front().reason, ExitReason::kKilled);
  EXPECT_EQ(exits.WaitFor(id_).reason, ExitReason::kKilled);
}

TEST_F(PauseTest, PausedBeforeItsFirstTurn) {
  std::atomic<int> ran{0};
  std::vector<IsolateId> ids;
  RunIsolate([&](Isolate&) {
    for (int i = 0; i < 50; ++i) {
      ids.push_back(Spawn([&](Isolate&) { ran.fetch_add(1); }));
      group().Pause(ids.back());
    }
  });
  // The first turn of any may have begun before it was paused.
  for (const IsolateId id : ids) group().Resume(id);
  for (const IsolateId id : ids) EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kReturned);
  EXPECT_EQ(ran.load(), 50);
}

TEST_F(PauseTest, ManyMessagesForAPausedIsolateCostTheirNumber) {
  constexpr uint64_t kCount = 60'000;
  Occupy();
  ASSERT_TRUE(group().Pause(id_));
  go_on_->Set();
  WaitForCount(1);
  for (uint64_t i = 0; i < kCount; ++i) Send(i);
  ASSERT_TRUE(group().Resume(id_));
  WaitForCount(1 + kCount);
  const std::vector<uint64_t> all = numbers();
  for (uint64_t i = 0; i < kCount; ++i) ASSERT_EQ(all[1 + i], i);
}

// What a control envelope leaves behind must not be visited by a collection of the group.
TEST_F(PauseTest, CollectionsBetweenControlEnvelopes) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(group().Pause(id_));
    ASSERT_TRUE(group().Resume(id_));
    Send(static_cast<uint64_t>(i));
    if (i % 10 == 0) CollectAll();
  }
  WaitForCount(200);
  CollectAll();
  ExpectValid();
  EXPECT_EQ(numbers().size(), 200u);
}

TEST_F(PauseTest, PausingAndResumingFromManyThreadsLosesNothing) {
  constexpr int kThreads = 3;
  constexpr uint64_t kEach = 2'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      for (uint64_t i = 0; i < kEach; ++i) {
        if (i % 5 == 0) group().Pause(id_);
        Send(i);
        if (i % 5 == 0) group().Resume(id_);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(group().Resume(id_));
  WaitForCount(kThreads * kEach);
  EXPECT_EQ(numbers().size(), kThreads * kEach);
}

}  // namespace
}  // namespace Atoll
