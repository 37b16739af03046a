// Layer: safepoint
#ifndef ATOLL_SAFEPOINT_WORKER_POOL_H_
#define ATOLL_SAFEPOINT_WORKER_POOL_H_

#include <memory>

#include "atoll/function_ref.h"

namespace Atoll {

/// Who does work in parallel? Every parallel loop of the library goes through one WorkerPool per
/// heap: threads of oneTBB, in arenas of its own.
///
///  - A thread that waits in Run() runs nothing but this Run's work: never a task of the
///    embedder's, nor of another Run.
///  - Concurrency is not promised. Each index runs exactly once, possibly all of them on the
///    caller one after another, so `fn` must not wait for another index to have started.
///  - With one worker, or under a seeded scheduler, all is done inline on the caller and oneTBB is
///    not touched (so a process that collects serially starts no threads).
///  - A helper thread is no mutator, and counts for no safepoint: it works on behalf of the
///    stop, or the claim, that its caller holds.
///
/// Thread-safe: several threads may Run() at once, each with its own helpers.
class WorkerPool {
 public:
  /// `max_workers` counts the caller and is at least 1.
  explicit WorkerPool(int max_workers);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int max_workers() const { return max_workers_; }

  /// Runs fn(0) .. fn(workers - 1), fn(0) on the calling thread, and returns when all have
  /// returned. What the caller wrote before is visible to each; what each wrote is visible after.
  /// `workers` is clamped to 1 .. max_workers().
  void Run(int workers, FunctionRef<void(int worker)> fn);

 private:
  struct Impl;
  const int max_workers_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace Atoll

#endif  // ATOLL_SAFEPOINT_WORKER_POOL_H_
