#ifndef ATOLL_BENCHMARKS_ATOLL_BENCH_REPETITIONS_H_
#define ATOLL_BENCHMARKS_ATOLL_BENCH_REPETITIONS_H_

#include <string>
#include <vector>

namespace bench {

/// Runs this program again `repetitions` times, each in a fresh process with `arguments`, and
/// prints for every figure that it prints the median and the best ("best" is the largest where the
/// unit ends in /s, else the smallest). A repetition during which other processes used more than
/// 0.15 of a processor is left out where at least one other had the machine to itself. `peak_rss`
/// is what the kernel says of the process. Returns 0, or the status of the first that failed.
int RunRepetitions(const std::string& peer, const std::string& workload, int repetitions,
                   const std::vector<std::string>& arguments);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_ATOLL_BENCH_REPETITIONS_H_
