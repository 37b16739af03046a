#include "benchmarks/atoll_bench/repetitions.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>

#include "benchmarks/workloads/child_process.h"
#include "benchmarks/workloads/measure.h"

namespace bench {
namespace {

constexpr double kAlone = 0.15;  // processors used by others

struct Repetition {
  double foreign_processors = 0;
  std::map<std::string, double> values;
};

/// Processor time used by everything on this machine, in seconds.
double MachineBusySeconds() {
  std::FILE* file = std::fopen("/proc/stat", "r");
  if (file == nullptr) return 0;
  unsigned long long user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0,
                     steal = 0;
  const int read = std::fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
                               &system, &idle, &wait, &irq, &softirq, &steal);
  std::fclose(file);
  if (read != 8) return 0;
  return static_cast<double>(user + nice + system + irq + softirq + steal) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

int RunRepetitions(const std::string& peer, const std::string& workload, int repetitions,
                   const std::vector<std::string>& arguments) {
  std::vector<std::pair<std::string, std::string>> metrics;  // name and unit, as first printed
  std::vector<Repetition> done;
  for (int i = 0; i < repetitions; ++i) {
    Repetition repetition;
    const auto note = [&](const std::string& metric, double value, const std::string& unit) {
      if (std::none_of(metrics.begin(), metrics.end(),
                       [&](const auto& known) { return known.first == metric; })) {
        metrics.emplace_back(metric, unit);
      }
      repetition.values[metric] = value;
    };
    const double busy_before = MachineBusySeconds();
    const uint64_t began = NowNanos();
    const auto on_line = [&](const std::string& line) {
      std::istringstream words(line);
      std::string peer_word, workload_word, metric, unit;
      double value = 0;
      if (words >> peer_word >> workload_word >> metric >> value >> unit) note(metric, value, unit);
    };
    const ChildResult child = RunChild("/proc/self/exe", arguments, on_line, [] {});
    if (child.status != 0) {
      fmt::print(stderr, "{} {} failed with status {}\n", peer, workload, child.status);
      return child.status;
    }
    note("peak_rss", child.peak_rss_mib, "MiB");
    repetition.foreign_processors =
        std::max(0.0, (MachineBusySeconds() - busy_before - child.processor_seconds) /
                          Seconds(NowNanos() - began));
    done.push_back(std::move(repetition));
  }

  const auto alone = std::count_if(done.begin(), done.end(), [](const Repetition& repetition) {
    return repetition.foreign_processors <= kAlone;
  });
  double worst = 0;
  for (const auto& [metric, unit] : metrics) {
    std::vector<double> values;
    for (const Repetition& repetition : done) {
      worst = std::max(worst, repetition.foreign_processors);
      if (alone > 0 && repetition.foreign_processors > kAlone) continue;
      const auto found = repetition.values.find(metric);
      if (found != repetition.values.end()) values.push_back(found->second);
    }
    if (values.empty()) continue;
    const bool larger_is_better = unit.size() > 2 && unit.ends_with("/s");
    const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
    fmt::print("{} {} {}:median {:.6g} {}\n", peer, workload, metric, Median(values), unit);
    fmt::print("{} {} {}:best {:.6g} {}\n", peer, workload, metric,
               larger_is_better ? *greatest : *least, unit);
  }
  fmt::print("{} {} repetitions {} count\n", peer, workload, done.size());
  fmt::print("{} {} repetitions_alone {} count\n", peer, workload, alone);
  fmt::print("{} {} foreign_cpu_worst {:.2f} cpus\n", peer, workload, worst);
  return 0;
}

}  // namespace bench
