// The demo of transfers: a tree of n nodes is passed from one isolate to another by a copy, as a
// frozen one, and by sendAndExit; atoll-bench measures.

#include <fmt/core.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/demo/demos.h"
#include "benchmarks/demo/measured_program.h"
#include "benchmarks/demo/progress.h"

namespace bench {
namespace {

struct Size {
  int64_t nodes;
  int transfers;  ///< trees made, of which the median counts
};
constexpr Size kSizes[] = {{100, 100}, {10'000, 100}, {1'000'000, 10}, {10'000'000, 2}};

struct Way {
  const char* title;
  const char* workload;
  const char* latency;  ///< its figure
};
constexpr Way kWays[] = {{"copy", "transfer_tree", "latency_p50"},
                         {"frozen", "transfer_shared", "latency_p50"},
                         {"sendAndExit", "transfer_tree-exit", "exit_latency_p50"}};

/// Microseconds; negative: unknown.
struct Times {
  int64_t nodes;
  double copy, freeze, frozen, exit;
};

std::string Text(double micros) {
  if (micros < 0) return "-";
  if (micros < 1) return fmt::format("{:.0f} ns", micros * 1e3);
  if (micros < 1e3) return fmt::format("{:.1f} us", micros);
  return micros < 1e6 ? fmt::format("{:.1f} ms", micros / 1e3)
                      : fmt::format("{:.2f} s", micros / 1e6);
}

void PrintTable(const std::vector<Times>& table) {
  constexpr const char* kLine = "{:>10} {:>16} {:>16} {:>16} {:>16}\n";
  fmt::print("\n");
  fmt::print(kLine, "nodes", "copy", "frozen", "sendAndExit", "to freeze it");
  for (const Times& times : table) {
    fmt::print(kLine, times.nodes, Text(times.copy), Text(times.frozen), Text(times.exit),
               Text(times.freeze));
  }
  fmt::print(
      "\nMedians, from before the call that sends until the receiver has read the first nodes.\n"
      "sendAndExit takes the same steps at every size; after a large tree they find caches "
      "cold.\n");
}

bool WriteData(const std::vector<Times>& table, const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return false;
  fmt::print(file, "nodes copy frozen sendAndExit freeze\n");
  for (const Times& times : table) {
    fmt::print(file, "{} {:.6g} {:.6g} {:.6g} {:.6g}\n", times.nodes, times.copy, times.frozen,
               times.exit, times.freeze);
  }
  return std::fclose(file) == 0;
}

}  // namespace

int ShowTransfers(const std::string& data_file) {
  std::vector<Times> table;
  Progress progress(static_cast<int>(std::size(kSizes) * std::size(kWays)));
  for (const Size& size : kSizes) {
    const std::string nodes = std::to_string(size.nodes);
    std::array<double, std::size(kWays)> latency;
    double freeze = -1;
    for (size_t i = 0; i < std::size(kWays); ++i) {
      MeasuredProgram bench{
          "atoll-bench",
          {kWays[i].workload, "--nodes", nodes, "--transfers", std::to_string(size.transfers)}};
      bench.Run(fmt::format("{} nodes, {}", nodes, kWays[i].title), progress);
      latency[i] = bench.Figure(std::string(kWays[i].latency) + "." + nodes);
      freeze = bench.Figure("freeze_p50." + nodes, freeze);
      if (!bench.there || bench.status != 0 || latency[i] < 0) return 1;
    }
    table.push_back({size.nodes, latency[0], freeze, latency[1], latency[2]});
  }
  PrintTable(table);
  if (WriteData(table, data_file)) return 0;
  fmt::print(stderr, "atoll-demo: cannot write {}\n", data_file);
  return 1;
}

}  // namespace bench
