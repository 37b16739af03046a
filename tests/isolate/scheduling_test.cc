// Who runs when, and that everybody does.
#include "atoll/messaging.h"
#include "atoll/safepoint_mutex.h"
#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

class SchedulingTest : public IsolateTest {};

TEST_F(SchedulingTest, OneThatIsNativeForLongHoldsNoWorker) {
  options.workers = 1;
  for (int round = 0; round < 20; ++round) {
    Event other_ran;
    std::atomic<bool> waited{false};
    const IsolateId waiting = Spawn([&](Isolate& isolate) {
      Spawn([&](Isolate& other) {
        EXPECT_TRUE(other.Poll());
        other_ran.Set();
      });
      other_ran.Wait(isolate);
      waited.store(true);
      EXPECT_EQ(Isolate::Current(), &isolate);
      NewPair(isolate, 1);
    });
    EXPECT_EQ(exits.WaitFor(waiting).reason, ExitReason::kReturned);
    EXPECT_TRUE(waited.load());
  }
}

// Each of these waits for the next: as many threads are needed as there are isolates.
TEST_F(SchedulingTest, AChainOfNativeOnes) {
  options.workers = 2;
  constexpr size_t kLength = 20;
  std::vector<Event> events(kLength + 1);
  for (size_t i = 0; i < kLength; ++i) {
    Spawn([&, i](Isolate& isolate) {
      events[i + 1].Wait(isolate);
      events[i].Set();
    });
  }
  events[kLength].Set();
  group().WaitUntilEmpty();
  EXPECT_TRUE(events[0].happened());
  EXPECT_EQ(exits.count(), kLength);
}

// Waiting for a lock of the heap, it is blocked, not native.
TEST_F(SchedulingTest, OneThatIsBlockedForLongHoldsNoWorker) {
  options.workers = 1;
  Event ran;
  SafepointMutex mutex(1, "test");
  std::thread outside;
  RunIsolate([&](Isolate& isolate) {
    Event locked;
    outside = std::thread([&] {
      mutex.Lock();
      locked.Set();
      ran.Wait();
      mutex.Unlock();
    });
    locked.Wait(isolate);
    Spawn([&](Isolate&) { ran.Set(); });
    SafepointMutexLock lock(mutex);  // until the other isolate has run
    EXPECT_TRUE(ran.happened());
  });
  outside.join();
}

// What a running isolate has woken does not wait for the end of its turn.
TEST_F(SchedulingTest, TheWokenOneRunsBesideItsWaker) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> ran{false};
    RunIsolate([&](Isolate& isolate) {
      Spawn([&](Isolate&) { ran.store(true); });
      EXPECT_TRUE(PollUntil(isolate, [&] { return ran.load(); }));
    });
    EXPECT_TRUE(ran.load());
  }
}

// As many as there are workers run at the same time, whoever readied them and wherever they lay.
TEST_F(SchedulingTest, NoWorkerSleepsWhileAnIsolateIsReady) {
  options.workers = 3;
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> present{0};
    const auto meet = [&](Isolate& isolate) {
      present.fetch_add(1);
      EXPECT_TRUE(PollUntil(isolate, [&] { return present.load() == 3; }));
    };
    if (round % 2 == 0) {
      for (int i = 0; i < 3; ++i) Spawn(meet);
    } else {
      Spawn([&](Isolate& isolate) {
        Spawn(meet);
        Spawn(meet);
        meet(isolate);
      });
    }
    group().WaitUntilEmpty();
    ASSERT_EQ(present.load(), 3);
  }
}

// Spawned by an isolate that may have lost its worker meanwhile.
TEST_F(SchedulingTest, SpawningAndKillingFromNativeState) {
  options.workers = 1;
  for (int round = 0; round < 200; ++round) {
    RunIsolate([&](Isolate& isolate) {
      Event ran;
      NativeScope native(isolate.mutator());
      const IsolateId idle = Spawn([](Isolate& other) { other.Hold(); });
      Spawn([&](Isolate&) { ran.Set(); });
      ran.Wait();
      EXPECT_EQ(KillAndWait(idle).reason, ExitReason::kKilled);
    });
  }
}

// Who is stopped for a collection is not away: its worker stays with its thread.
TEST_F(SchedulingTest, StopsOfTheGroupTakeNoWorkerFromItsThread) {
  std::mutex mutex;
  std::map<std::thread::id, int> threads;
  client.enter = [&](Isolate&) {
    std::lock_guard lock(mutex);
    ++threads[std::this_thread::get_id()];
  };
  std::atomic<bool> ended{false};
  Event begun;
  for (int i = 0; i < 2; ++i) {
    Spawn([&](Isolate& isolate) {
      MakeList(isolate, 0, 1, 20'000);
      begun.Set();
      EXPECT_TRUE(PollUntil(isolate, [&] { return ended.load(); }));
    });
  }
  begun.Wait();
  for (int i = 0; i < 30; ++i) {
    CollectAll();
    Spawn([](Isolate&) {});
  }
  ended.store(true);
  group().WaitUntilEmpty();
  EXPECT_LE(threads.size(), 2u) << "no more than there are workers";
  EXPECT_GE(threads.size(), 1u);
}

TEST_F(SchedulingTest, AHundredThousandIsolatesAlive) {
  constexpr size_t kCount = 100'000;
  std::atomic<size_t> ran{0};
  for (size_t i = 0; i < kCount; ++i) {
    SpawnOptions spawn;
    spawn.data = &ran;
    spawn.entry = [](Isolate& isolate, void* data) {
      isolate.Hold();
      static_cast<std::atomic<size_t>*>(data)->fetch_add(1);
    };
    ASSERT_TRUE(group().Spawn(spawn).ok());
  }
  RunIsolate([&](Isolate& isolate) {
    EXPECT_TRUE(PollUntil(isolate, [&] { return ran.load() == kCount; }));
  });
  EXPECT_GE(group().isolate_count(), kCount);
  ExpectValid();
  CollectAll();
  EXPECT_EQ(heap().stats().region_bytes / kCount, 0u) << "they own no block";
  group().Shutdown();
  EXPECT_EQ(group().isolate_count(), 0u);
}

TEST_F(SchedulingTest, SeveralGroupsHaveNothingInCommon) {
  GroupUnderTest other;
  other.options.name = "other-group";
  constexpr int kRounds = 500;
  std::atomic<int> here{0};
  std::atomic<int> there{0};
  other.group();
  // Each isolate spawns in both groups.
  std::function<void(Isolate&, int)> spread = [&](Isolate& isolate, int left) {
    const bool is_here = &isolate.group() == &group();
    (is_here ? here : there).fetch_add(1);
    NewPair(isolate, is_here ? *client.types : *other.client.types, 1);
    if (left == 0) return;
    GroupUnderTest& own = is_here ? *this : other;
    GroupUnderTest& foreign = is_here ? other : *this;
    foreign.Spawn([&, left](Isolate& next) { spread(next, left - 1); });
    const IsolateId idle = foreign.Spawn([](Isolate& next) { next.Hold(); });
    foreign.group().Kill(idle);
    own.Spawn([](Isolate& next) { EXPECT_TRUE(next.Poll()); });
  };
  for (int i = 0; i < 4; ++i) Spawn([&](Isolate& isolate) { spread(isolate, kRounds); });
  while (here.load() + there.load() != 4 * (kRounds + 1)) platform::YieldThread();
  group().WaitUntilEmpty();
  other.group().WaitUntilEmpty();
  EXPECT_EQ(here.load(), 4 * (kRounds / 2 + 1));
  EXPECT_EQ(there.load(), 4 * (kRounds / 2));
  other.End();
}

// Listeners and clean-up run in no isolate, and may do what threads outside do.
TEST_F(SchedulingTest, ListenersMaySpawn) {
  constexpr int kCount = 2'000;
  std::atomic<int> left{kCount};
  std::atomic<int> ran{0};
  client.cleanup = [&](IsolateId, void*) {
    if (left.fetch_sub(1) > 0) Spawn([&](Isolate&) { ran.fetch_add(1); });
  };
  Spawn([&](Isolate&) { ran.fetch_add(1); });
  group().WaitUntilEmpty();
  EXPECT_EQ(ran.load(), kCount + 1);
}

// The monitor, which hands on the workers of those who are native, must not wait for one that has
// just come back.
TEST_F(SchedulingTest, OneThatComesBackAndDoesNotPollHoldsUpNobodyElse) {
  options.workers = 2;
  constexpr int kRounds = 1'000;
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<bool> ran{false};
    std::atomic<bool> is_away{false};
    Event go_on;
    const IsolateId returning = Spawn([&](Isolate& isolate) {
      {
        NativeScope native(isolate.mutator());
        is_away.store(true);
        const uint64_t start = platform::NowNanos();
        while (platform::NowNanos() - start < 20'000 + 70u * static_cast<uint64_t>(round)) {
        }
      }
      while (!ran.load()) platform::SpinPause();
    });
    while (!is_away.load()) platform::YieldThread();
    const IsolateId waiting = Spawn([&](Isolate& isolate) {
      Spawn([&](Isolate&) {
        ran.store(true);
        go_on.Set();
      });
      go_on.Wait(isolate);
    });
    EXPECT_EQ(exits.WaitFor(returning).reason, ExitReason::kReturned);
    EXPECT_EQ(exits.WaitFor(waiting).reason, ExitReason::kReturned);
    group().WaitUntilEmpty();
  }
}

// Nobody spins for a region, and all get one in the end.
TEST_F(SchedulingTest, WhoGetsNoRegionWaitsForOne) {
  using platform::faults::Request;
  group();
  platform::faults::FailNth(Request::kPartId, 1, true);
  constexpr int kCount = 500;
  std::atomic<int> ran{0};
  for (int i = 0; i < kCount; ++i) {
    Spawn([&](Isolate& isolate) {
      NewPair(isolate, 1);
      ran.fetch_add(1);
    });
  }
  while (!group().state().scheduler.is_idle()) platform::YieldThread();
  EXPECT_EQ(ran.load(), 0);
  platform::faults::Reset();
  group().WaitUntilEmpty();
  EXPECT_EQ(ran.load(), kCount);
}

// The few regions that there are serve all.
TEST_F(SchedulingTest, WithoutFurtherRegionsTheyTakeTurns) {
  using platform::faults::Request;
  group();
  platform::faults::FailNth(Request::kPartId, 3, true);
  constexpr int kCount = 100;
  std::atomic<int> ran{0};
  for (int i = 0; i < kCount; ++i) {
    Spawn([&](Isolate& isolate) {
      EXPECT_TRUE(isolate.Poll());
      ran.fetch_add(1);
    });
  }
  group().WaitUntilEmpty();
  EXPECT_EQ(ran.load(), kCount);
  platform::faults::Reset();
}

// What nobody uses goes back to the system although nothing is collected any more.
TEST_F(SchedulingTest, FreeMemoryOfAnIdleGroupGoesBack) {
  // Longer than the monitor looks after the memory of isolates that have ended.
  options.heap.decay_nanos = 900'000'000;
  const size_t before = heap().stats().mapped_bytes;
  RunIsolate([&](Isolate& isolate) {
    EXPECT_TRUE(isolate.mutator().AllocateArray(*client.types->bytes, size_t{64} << 20));
    EXPECT_GE(heap().stats().mapped_bytes, before + (size_t{64} << 20));
  });
  while (heap().stats().mapped_bytes >= before + (size_t{32} << 20)) platform::YieldThread();
}

// Likewise while one isolate runs, which collects nothing.
TEST_F(SchedulingTest, FreeMemoryGoesBackWhileAnIsolateRuns) {
  options.heap.decay_nanos = 50'000'000;
  const size_t before = heap().stats().mapped_bytes;
  RunIsolate([&](Isolate& isolate) {
    EXPECT_TRUE(isolate.mutator().AllocateArray(*client.types->bytes, size_t{64} << 20));
    EXPECT_GE(heap().stats().mapped_bytes, before + (size_t{64} << 20));
  });
  RunIsolate([&](Isolate& isolate) {
    EXPECT_TRUE(PollUntil(
        isolate, [&] { return heap().stats().mapped_bytes < before + (size_t{32} << 20); }));
  });
}

}  // namespace
}  // namespace Atoll
