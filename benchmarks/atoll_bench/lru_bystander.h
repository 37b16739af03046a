#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_LRU_BYSTANDER_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_LRU_BYSTANDER_H_

#include "benchmarks/workloads/atoll_heap.h"
#include "benchmarks/workloads/lru_latency.h"

namespace bench {

/// lru_latency beside a managed mutator of another region, which reads the clock, polls, stores
/// through the barrier, and allocates once per 1,000 readings: is it ever stopped for the other's
/// collections? Figures: those of lru_latency, the bystander's gaps, the stops asked of it
/// (`stops_asked`) and of the whole heap (`group_stops`). Returns how many seconds it took.
double RunLruBystander(AtollWorld& world, const LruOptions& options, const Report& report);

/// The control: as many busy threads for as long, without Atoll: one runs the cache on malloc, one
/// reads the clock. What gaps does the machine itself make?
void RunBystanderControl(const LruOptions& options, double seconds, const Report& report);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_LRU_BYSTANDER_H_
