#include "benchmarks/demo/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "benchmarks/workloads/measure.h"

namespace bench {

Progress::Progress(int steps) : steps_(steps), terminal_(isatty(STDOUT_FILENO) != 0) {}

void Progress::Begin(const std::string& step) {
  step_ = step;
  began_ = NowNanos();
  Tick();
}

void Progress::Tick() {
  if (!terminal_) return;
  // Within a step nobody knows how much is left: the bar creeps towards the step's end.
  const double seconds = Seconds(NowNanos() - began_);
  Draw((done_ + seconds / (seconds + 3)) / steps_, fmt::format("{:.1f} s", seconds));
}

void Progress::End(const std::string& outcome) {
  ++done_;
  if (terminal_) {
    Draw(static_cast<double>(done_) / steps_, outcome);
    fmt::print("\n");
  } else {
    fmt::print("[{}/{}] {}: {}\n", done_, steps_, step_, outcome);
  }
  std::fflush(stdout);
}

void Progress::Draw(double filled, const std::string& tail) {
  constexpr int kWidth = 24;
  const int width = static_cast<int>(filled * kWidth);
  const int shown = done_ < steps_ ? done_ + 1 : steps_;
  fmt::print("\r\033[K[{:=<{}}{:<{}}] {}/{} {}  {}", "", width, width < kWidth ? ">" : "",
             kWidth - width, shown, steps_, step_, tail);
  std::fflush(stdout);
}

}  // namespace bench
