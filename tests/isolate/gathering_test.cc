// Isolates that compete for an inbox are run by one worker, their keeper, for a while.
#include <algorithm>

#include "tests/isolate/isolate_fixture.h"

namespace Atoll {
namespace {

class GatheringTest : public IsolateTest {
 protected:
  static constexpr uint64_t kLong = 20'000'000'000;  // longer than any test takes

  static IsolateRecord& RecordOf(Isolate& isolate) {
    return static_cast<IsolateState&>(isolate).record;
  }
  Scheduler& scheduler() { return group().state().scheduler; }
  /// The number of the worker that this code runs on.
  size_t WorkerHere() {
    const Worker* here = WorkerThread::Current()->worker.load();
    const auto& workers = scheduler().workers();
    return static_cast<size_t>(
        std::find_if(workers.begin(), workers.end(),
                     [here](const auto& worker) { return worker.get() == here; }) -
        workers.begin());
  }
  /// An isolate that waits for its end, kept by a worker.
  IsolateId SpawnKept(size_t worker, uint64_t until) {
    Event ready;
    const IsolateId id = Spawn([&](Isolate& isolate) {
      isolate.Hold();
      Scheduler::Keep(RecordOf(isolate), worker, until);
      ready.Set();
    });
    ready.Wait();
    const IsolateRecord& record = *group().state().isolates.At(id.index);
    while (!record.inbox.is_idle()) platform::YieldThread();  // its turn has ended
    return id;
  }
};

TEST_F(GatheringTest, TheKeeperRunsThemThoughOthersAreIdle) {
  options.workers = 3;
  size_t ended_on = 0;
  client.shutdown = [&](Isolate&) { ended_on = WorkerHere(); };
  for (size_t round = 0; round < 60; ++round) {
    const size_t keeper = round % 3;
    KillAndWait(SpawnKept(keeper, platform::NowNanos() + kLong));
    ASSERT_EQ(ended_on, keeper) << "round " << round;
  }
}

TEST_F(GatheringTest, ItsTimeEnds) {
  bool is_free = false;
  client.shutdown = [&](Isolate& isolate) { is_free = RecordOf(isolate).keeper.load() == 0; };
  KillAndWait(SpawnKept(1, platform::NowNanos() + kLong));
  EXPECT_FALSE(is_free);
  KillAndWait(SpawnKept(1, platform::NowNanos() - 10'000'000));
  EXPECT_TRUE(is_free);
}

// Without that, the second one would wait for the first for ever, and the first for the second.
TEST_F(GatheringTest, BehindALongTurnOthersGetThem) {
  for (int round = 0; round < 20; ++round) {
    const uint64_t until = platform::NowNanos() + kLong;
    const IsolateId first = SpawnKept(0, until);
    const IsolateId second = SpawnKept(0, until);
    Event first_ends;
    Event second_ends;
    client.shutdown = [&](Isolate& isolate) {
      if (isolate.id() == second) return second_ends.Set();
      first_ends.Set();
      second_ends.Wait();
    };
    group().Kill(first, {});
    first_ends.Wait();
    group().Kill(second, {});
    group().WaitUntilEmpty();
  }
}

// What a turn with so many failures and so many messages makes of its isolate and the receiver.
TEST_F(GatheringTest, ContentionBetweenMessagesGathers) {
  struct Case {
    uint32_t contentions;
    uint32_t sends;
    bool gathers;
  };
  constexpr uint32_t kMany = 4'000'000'000;  // half an hour's worth, however long the turn takes
  const Case cases[] = {{Scheduler::kContentions, kMany, true},
                        {Scheduler::kContentions - 1, kMany, false},
                        {Scheduler::kContentions, 0, false}};
  const IsolateId target = SpawnKept(0, platform::NowNanos() - 10'000'000);
  IsolateRecord& receiver = *group().state().isolates.At(target.index);
  uint64_t gatherings = 0;
  for (const Case& one : cases) {
    receiver.keeper.store(0);
    uint32_t keeper = 0;
    client.shutdown = [&](Isolate& isolate) { keeper = RecordOf(isolate).keeper.load(); };
    RunIsolate([&](Isolate& isolate) {
      isolate.Hold();
      for (uint32_t i = 0; i < one.contentions; ++i) scheduler().NoteContention(receiver);
      uint32_t& sends = WorkerThread::CurrentOf(group().state())->sends;
      const uint32_t before = sends;
      if (one.sends != 0) {
        scheduler().NoteSend();
        EXPECT_EQ(sends, before + 1);
      }
      sends = before + one.sends;
      group().Kill(isolate.id(), {});
    });
    client.shutdown = nullptr;  // the target's would come when `keeper` has gone
    if (one.gathers) ++gatherings;
    EXPECT_EQ(keeper != 0, one.gathers);
    EXPECT_EQ(receiver.keeper.load(), keeper) << "both by the same worker";
    EXPECT_EQ(scheduler().gatherings(), gatherings);
  }
}

}  // namespace
}  // namespace Atoll
