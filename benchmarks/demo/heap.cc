// The demo of the heap: GCBench, a cache and a small virtual machine on Atoll, and beside it the
// same programs on malloc and on Boehm's collector; then a table.

#include <fmt/core.h>

#include <string>
#include <vector>

#include "benchmarks/demo/demos.h"
#include "benchmarks/demo/measured_program.h"
#include "benchmarks/demo/progress.h"
#include "benchmarks/workloads/trees.h"

namespace bench {
namespace {

constexpr int kDepth = 19;
constexpr int kBits = 19;
constexpr int kOperations = 2'000'000;

/// What one program said of one workload.
struct Row : MeasuredProgram {
  std::string title;  ///< of the workload, as in the table
  std::string heap;   ///< what it ran on
};

std::string Millis(double micros) {
  if (micros < 0) return "-";
  return micros < 100 ? fmt::format("{:.3f}", micros / 1e3) : fmt::format("{:.1f}", micros / 1e3);
}

/// Nodes that GCBench allocates at this depth.
int64_t GcBenchNodes(int depth) {
  int64_t nodes = TreeSize(depth + 1) + TreeSize(depth);
  for (int d = 4; d <= depth; d += 2) {
    nodes += 2 * (2 * TreeSize(depth + 1) / TreeSize(d)) * TreeSize(d);
  }
  return nodes;
}

void PrintTable(const std::vector<Row>& rows) {
  constexpr const char* kLine = "{:<10} {:<8} {:>8} {:>16} {:>10} {:>10} {:>10} {:>9}\n";
  fmt::print("\n");
  fmt::print(kLine, "", "", "time", "throughput", "pause p50", "p99", "max", "memory");
  fmt::print(kLine, "", "", "s", "", "ms", "ms", "ms", "MiB");
  std::string title;
  for (const Row& row : rows) {
    if (row.title != title) fmt::print("{:-<88}\n", "");
    const std::string first = row.title == title ? "" : row.title;
    title = row.title;
    if (!row.there) {
      fmt::print("{:<10} {:<8} not built here{}\n", first, row.heap,
                 row.heap == "Boehm" ? ": libgc-dev was missing" : "");
      continue;
    }
    if (row.status != 0) {
      fmt::print("{:<10} {:<8} failed with status {}\n", first, row.heap, row.status);
      continue;
    }
    std::string throughput = "-";
    if (row.figures.contains("time.1")) {
      throughput = fmt::format("{:.1f} M nodes/s",
                               static_cast<double>(GcBenchNodes(kDepth)) / row.seconds / 1e6);
    } else if (row.figures.contains("throughput")) {
      throughput = fmt::format("{:.0f} k ops/s", row.Figure("throughput") / 1e3);
    }
    fmt::print(kLine, first, row.heap, fmt::format("{:.2f}", row.seconds), throughput,
               Millis(row.Figure("pause_p50")), Millis(row.Figure("pause_p99")),
               Millis(row.Figure("pause_max")), fmt::format("{:.0f}", row.peak_rss_mib));
  }
  fmt::print("\n");
  for (const Row& row : rows) {
    if (row.title == "small VM" && row.there && row.status == 0) {
      fmt::print("The small virtual machine (examples/minimal) says: {}\n", row.last_line);
    }
  }
  fmt::print(
      "GCBench: depth {}, one mutator. Cache: 2^{} entries of 16 nodes, {} operations; its time\n"
      "includes filling it. Memory is the peak of the whole process. malloc frees explicitly.\n",
      kDepth, kBits, kOperations);
}

}  // namespace

int ShowHeap() {
  const std::vector<std::string> gcbench{"gcbench-1", "--depth", std::to_string(kDepth)};
  const std::vector<std::string> cache{"lru_latency", "--bits", std::to_string(kBits),
                                       "--operations", std::to_string(kOperations)};
  std::vector<Row> rows;
  for (const auto& [title, arguments] :
       {std::pair("GCBench", gcbench), std::pair("cache", cache)}) {
    rows.push_back({{"atoll-bench", arguments}, title, "Atoll"});
    rows.push_back({{"peer-malloc", arguments}, title, "malloc"});
    rows.push_back({{"peer-boehm", arguments}, title, "Boehm"});
  }
  rows.push_back({{"minimal", {}}, "small VM", "Atoll"});

  Progress progress(static_cast<int>(rows.size()));
  for (Row& row : rows) row.Run(row.title + " on " + row.heap, progress);
  PrintTable(rows);

  for (const Row& row : rows) {
    if (row.status != 0) return 1;
    if (row.heap == "Atoll" && !row.there) return 1;
  }
  return 0;
}

}  // namespace bench
