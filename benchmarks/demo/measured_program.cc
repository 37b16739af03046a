#include "benchmarks/demo/measured_program.h"

#include <fmt/core.h>
#include <unistd.h>

#include <sstream>

#include "benchmarks/workloads/child_process.h"
#include "benchmarks/workloads/measure.h"

namespace bench {
namespace {

std::string ProgramFolder() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return ".";
  const std::string program(path, static_cast<size_t>(length));
  return program.substr(0, program.rfind('/'));
}

}  // namespace

void MeasuredProgram::Run(const std::string& step, Progress& progress) {
  progress.Begin(step);
  const std::string path = ProgramFolder() + "/" + name;
  if (access(path.c_str(), X_OK) != 0) {
    there = false;
    progress.End("not built here: " + name);
    return;
  }
  const uint64_t began = NowNanos();
  const ChildResult child = RunChild(
      path, arguments,
      [&](const std::string& line) {
        std::istringstream words(line);
        std::string peer, workload, metric, unit;
        double value = 0;
        if (words >> peer >> workload >> metric >> value >> unit) figures[metric] = value;
        last_line = line;
      },
      [&] { progress.Tick(); }, /*quiet=*/true);
  status = child.status;
  peak_rss_mib = child.peak_rss_mib;
  seconds = Figure("time.1", Seconds(NowNanos() - began));
  progress.End(status == 0 ? fmt::format("{:.2f} s", seconds)
                           : fmt::format("failed with status {}", status));
}

double MeasuredProgram::Figure(const std::string& metric, double otherwise) const {
  const auto found = figures.find(metric);
  return found == figures.end() ? otherwise : found->second;
}

}  // namespace bench
