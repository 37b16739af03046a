#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATES_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "benchmarks/workloads/measure.h"

namespace bench {

struct IsolateOptions {
  int64_t rounds = 1'000'000;
  int64_t hops = 5'000'000;
  int64_t units = 503;
  int64_t messages = 5'000'000;
  int64_t spawns = 1'000'000;
  int64_t idle = 100'000;
  std::vector<int64_t> nodes = {100, 10'000, 1'000'000, 10'000'000};
  int transfers = 0;  ///< of each size; 0: 100, or 10 of the largest
  int workers = 0;
  size_t nursery_kib = 0;  ///< churn: of each isolate, at most; 0: Atoll's default
};

/// Each runs one of its workloads; false: it is none of them.
/// Messages between isolates that stay: ping_pong, ring, send_throughput-P.
bool RunMessages(const std::string& workload, const IsolateOptions& options, const Report& report);
/// Isolates that come and go: spawn, spawn_program, idle, skynet, churn-N.
bool RunLifecycle(const std::string& workload, const IsolateOptions& options, const Report& report);
/// Trees passed on: transfer_tree, transfer_shared, transfer_tree-exit, transfer_tree-adopt.
bool RunTransfers(const std::string& workload, const IsolateOptions& options, const Report& report);

/// Call sites that isolates link at once, code that is installed beside them: call_sites,
/// installation.
bool RunSharedProgram(const std::string& workload, const Report& report);
/// An isolate beside one that collects: bystander-MB (of survivors).
bool RunBystander(const std::string& workload, const IsolateOptions& options, const Report& report);
/// sendAndExit by what is sent and what lies about it: exit_matrix, exit_matrix-scattered.
bool RunExitMatrix(const std::string& workload, const IsolateOptions& options,
                   const Report& report);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATES_H_
