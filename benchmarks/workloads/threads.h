#ifndef ATOLL_BENCHMARKS_WORKLOADS_THREADS_H_
#define ATOLL_BENCHMARKS_WORKLOADS_THREADS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "benchmarks/workloads/measure.h"

namespace bench {

/// Lets `count` threads start together. Spins and yields: for the few µs that they differ.
class StartLine {
 public:
  explicit StartLine(int count) : count_(count) {}
  void Arrive() {
    arrived_.fetch_add(1);
    while (arrived_.load() < count_) std::this_thread::yield();
  }

 private:
  std::atomic<int> arrived_{0};
  const int count_;
};

/// Runs body(0) .. body(count - 1), each on a thread of its own, and waits for all.
template <typename Body>
void OnThreads(int count, Body body) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

/// How long is a thread held up that does nothing but read the clock? That thread's loop, and what
/// it saw.
class Bystander {
 public:
  void Start() { on_.store(true, std::memory_order_release); }
  void Stop() { stop_.store(true, std::memory_order_relaxed); }

  /// Waits for Start().
  void AwaitStart() const {
    while (!on_.load(std::memory_order_acquire)) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  /// Reads the clock until Stop(), calling step(readings so far) between the readings.
  template <typename Step>
  void Run(Step step) {
    uint64_t last = NowNanos();
    for (uint64_t readings = 0; !stop_.load(std::memory_order_relaxed); ++readings) {
      step(readings);
      const uint64_t now = NowNanos();
      const uint64_t gap = now - last;
      last = now;
      if (gap > max_gap_) max_gap_ = gap;
      if (gap > 100'000) {
        ++over_100us_;
        stalled_ += gap;
      }
      if (gap > 1'000'000) ++over_1ms_;
    }
  }

  void Print(const Report& report, const std::string& prefix = "bystander") const {
    report.Figure(prefix + "_max", static_cast<double>(max_gap_), "ns");
    report.Figure(prefix + "_gaps_over_100us", static_cast<double>(over_100us_), "count");
    report.Figure(prefix + "_gaps_over_1ms", static_cast<double>(over_1ms_), "count");
    report.Figure(prefix + "_stalled_total", static_cast<double>(stalled_) / 1e6, "ms");
  }

 private:
  // Release and acquire: who has seen the start sees what was prepared before it.
  std::atomic<bool> on_{false};
  // Relaxed: asks the loop to end, some time soon; the figures are read after the thread is joined.
  std::atomic<bool> stop_{false};
  uint64_t max_gap_ = 0;
  uint64_t over_100us_ = 0;
  uint64_t over_1ms_ = 0;
  uint64_t stalled_ = 0;
};

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_THREADS_H_
