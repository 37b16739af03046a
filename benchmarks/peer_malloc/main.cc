// The workloads on malloc and free.

#include <sys/resource.h>

#include "benchmarks/workloads/malloc_heap.h"
#include "benchmarks/workloads/selection.h"

int main(int argc, char** argv) {
  bench::Selection selection = bench::Selection::FromCommandLine(
      argc, argv, "The workloads of atoll-bench on malloc and free, built from the same sources.");

  bench::MallocHeap::World world;
  const bench::Report report{"malloc", selection.workload};
  if (!selection.Run<bench::MallocHeap>(world, report)) {
    std::fprintf(stderr, "peer-malloc: unknown workload %s\n", selection.workload.c_str());
    return 2;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  report.Figure("peak_rss", static_cast<double>(usage.ru_maxrss) / 1024, "MiB");
  return 0;
}
