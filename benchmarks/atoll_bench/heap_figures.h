#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_HEAP_FIGURES_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_HEAP_FIGURES_H_

#include "atoll/atoll.h"
#include "benchmarks/workloads/measure.h"

namespace bench {

/// Prints what the heap says of its collections so far, warm-up included; `seconds` is how long
/// that took, for the share of the time that was spent in them.
void PrintHeapFigures(const Atoll::Heap& heap, double seconds, const Report& report);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_HEAP_FIGURES_H_
