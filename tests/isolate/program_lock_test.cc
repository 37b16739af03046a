// The program's lock: who has it with whom, who waits for it, and what becomes of it when an
// isolate is killed that has it or waits for it.
#include "atoll/program_lock.h"

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

class ProgramLockTest : public IsolateTest {
 protected:
  Program& program() { return group().program(); }
  ProgramLock& lock() { return program().lock(); }

  /// Until the mutator that is noted there waits; then it is noted no more.
  static void WaitUntilBlocked(std::atomic<Mutator*>& waiting) {
    while (waiting.load() == nullptr || waiting.load()->state() != MutatorState::kBlocked) {
      platform::YieldThread();
    }
    waiting.store(nullptr);
  }
  template <typename Body>
  void WithLock(bool exclusive, Body body) {
    if (exclusive) {
      ExclusiveProgramLock mine(lock());
      body();
    } else {
      SharedProgramLock mine(lock());
      body();
    }
  }
  /// Nobody has it: then it can be had in either way, by this thread and by an isolate.
  void ExpectFree() {
    for (const bool exclusive : {true, false}) {
      WithLock(exclusive, [] {});
      const ExitInfo info = RunIsolate([&](Isolate&) { WithLock(exclusive, [] {}); });
      EXPECT_EQ(info.reason, ExitReason::kReturned);
    }
  }
};

TEST_F(ProgramLockTest, TheLockIsSharedOrExclusive) {
  std::atomic<int> sharing{0};
  std::atomic<bool> excluding{false};
  std::atomic<int> together{0};
  for (int n = 0; n < 3; ++n) {
    Spawn([&, n](Isolate& isolate) {
      for (int i = 0; i < 2'000; ++i) {
        if (n == 0 && i % 4 == 0) {
          ExclusiveProgramLock exclusive(lock());
          EXPECT_FALSE(excluding.exchange(true));
          EXPECT_EQ(sharing.load(), 0);
          excluding.store(false);
        } else {
          SharedProgramLock shared(lock());
          if (sharing.fetch_add(1) > 0) together.fetch_add(1);
          EXPECT_FALSE(excluding.load());
          isolate.Poll();
          sharing.fetch_sub(1);
        }
        isolate.Poll();
      }
    });
  }
  for (int i = 0; i < 20; ++i) CollectAll();
  exits.WaitFor(3);
}

TEST_F(ProgramLockTest, WhoWaitsForTheLockHoldsUpNoStop) {
  for (const bool exclusive : {false, true}) {
    lock().LockExclusive();
    std::atomic<Mutator*> waiting{nullptr};
    const IsolateId id = Spawn([&](Isolate& isolate) {
      waiting.store(&isolate.mutator());
      WithLock(exclusive, [] {});
    });
    WaitUntilBlocked(waiting);
    CollectAll();
    lock().UnlockExclusive();
    exits.WaitFor(id);
  }
}

TEST_F(ProgramLockTest, WhoWantsItExclusivelyGoesBeforeThoseThatComeToShare) {
  lock().LockShared();
  std::atomic<Mutator*> waiting{nullptr};
  std::vector<int> order;
  std::mutex order_mutex;
  const auto note = [&](int who) {
    std::lock_guard guard(order_mutex);
    order.push_back(who);
  };
  Spawn([&](Isolate& isolate) {
    waiting.store(&isolate.mutator());
    ExclusiveProgramLock mine(lock());
    note(1);
  });
  WaitUntilBlocked(waiting);
  Spawn([&](Isolate& isolate) {
    waiting.store(&isolate.mutator());
    SharedProgramLock mine(lock());
    note(2);
  });
  WaitUntilBlocked(waiting);
  lock().UnlockShared();
  exits.WaitFor(2);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

// ---- Kills

// The victim has the lock and polls until it is killed; an isolate and a thread that is in none
// wait for it meanwhile, and get it.
TEST_F(ProgramLockTest, AnIsolateThatIsKilledWhileItHasTheLockGivesItBack) {
  for (const bool exclusive : {false, true}) {
    SCOPED_TRACE(exclusive ? "exclusive" : "shared");
    Event has_lock;
    std::atomic<bool> given_back{false};
    const IsolateId victim = Spawn([&](Isolate& isolate) {
      WithLock(exclusive, [&] {
        has_lock.Set();
        EXPECT_FALSE(PollUntil(isolate, [] { return false; }));
        EXPECT_TRUE(isolate.IsKilled());
        given_back.store(true);
      });
    });
    has_lock.Wait();
    std::atomic<Mutator*> waiting{nullptr};
    const IsolateId next = Spawn([&](Isolate& isolate) {
      waiting.store(&isolate.mutator());
      WithLock(true, [&] { EXPECT_TRUE(given_back.load()); });
      EXPECT_TRUE(isolate.Poll()) << "only the other one is killed";
    });
    std::thread outside([&] { WithLock(true, [&] { EXPECT_TRUE(given_back.load()); }); });
    WaitUntilBlocked(waiting);
    CollectAll();  // stops the one that has the lock with it
    EXPECT_FALSE(given_back.load());
    EXPECT_EQ(KillAndWait(victim).reason, ExitReason::kKilled);
    EXPECT_EQ(exits.WaitFor(victim).reason, ExitReason::kKilled);
    EXPECT_EQ(exits.WaitFor(next).reason, ExitReason::kReturned);
    outside.join();
    ExpectFree();
  }
}

TEST_F(ProgramLockTest, AnIsolateThatIsKilledWhileItWaitsGetsTheLockAndGivesItBack) {
  for (const bool exclusive : {false, true}) {
    SCOPED_TRACE(exclusive ? "exclusive" : "shared");
    lock().LockExclusive();
    std::atomic<Mutator*> waiting{nullptr};
    std::atomic<bool> had_it{false};
    const IsolateId victim = Spawn([&](Isolate& isolate) {
      waiting.store(&isolate.mutator());
      WithLock(exclusive, [&] {
        had_it.store(true);
        EXPECT_FALSE(isolate.Poll());
      });
    });
    WaitUntilBlocked(waiting);
    ExitLog done;
    group().Kill(victim, done.listener());
    CollectAll();  // waiting holds up no stop, killed or not
    EXPECT_EQ(done.count(), 0u);
    EXPECT_FALSE(had_it.load());
    lock().UnlockExclusive();
    EXPECT_EQ(done.WaitFor(1).front().reason, ExitReason::kKilled);
    EXPECT_TRUE(had_it.load());
    ExpectFree();
  }
}

// A miss has the lock shared while it asks the embedder: what that finds, or not, is what counts.
TEST_F(ProgramLockTest, AnIsolateThatIsKilledWhileItLooksUpLeavesTheSiteWhole) {
  const int code = 0;
  std::deque<CallSite> sites;  // as long as the program
  for (const void* found : {static_cast<const void*>(nullptr), static_cast<const void*>(&code)}) {
    SCOPED_TRACE(found == nullptr ? "gives up" : "finds");
    CallSite& site = sites.emplace_back(0x1000);
    Event looking;
    const IsolateId victim = Spawn([&](Isolate& isolate) {
      const void* target = program().Miss(site, 1, [&](uintptr_t, uintptr_t) {
        looking.Set();
        EXPECT_FALSE(PollUntil(isolate, [] { return false; }));
        return found;
      });
      EXPECT_EQ(target, found);
    });
    looking.Wait();
    std::atomic<bool> changed{false};
    std::thread changer([&] {
      const Status status = program().Change(SafepointLevel::kDeopt, "test",
                                             [&](const StoppedScope&) { changed.store(true); });
      EXPECT_TRUE(status.ok()) << status.message();
    });
    EXPECT_EQ(KillAndWait(victim).reason, ExitReason::kKilled);
    changer.join();
    EXPECT_TRUE(changed.load());
    EXPECT_EQ(site.Lookup(1), found);
    EXPECT_EQ(site.state(),
              found == nullptr ? CallSiteState::kUnlinked : CallSiteState::kMonomorphic);
    RunIsolate([&](Isolate&) {
      EXPECT_EQ(program().Miss(site, 1, [&](uintptr_t, uintptr_t) { return &code; }), &code);
    });
    ExpectFree();
  }
}

// The changing isolate has the lock exclusively, and waits for one that does not poll.
TEST_F(ProgramLockTest, AnIsolateThatIsKilledBeforeItsChangeMakesIt) {
  std::atomic<Mutator*> runs{nullptr};
  Event go_on;
  const IsolateId busy = Spawn([&](Isolate& isolate) {
    runs.store(&isolate.mutator());
    while (!go_on.happened()) platform::YieldThread();  // no safepoint
    EXPECT_TRUE(isolate.Poll());
  });
  while (runs.load() == nullptr) platform::YieldThread();
  std::atomic<bool> changed{false};
  Status status;
  const IsolateId victim = Spawn([&](Isolate& isolate) {
    status = program().Change(SafepointLevel::kReload, "test", [&](const StoppedScope&) {
      EXPECT_TRUE(isolate.IsKilled());
      changed.store(true);
    });
    EXPECT_FALSE(isolate.Poll());
  });
  while (!runs.load()->PollPending()) platform::YieldThread();  // the stop is asked for
  ExitLog done;
  group().Kill(victim, done.listener());
  EXPECT_FALSE(changed.load());
  go_on.Set();
  EXPECT_EQ(done.WaitFor(1).front().reason, ExitReason::kKilled);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(changed.load()) << "a change is made, or refused with a status";
  EXPECT_EQ(exits.WaitFor(busy).reason, ExitReason::kReturned);
  ExpectFree();
}

TEST_F(ProgramLockTest, AnIsolateThatIsKilledInItsChangeEndsIt) {
  Event in_change;
  Event killed;
  std::atomic<bool> ended{false};
  Status status;
  const IsolateId victim = Spawn([&](Isolate& isolate) {
    status = program().Change(SafepointLevel::kDeopt, "test", [&](const StoppedScope&) {
      in_change.Set();
      killed.Wait();  // it is this thread that all others are stopped by
      ended.store(true);
    });
    EXPECT_FALSE(isolate.Poll());
  });
  in_change.Wait();
  ExitLog done;
  group().Kill(victim, done.listener());
  EXPECT_EQ(done.count(), 0u);
  killed.Set();
  EXPECT_EQ(done.WaitFor(1).front().reason, ExitReason::kKilled);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(ended.load());
  ExpectFree();
}

}  // namespace
}  // namespace Atoll
