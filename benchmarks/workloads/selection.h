#ifndef ATOLL_BENCHMARKS_WORKLOADS_SELECTION_H_
#define ATOLL_BENCHMARKS_WORKLOADS_SELECTION_H_

#include <string>

#include "benchmarks/workloads/alloc.h"
#include "benchmarks/workloads/binary_trees.h"
#include "benchmarks/workloads/gcbench.h"
#include "benchmarks/workloads/lru_latency.h"

namespace CLI {
class App;
}

namespace bench {

/// Which workload of this folder, and how large. The defaults are the sizes that figures are
/// quoted for.
struct Selection {
  std::string workload;
  AllocOptions alloc;
  BinaryTreesOptions binary_trees;
  GcBenchOptions gcbench;
  LruOptions lru;

  /// Of a program that runs these workloads and no others. Ends the program where the line is
  /// wrong, or asks for help.
  static Selection FromCommandLine(int argc, char** argv, const char* about);
  void AddSizesTo(CLI::App& app);

  /// Runs the workload on H, if it is one of those that are the same on every heap.
  template <typename H>
  bool Run(typename H::World& world, const Report& report) {
    gcbench.depth = binary_trees.depth;
    if (workload == "alloc-1" || workload == "alloc-2") {
      alloc.threads = workload.back() - '0';
      RunAlloc<H>(world, alloc, report);
    } else if (workload == "binary_trees-1" || workload == "binary_trees-2") {
      binary_trees.threads = workload.back() - '0';
      RunBinaryTrees<H>(world, binary_trees, report);
    } else if (workload == "gcbench-1" || workload == "gcbench-2") {
      gcbench.mutators = workload.back() - '0';
      RunGcBench<H>(world, gcbench, report);
    } else if (workload == "lru_latency") {
      RunLru<H>(world, lru, report);
    } else {
      return false;
    }
    return true;
  }
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_SELECTION_H_
