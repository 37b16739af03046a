#include "safepoint/worker_pool.h"

#include <algorithm>
#include <string>
#include <vector>

#include "safepoint/platform.h"
#include "safepoint/schedule.h"

#if !ATOLL_TSAN
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#endif

namespace Atoll {

#if ATOLL_TSAN

// ThreadSanitizer does not see the synchronisation inside oneTBB's own, uninstrumented library and
// would report every hand-over of work. So here each Run starts threads: slower, truly concurrent,
// and seen whole.
struct WorkerPool::Impl {
  void Run(int workers, FunctionRef<void(int)> fn) {
    std::vector<platform::Thread> threads;
    for (int i = 1; i < workers; ++i) {
      threads.emplace_back("atoll worker " + std::to_string(i), [fn, i] { fn(i); });
    }
    fn(0);
    for (platform::Thread& thread : threads) thread.Join();
  }
};

WorkerPool::WorkerPool(int max_workers) : max_workers_(std::max(1, max_workers)), impl_(new Impl) {}

#else

namespace tbb = oneapi::tbb;

struct WorkerPool::Impl {
  explicit Impl(int max_workers) : concurrency(max_workers) {
    // More workers than processors is for tests, and has to be asked for.
    if (max_workers > tbb::info::default_concurrency()) {
      more = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism,
                                                   static_cast<size_t>(max_workers));
    }
  }

  /// An arena to oneself, with a place reserved for the caller: it never queues for a place in one
  /// that others fill, and never sees their work.
  std::unique_ptr<tbb::task_arena> TakeArena() {
    platform::MutexLock lock(mutex);
    if (idle.empty()) return std::make_unique<tbb::task_arena>(concurrency, 1);
    std::unique_ptr<tbb::task_arena> arena = std::move(idle.back());
    idle.pop_back();
    return arena;
  }

  void ReturnArena(std::unique_ptr<tbb::task_arena> arena) {
    platform::MutexLock lock(mutex);
    idle.push_back(std::move(arena));
  }

  void Run(int workers, FunctionRef<void(int)> fn) {
    std::unique_ptr<tbb::task_arena> arena = TakeArena();
    arena->execute([&] {
      // fn(0) on the caller: the others are offered to helpers first, and what none has taken by
      // the time it is done the caller does itself.
      tbb::this_task_arena::isolate([&] {
        tbb::task_group group;
        for (int i = 1; i < workers; ++i) group.run([&fn, i] { fn(i); });
        fn(0);
        group.wait();
      });
    });
    ReturnArena(std::move(arena));
  }

  const int concurrency;
  std::unique_ptr<tbb::global_control> more;
  platform::Mutex mutex;
  std::vector<std::unique_ptr<tbb::task_arena> > idle;
};

WorkerPool::WorkerPool(int max_workers)
    : max_workers_(std::max(1, max_workers)), impl_(new Impl(max_workers_)) {}

#endif  // ATOLL_TSAN

WorkerPool::~WorkerPool() = default;

void WorkerPool::Run(int workers, FunctionRef<void(int worker)> fn) {
  workers = std::clamp(workers, 1, max_workers_);
  if (workers == 1 || UnderSeededScheduler()) {
    for (int i = 0; i < workers; ++i) fn(i);
    return;
  }
  impl_->Run(workers, fn);
}

}  // namespace Atoll
