// The workloads on malloc and free.

#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include "benchmarks/workloads/malloc_heap.h"
#include "benchmarks/workloads/selection.h"

int main(int argc, char** argv) {
  CLI::App app("The workloads of atoll-bench on malloc and free, built from the same sources.");
  bench::Selection selection;
  app.add_option("workload", selection.workload,
                 "alloc-1, alloc-2, binary_trees-1, binary_trees-2, gcbench-1, gcbench-2, "
                 "lru_latency")
      ->required();
  selection.AddSizesTo(app);
  CLI11_PARSE(app, argc, argv);

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
