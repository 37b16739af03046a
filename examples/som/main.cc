// som [-cp DIRS] [--isolates-limit BYTES] [--compile-after CALLS] [--gc-stats]
// [--vm-stats] [--collect-at-polls] CLASS [ARGUMENT...]

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "universe.h"
#include "vm_stats.h"

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

/// ^C and its like, blocked from now on in this thread and those that it starts.
sigset_t BlockInterrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

/// A thread that waits for these signals; one ends all isolates. Ends before the universe does.
class InterruptWatch {
 public:
  InterruptWatch(const sigset_t& signals, som::Universe& universe)
      : thread_([this, signals, &universe] {
          int signal = 0;
          sigwait(&signals, &signal);
          constexpr int kEndedBySignal = 128;
          if (!done_) universe.Interrupt(kEndedBySignal + signal);
        }) {}
  ~InterruptWatch() {
    done_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace

int main(int argc, char** argv) {
  som::UniverseOptions options;
  std::string class_path = SOM_CLASS_PATH;
  size_t limit = 0;
  bool gc_stats = false;
  bool vm_stats = false;

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
  app.add_option("--compile-after", options.hot_code.calls,
                 "calls and jumps back that make a method hot, so that it is optimized; 0: none is")
      ->capture_default_str();
  app.add_flag("--gc-stats", gc_stats, "say at the end what was collected");
  app.add_flag("--vm-stats", vm_stats, "say at the end what was called, compiled and installed");
  app.add_flag("--collect-at-polls", options.collect_at_polls,
               "for tests: collect at every send and every round of a loop");
  app.prefix_command();
  app.footer("CLASS [ARGUMENT...] follow the options.");
  // -cp is what every SOM calls it, and no short option has two letters.
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (size_t i = 0; i < arguments.size() && arguments[i].rfind('-', 0) == 0; ++i) {
    if (arguments[i] == "-cp") arguments[i] = "--classpath";
    if (arguments[i] == "--classpath" || arguments[i] == "--isolates-limit" ||
        arguments[i] == "--compile-after") {
      ++i;
    }
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

  const sigset_t signals = BlockInterrupts();  // before there are other threads
  auto universe = som::Universe::Create(options);
  if (!universe.ok()) {
    std::fprintf(stderr, "som: %s\n", universe.status().message().c_str());
    return 1;
  }
  const InterruptWatch watch(signals, *universe.value());
  const int code = universe.value()->Run(program);
  if (gc_stats) som::PrintGcStats(*universe.value(), stderr);
  if (vm_stats) som::PrintVmStats(*universe.value(), stderr);
  return code;
}
