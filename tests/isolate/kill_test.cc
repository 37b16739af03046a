// Kill ends an isolate whatever it does, and is answered exactly once.
#include <set>

#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

class KillTest : public IsolateTest {
 protected:
  /// Kills it, and checks that both listeners are told that it was killed.
  void ExpectKilled(IsolateId id) {
    EXPECT_EQ(KillAndWait(id).reason, ExitReason::kKilled);
    const ExitInfo info = exits.WaitFor(id);
    EXPECT_EQ(info.reason, ExitReason::kKilled);
    EXPECT_TRUE(info.error.ok());
  }
};

TEST_F(KillTest, AnIdleOne) {
  Event idle;
  client.leave = [&](Isolate&) { idle.Set(); };
  const IsolateId id = Spawn([](Isolate& isolate) { isolate.Hold(); });
  idle.Wait();
  ExpectKilled(id);
}

TEST_F(KillTest, OneThatPolls) {
  Event polling;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    polling.Set();
    EXPECT_FALSE(PollUntil(isolate, [] { return false; }));
    EXPECT_TRUE(isolate.IsKilled());
  });
  polling.Wait();
  ExpectKilled(id);
}

TEST_F(KillTest, OneThatIsPaused) {
  const IsolateId id = Spawn([](Isolate& isolate) { isolate.Hold(); });
  ASSERT_TRUE(group().Pause(id));
  ExpectKilled(id);
}

TEST_F(KillTest, OneThatIsNativeIsNotInterrupted) {
  Event native;
  Event killed;
  Event after;
  ExitLog done;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    native.Set();
    killed.Wait(isolate);
    EXPECT_FALSE(isolate.Poll());
    after.Set();
  });
  native.Wait();
  group().Kill(id, done.listener());
  EXPECT_EQ(done.count(), 0u);
  killed.Set();
  EXPECT_EQ(done.WaitFor(1).front().reason, ExitReason::kKilled);
  EXPECT_TRUE(after.happened());
}

TEST_F(KillTest, BeforeItsFirstTurn) {
  options.workers = 1;
  Event occupied;
  Event go_on;
  client.initialize = [](Isolate& isolate) {
    EXPECT_STREQ(isolate.name(), "occupant") << "what is killed before it began is not initialized";
    return Status::Ok();
  };
  std::atomic<int> cleaned{0};
  client.cleanup = [&](IsolateId, void*) { cleaned.fetch_add(1); };
  SpawnOptions spawn;
  spawn.name = "occupant";
  Spawn(
      [&](Isolate& isolate) {
        occupied.Set();
        PollUntil(isolate, [&] { return go_on.happened(); });
      },
      spawn);
  occupied.Wait();
  std::vector<IsolateId> ids;
  ExitLog done;
  constexpr size_t kCount = 100;
  for (size_t i = 0; i < kCount; ++i) {
    ids.push_back(Spawn([](Isolate&) { ADD_FAILURE() << "it runs"; }));
    group().Kill(ids.back(), done.listener());
    if (i % 2 == 0) group().Kill(ids.back(), done.listener());
    EXPECT_TRUE(group().Pause(ids.back()));
  }
  go_on.Set();
  for (const ExitInfo& info : done.WaitFor(kCount + kCount / 2)) {
    EXPECT_EQ(info.reason, ExitReason::kKilled);
  }
  for (const IsolateId id : ids) EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kKilled);
  group().WaitUntilEmpty();
  EXPECT_EQ(done.count(), kCount + kCount / 2);
  EXPECT_EQ(cleaned.load(), static_cast<int>(kCount) + 1);
}

// What comes after a start that is never called must not be lost when its record is used again.
TEST_F(KillTest, AllWhoKillAreAnsweredWhileRecordsAreUsedAgain) {
  constexpr size_t kCount = 3'000;
  client.initialize = [](Isolate& isolate) {
    return isolate.id().generation % 3 == 0 ? Status(StatusCode::kUnsupported, "no") : Status::Ok();
  };
  // Whoever is cleaned up is followed by another, in the same record if that is free already.
  std::atomic<int> more{static_cast<int>(kCount)};
  client.cleanup = [&](IsolateId, void*) {
    if (more.fetch_sub(1) > 0) Spawn([](Isolate& isolate) { isolate.Exit(); });
  };
  ExitLog done;
  for (size_t i = 0; i < kCount; ++i) {
    const IsolateId id = Spawn([](Isolate&) {});
    for (int n = 0; n < 3; ++n) group().Kill(id, done.listener());
  }
  EXPECT_EQ(done.WaitFor(3 * kCount).size(), 3 * kCount);
  group().WaitUntilEmpty();
  EXPECT_EQ(done.count(), 3 * kCount);
}

TEST_F(KillTest, OneThatHasGone) {
  const IsolateId id = Spawn([](Isolate&) {});
  group().WaitUntilEmpty();
  const ExitInfo info = KillAndWait(id);
  EXPECT_EQ(info.reason, ExitReason::kGone);
  EXPECT_TRUE(info.isolate == id);
  EXPECT_EQ(KillAndWait(IsolateId{}).reason, ExitReason::kGone);
  EXPECT_EQ(KillAndWait(IsolateId{UINT32_MAX, 77}).reason, ExitReason::kGone);
  group().Kill(id);
  EXPECT_FALSE(group().Pause(id));
  EXPECT_FALSE(group().Resume(id));
}

TEST_F(KillTest, ItselfAndThenNothingMoreRuns) {
  const ExitInfo info = RunIsolate([this](Isolate& isolate) {
    isolate.Hold();
    group().Kill(isolate.id());
    EXPECT_FALSE(isolate.Poll());
  });
  EXPECT_EQ(info.reason, ExitReason::kKilled);
}

// A record's isolates need not have growing generations: each thread has numbers of its own.
TEST_F(KillTest, OneThatPollsInARecordUsedBefore) {
  options.workers = 1;
  for (int round = 0; round < 5; ++round) {
    // From outside: a higher generation with each round; from inside: the worker's own.
    ExpectKilled(Spawn([](Isolate& isolate) { isolate.Hold(); }));
    Event polling;
    IsolateId child;
    RunIsolate([&](Isolate&) {
      child = Spawn([&](Isolate& isolate) {
        polling.Set();
        PollUntil(isolate, [] { return false; });
      });
    });
    polling.Wait();
    ExpectKilled(child);
  }
}

// Whether the flag or the envelope is seen first, the one who kills is told that he did.
TEST_F(KillTest, TheKillerOfARunningOneIsToldSo) {
  for (int i = 0; i < 2'000; ++i) {
    Event polling;
    const IsolateId id = Spawn([&](Isolate& isolate) {
      polling.Set();
      while (isolate.Poll()) {
      }
    });
    polling.Wait();
    ExitLog done;
    group().Kill(id, done.listener());
    ASSERT_EQ(done.WaitFor(1).front().reason, ExitReason::kKilled);
    // Told when it has ended, and not before.
    ASSERT_EQ(exits.WaitFor(id).reason, ExitReason::kKilled);
  }
}

// One that ends by itself says so to all.
TEST_F(KillTest, WhoKillsWhatEndsByItselfHearsHowItEnded) {
  Event running;
  Event go_on;
  const IsolateId id = Spawn([&](Isolate& isolate) {
    isolate.Fail({StatusCode::kUnsupported, "broken"});
    running.Set();
    go_on.Wait(isolate);
  });
  running.Wait();
  ExitLog done;
  group().Kill(id, done.listener());
  go_on.Set();
  const ExitInfo told = done.WaitFor(1).front();
  const ExitInfo heard = exits.WaitFor(id);
  EXPECT_EQ(told.reason, heard.reason);
  EXPECT_EQ(told.error.message(), heard.error.message());
  EXPECT_EQ(heard.reason == ExitReason::kFailed, !heard.error.ok()) << "an error is of kFailed";
}

TEST_F(KillTest, FromManyThreadsAtOnce) {
  constexpr int kThreads = 3;
  for (int round = 0; round < 100; ++round) {
    Event polling;
    const IsolateId id = Spawn([&](Isolate& isolate) {
      isolate.Hold();
      polling.Set();
      PollUntil(isolate, [] { return false; });
    });
    polling.Wait();
    ExitLog done;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] { group().Kill(id, done.listener()); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(done.WaitFor(kThreads).size(), size_t{kThreads});
    EXPECT_EQ(exits.WaitFor(id).reason, ExitReason::kKilled);
  }
}

// Between its last turn and its clean-up's end it is neither alive nor gone.
TEST_F(KillTest, WhoAsksDuringTheCleanUpHearsAfterIt) {
  Event cleaning;
  Event go_on;
  std::atomic<bool> is_clean{false};
  ExitLog from_clean_up;
  client.cleanup = [&](IsolateId isolate, void* data) {
    if (data != &from_clean_up) return;  // the other one
    group().Kill(isolate, from_clean_up.listener());
    cleaning.Set();
    go_on.Wait();
    EXPECT_EQ(from_clean_up.count(), 0u);
    is_clean.store(true);
  };
  const IsolateId id = Spawn([&](Isolate& isolate) {
    isolate.set_data(&from_clean_up);
    isolate.Fail({StatusCode::kUnsupported, "broken"});
  });
  cleaning.Wait();
  ExitLog killed;
  ExitLog listened;
  group().Kill(id, killed.listener());
  group().AddExitListener(id, listened.listener());
  EXPECT_FALSE(group().Pause(id)) << "it has ended";
  EXPECT_EQ(killed.count() + listened.count(), 0u);
  // Another that ends meanwhile answers for itself alone.
  EXPECT_EQ(RunIsolate([](Isolate&) {}).reason, ExitReason::kReturned);
  EXPECT_EQ(killed.count() + listened.count(), 0u);
  go_on.Set();
  for (ExitLog* log : {&from_clean_up, &killed, &listened}) {
    const ExitInfo info = log->WaitFor(1).front();
    EXPECT_TRUE(is_clean.load());
    EXPECT_EQ(info.isolate, id);
    EXPECT_EQ(info.reason, ExitReason::kFailed);
    EXPECT_EQ(info.error.message(), "broken");
  }
  EXPECT_EQ(KillAndWait(id).reason, ExitReason::kGone);
}

TEST_F(KillTest, WhoeverAsksWhileItEndsIsAnsweredAfterItsCleanUp) {
  std::mutex mutex;
  std::set<uint64_t> clean;
  client.cleanup = [&](IsolateId isolate, void*) {
    std::lock_guard lock(mutex);
    clean.insert(isolate.generation);
  };
  struct Asked {
    IsolateId id;
    std::mutex* mutex;
    std::set<uint64_t>* clean;
    std::atomic<int>* answers;
  };
  constexpr int kCount = 5'000;
  std::atomic<int> answers{0};
  std::deque<Asked> asked;
  for (int i = 0; i < kCount; ++i) {
    const IsolateId id = Spawn([](Isolate&) {});
    for (int spins = 0; spins < i % 200; ++spins) platform::SpinPause();
    group().Kill(id, {[](void* data, const ExitInfo&) {
                        const auto& one = *static_cast<Asked*>(data);
                        std::lock_guard lock(*one.mutex);
                        EXPECT_EQ(one.clean->count(one.id.generation), 1u);
                        one.answers->fetch_add(1);
                      },
                      &asked.emplace_back(Asked{id, &mutex, &clean, &answers})});
  }
  group().WaitUntilEmpty();
  EXPECT_EQ(answers.load(), kCount);
}

}  // namespace
}  // namespace Atoll
