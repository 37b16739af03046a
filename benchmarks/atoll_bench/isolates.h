#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATES_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATES_H_

#include <cstdint>
#include <string>

#include "benchmarks/workloads/measure.h"

namespace bench {

struct IsolateOptions {
  int64_t rounds = 1'000'000;
  int64_t hops = 5'000'000;
  int64_t units = 503;
  int64_t messages = 5'000'000;
  int64_t spawns = 1'000'000;
  int64_t idle = 100'000;
  int workers = 0;
};

/// Runs one of the workloads of isolates and messages; false: it is none of them.
bool RunIsolateWorkload(const std::string& workload, const IsolateOptions& options,
                        const Report& report);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_ISOLATES_H_
