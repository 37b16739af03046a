#ifndef ATOLL_BENCHMARKS_DEMO_MEASURED_PROGRAM_H_
#define ATOLL_BENCHMARKS_DEMO_MEASURED_PROGRAM_H_

#include <map>
#include <string>
#include <vector>

#include "benchmarks/demo/progress.h"

namespace bench {

/// A program beside this one in the build tree, and, once it has run, what it said.
struct MeasuredProgram {
  std::string name;  ///< of its file
  std::vector<std::string> arguments;

  bool there = true;
  int status = 0;
  double seconds = 0;
  double peak_rss_mib = 0;
  std::map<std::string, double> figures = {};
  std::string last_line = {};

  /// Runs it to its end, as one step of `progress`.
  void Run(const std::string& step, Progress& progress);
  double Figure(const std::string& metric, double otherwise = -1) const;
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_DEMO_MEASURED_PROGRAM_H_
