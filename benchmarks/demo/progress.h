#ifndef ATOLL_BENCHMARKS_DEMO_PROGRESS_H_
#define ATOLL_BENCHMARKS_DEMO_PROGRESS_H_

#include <cstdint>
#include <string>

namespace bench {

/// Shows which of several steps runs, and for how long: on a terminal as one line that is
/// rewritten, else as one plain line per step.
class Progress {
 public:
  explicit Progress(int steps);
  void Begin(const std::string& step);
  /// To be called now and then while a step runs.
  void Tick();
  /// Ends the step and the line, with what came out of it.
  void End(const std::string& outcome);

 private:
  void Draw(double filled, const std::string& tail);

  const int steps_;
  const bool terminal_;
  int done_ = 0;
  uint64_t began_ = 0;
  std::string step_;
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_DEMO_PROGRESS_H_
