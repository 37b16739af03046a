#ifndef ATOLL_BENCHMARKS_WORKLOADS_SELECTION_H_
#define ATOLL_BENCHMARKS_WORKLOADS_SELECTION_H_

#include <CLI/CLI.hpp>
#include <string>

#include "benchmarks/workloads/alloc.h"
#include "benchmarks/workloads/binary_trees.h"
#include "benchmarks/workloads/gcbench.h"
#include "benchmarks/workloads/lru_latency.h"

namespace bench {

/// Which workload of this folder, and how large. The defaults are the sizes that figures are
/// quoted for.
struct Selection {
  std::string workload;
  AllocOptions alloc;
  BinaryTreesOptions binary_trees;
  GcBenchOptions gcbench;
  LruOptions lru;

  void AddSizesTo(CLI::App& app) {
    app.add_option("--objects", alloc.objects, "alloc: objects in all")->capture_default_str();
    app.add_option("--depth", binary_trees.depth,
                   "binary_trees, gcbench: depth of the largest tree")
        ->check(CLI::Range(4, 26))
        ->capture_default_str();
    app.add_option("--doubles", gcbench.doubles, "gcbench: length of the long-lived array")
        ->check(CLI::Range(4000, 1 << 30))
        ->capture_default_str();
    app.add_option("--bits", lru.bits, "lru_latency: the table has 2^bits entries")
        ->check(CLI::Range(4, 26))
        ->capture_default_str();
    app.add_option("--operations", lru.operations, "lru_latency: operations timed")
        ->capture_default_str();
  }

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
