// som [-cp DIRS] [--isolates-limit BYTES] [--gc-stats] [--collect-at-polls] CLASS [ARGUMENT...]

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "universe.h"

namespace {

constexpr int kWrongUse = 2;

std::vector<std::string> Split(const std::string& text, char at) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t end = std::min(text.find(at, start), text.size());
    if (end != start) parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

/// ^C ends all isolates. The signal is blocked in all threads, and taken by one that waits for it.
class Interrupts {
 public:
  Interrupts() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  void Watch(som::Universe& universe) {
    thread_ = std::thread([this, &universe] {
      int signal = 0;
      sigwait(&signals_, &signal);
      constexpr int kEndedBySignal = 128;
      if (!done_) universe.Interrupt(kEndedBySignal + signal);
    });
  }
  ~Interrupts() {
    if (!thread_.joinable()) return;
    done_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

 private:
  sigset_t signals_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

void PrintGcStats(const som::Universe& universe, uint64_t run_nanos) {
  const Atoll::HeapStats stats = universe.group().heap().stats();
  for (const auto& [name, pauses] :
       {std::pair("minor", stats.minor), std::pair("major", stats.major)}) {
    std::fprintf(stderr,
                 "gc: %llu %s collections, %.1f ms in all, half of them under %.3f ms, the longest "
                 "%.3f ms\n",
                 static_cast<unsigned long long>(pauses.count), name,
                 static_cast<double>(pauses.total_nanos) / 1e6,
                 static_cast<double>(pauses.p50_nanos) / 1e6,
                 static_cast<double>(pauses.max_nanos) / 1e6);
  }
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::fprintf(stderr, "gc: %.1f MiB mapped, %.1f MiB of them program, %.1f MiB promoted\n",
               mib(stats.mapped_bytes), mib(stats.program_bytes), mib(stats.promoted_bytes));
  std::fprintf(stderr, "gc: %.1f %% of %.3f s\n",
               100 * static_cast<double>(stats.minor.total_nanos + stats.major.total_nanos) /
                   static_cast<double>(run_nanos),
               static_cast<double>(run_nanos) / 1e9);
}

}  // namespace

int main(int argc, char** argv) {
  som::UniverseOptions options;
  std::string class_path = SOM_CLASS_PATH;
  size_t limit = 0;
  bool gc_stats = false;

  CLI::App app(
      "Runs a program of SOM, the Simple Object Machine: makes an instance of CLASS and sends "
      "it run, or run: with CLASS and the arguments.");
  app.add_option("--classpath", class_path, "folders of class files, with : between; also -cp")
      ->capture_default_str();
  app.add_option("--isolates-limit", limit,
                 "bytes that each isolate may have on the heap; 0: no limit")
      ->check([](const std::string& text) {
        return text.rfind('-', 0) == 0 ? "a number of bytes is not negative: " + text : "";
      })
      ->transform(CLI::AsSizeValue(false));
  app.add_flag("--gc-stats", gc_stats, "say at the end what was collected");
  app.add_flag("--collect-at-polls", options.collect_at_polls,
               "for tests: collect at every send and every round of a loop");
  app.prefix_command();
  app.footer("CLASS [ARGUMENT...] follow the options.");
  // -cp is what every SOM calls it, and no short option has two letters.
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (size_t i = 0; i < arguments.size() && arguments[i].rfind('-', 0) == 0; ++i) {
    if (arguments[i] == "-cp") arguments[i] = "--classpath";
    if (arguments[i] == "--classpath" || arguments[i] == "--isolates-limit") ++i;
  }
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUse;
  }
  const std::vector<std::string> program = app.remaining();
  if (program.empty()) {
    std::fprintf(stderr, "som: no class to run; see som --help\n");
    return kWrongUse;
  }
  if (program.front().rfind('-', 0) == 0) {
    std::fprintf(stderr, "som: no such option: %s; see som --help\n", program.front().c_str());
    return kWrongUse;
  }
  options.class_path = Split(class_path, ':');
  options.isolate_limit_bytes = limit;

  Interrupts interrupts;
  auto universe = som::Universe::Create(options);
  if (!universe.ok()) {
    std::fprintf(stderr, "som: %s\n", universe.status().message().c_str());
    return 1;
  }
  interrupts.Watch(*universe.value());
  using Clock = std::chrono::steady_clock;
  const Clock::time_point began = Clock::now();
  const int code = universe.value()->Run(program);
  const auto run = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - began);
  if (gc_stats) PrintGcStats(*universe.value(), static_cast<uint64_t>(run.count()));
  return code;
}
