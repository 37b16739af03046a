#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_SAFEPOINT_LATENCY_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_SAFEPOINT_LATENCY_H_

#include "benchmarks/workloads/atoll_heap.h"
#include "benchmarks/workloads/measure.h"

namespace bench {

struct SafepointLatencyOptions {
  int stops = 2000;
};

/// How long does stopping take, with nothing done meanwhile? Two mutators run, each with its own
/// region: one computes and polls, the other allocates and polls.
///   stop_1_other_*  the allocating mutator itself stops the other, once per ms (StopMutators)
///   reach_*         a third thread stops both, once per ms: until both have stopped
///   total_*         the same until both may go on; the third thread needs a core, so on two cores
///                   the scheduler is in these figures
void RunSafepointLatency(AtollWorld& world, const SafepointLatencyOptions& options,
                         const Report& report);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_SAFEPOINT_LATENCY_H_
