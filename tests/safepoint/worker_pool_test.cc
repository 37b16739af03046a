#include "safepoint/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "safepoint/platform.h"

namespace Atoll {
namespace {

TEST(WorkerPool, RunsEachIndexOnceAndTheFirstOnTheCaller) {
  WorkerPool pool(4);
  EXPECT_EQ(pool.max_workers(), 4);
  const std::thread::id caller = std::this_thread::get_id();
  for (int workers = 1; workers <= 4; ++workers) {
    for (int round = 0; round < 50; ++round) {
      std::vector<int> runs(4);  // one element each: a race here is a finding
      pool.Run(workers, [&](int worker) {
        ++runs[worker];
        if (worker == 0) {
          EXPECT_EQ(std::this_thread::get_id(), caller);
        }
      });
      for (int i = 0; i < 4; ++i) EXPECT_EQ(runs[i], i < workers ? 1 : 0);
    }
  }
}

TEST(WorkerPool, ClampsTheNumber) {
  WorkerPool none(0);
  EXPECT_EQ(none.max_workers(), 1);
  WorkerPool pool(2);
  int total = 0;
  pool.Run(0, [&](int) { ++total; });
  EXPECT_EQ(total, 1);
  std::atomic<int> shared{0};
  pool.Run(100, [&](int) { ++shared; });
  EXPECT_EQ(shared, 2);
}

TEST(WorkerPool, WithOneWorkerAllIsOnTheCaller) {
  WorkerPool pool(1);
  const std::thread::id caller = std::this_thread::get_id();
  int runs = 0;
  pool.Run(1, [&](int) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    ++runs;
  });
  EXPECT_EQ(runs, 1);
}

TEST(WorkerPool, SeveralThreadsRunAtOnceAndNeverEachOthersWork) {
  WorkerPool pool(3);
  std::vector<platform::Thread> threads;
  static thread_local int inside = -1;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back("runner", [&pool, t] {
      inside = t;
      for (int round = 0; round < 200; ++round) {
        std::atomic<int> runs{0};
        pool.Run(3, [&](int) {
          // On a runner's own thread: nothing but its own work.
          EXPECT_TRUE(inside == -1 || inside == t);
          for (int i = 0; i < 100; ++i) platform::SpinPause();
          ++runs;
        });
        EXPECT_EQ(runs, 3);
      }
    });
  }
  for (platform::Thread& thread : threads) thread.Join();
}

}  // namespace
}  // namespace Atoll
