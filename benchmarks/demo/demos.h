#ifndef ATOLL_BENCHMARKS_DEMO_DEMOS_H_
#define ATOLL_BENCHMARKS_DEMO_DEMOS_H_

#include <string>

namespace bench {

/// The demos. Each shows its progress, prints a table, and returns the program's exit status.
/// GCBench, a cache and a small virtual machine, on Atoll and on others; takes half a minute.
int ShowHeap();
/// How long it takes to pass a tree from one isolate to another. The figures also go into
/// `data_file`, for a plot: a line of names, then a line per size; times in microseconds.
int ShowTransfers(const std::string& data_file);

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_DEMO_DEMOS_H_
