// atoll-demo: GCBench, a cache and a small virtual machine on Atoll, and beside it the same
// programs on malloc and on Boehm's collector; then a table. Takes less than a minute.

#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "benchmarks/demo/progress.h"
#include "benchmarks/workloads/child_process.h"
#include "benchmarks/workloads/measure.h"
#include "benchmarks/workloads/trees.h"

namespace {

constexpr int kDepth = 19;
constexpr int kBits = 19;
constexpr int kOperations = 2'000'000;

/// What one program said of one workload.
struct Row {
  std::string title;  ///< of the workload, as in the table
  std::string name;   ///< of what it ran on
  std::string program;
  std::vector<std::string> arguments;

  bool there = true;
  int status = 0;
  double seconds = 0;
  double peak_rss_mib = 0;
  std::map<std::string, double> figures = {};
  std::string last_line = {};

  double Figure(const std::string& metric, double otherwise = -1) const {
    const auto found = figures.find(metric);
    return found == figures.end() ? otherwise : found->second;
  }
};

std::string ProgramFolder() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return ".";
  const std::string program(path, static_cast<size_t>(length));
  return program.substr(0, program.rfind('/'));
}

void Run(Row& row, bench::Progress& progress) {
  progress.Begin(row.title + " on " + row.name);
  if (access(row.program.c_str(), X_OK) != 0) {
    row.there = false;
    progress.End("not built here: " + row.program.substr(row.program.rfind('/') + 1));
    return;
  }
  const uint64_t began = bench::NowNanos();
  const bench::ChildResult child = bench::RunChild(
      row.program, row.arguments,
      [&](const std::string& line) {
        std::istringstream words(line);
        std::string peer, workload, metric, unit;
        double value = 0;
        if (words >> peer >> workload >> metric >> value >> unit) row.figures[metric] = value;
        row.last_line = line;
      },
      [&] { progress.Tick(); }, /*quiet=*/true);
  row.status = child.status;
  row.peak_rss_mib = child.peak_rss_mib;
  row.seconds = row.Figure("time.1", bench::Seconds(bench::NowNanos() - began));
  progress.End(child.status == 0 ? fmt::format("{:.2f} s", row.seconds)
                                 : fmt::format("failed with status {}", child.status));
}

std::string Millis(double micros) {
  if (micros < 0) return "-";
  return micros < 100 ? fmt::format("{:.3f}", micros / 1e3) : fmt::format("{:.1f}", micros / 1e3);
}

/// Nodes that GCBench allocates at this depth.
int64_t GcBenchNodes(int depth) {
  int64_t nodes = bench::TreeSize(depth + 1) + bench::TreeSize(depth);
  for (int d = 4; d <= depth; d += 2) {
    nodes += 2 * (2 * bench::TreeSize(depth + 1) / bench::TreeSize(d)) * bench::TreeSize(d);
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
      fmt::print("{:<10} {:<8} not built here{}\n", first, row.name,
                 row.name == "Boehm" ? ": libgc-dev was missing" : "");
      continue;
    }
    if (row.status != 0) {
      fmt::print("{:<10} {:<8} failed with status {}\n", first, row.name, row.status);
      continue;
    }
    std::string throughput = "-";
    if (row.figures.contains("time.1")) {
      throughput = fmt::format("{:.1f} M nodes/s",
                               static_cast<double>(GcBenchNodes(kDepth)) / row.seconds / 1e6);
    } else if (row.figures.contains("throughput")) {
      throughput = fmt::format("{:.0f} k ops/s", row.Figure("throughput") / 1e3);
    }
    fmt::print(kLine, first, row.name, fmt::format("{:.2f}", row.seconds), throughput,
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

int main(int argc, char** argv) {
  CLI::App app("Shows Atoll at work, beside malloc and Boehm's collector.");
  CLI11_PARSE(app, argc, argv);

  const std::string folder = ProgramFolder();
  const std::vector<std::string> gcbench{"gcbench-1", "--depth", std::to_string(kDepth)};
  const std::vector<std::string> cache{"lru_latency", "--bits", std::to_string(kBits),
                                       "--operations", std::to_string(kOperations)};
  std::vector<Row> rows;
  for (const auto& [title, arguments] :
       {std::pair("GCBench", gcbench), std::pair("cache", cache)}) {
    rows.push_back({title, "Atoll", folder + "/atoll-bench", arguments});
    rows.push_back({title, "malloc", folder + "/peer-malloc", arguments});
    rows.push_back({title, "Boehm", folder + "/peer-boehm", arguments});
  }
  rows.push_back({"small VM", "Atoll", folder + "/minimal", {}});

  bench::Progress progress(static_cast<int>(rows.size()));
  for (Row& row : rows) Run(row, progress);
  PrintTable(rows);

  for (const Row& row : rows) {
    if (row.status != 0) return 1;
    if (row.name == "Atoll" && !row.there) return 1;
  }
  return 0;
}
