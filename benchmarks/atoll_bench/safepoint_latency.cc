#include "benchmarks/atoll_bench/safepoint_latency.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "benchmarks/workloads/threads.h"

namespace bench {
namespace {

constexpr uint64_t kBetweenStops = 1'000'000;  // nanoseconds

void Compute(AtollWorld& world, std::atomic<Atoll::MutatorThread*>& self,
             const std::atomic<bool>& end) {
  AtollHeap::Owner owner(world);
  const AtollHeap heap = owner.heap();
  self.store(&heap.mutator());
  volatile uint64_t value = 1;
  // Relaxed: asks the loop to end, some time soon.
  while (!end.load(std::memory_order_relaxed)) {
    value = value * 6364136223846793005u + 1;
    heap.Poll();
  }
}

/// Allocates until `end`, calling between() after every 100 nodes.
template <typename Between>
void Allocate(AtollWorld& world, const std::atomic<bool>& end, Between between) {
  AtollHeap::Owner owner(world);
  const AtollHeap heap = owner.heap();
  const AtollHeap::Scope scope(heap);
  AtollHeap::Root<AtollHeap::Node> latest(heap, nullptr);
  while (!end.load(std::memory_order_relaxed)) {
    for (int i = 0; i < 100; ++i) {
      latest.Set(heap.Make(1));
      heap.Poll();
    }
    between(heap);
  }
}

void PrintQuantiles(const std::string& name, const LatencyHistogram& latencies,
                    const Report& report) {
  report.Figure(name + "_p50", static_cast<double>(latencies.Quantile(0.5)) / 1e3, "us");
  report.Figure(name + "_p99", static_cast<double>(latencies.Quantile(0.99)) / 1e3, "us");
  report.Figure(name + "_max", static_cast<double>(latencies.max()) / 1e3, "us");
}

void StopTheOther(AtollWorld& world, int stops, const Report& report) {
  LatencyHistogram reach;
  LatencyHistogram total;
  std::atomic<Atoll::MutatorThread*> computing{nullptr};
  std::atomic<bool> end{false};
  OnThreads(2, [&](int id) {
    if (id == 0) {
      Compute(world, computing, end);
      return;
    }
    uint64_t next = NowNanos() + kBetweenStops;
    Allocate(world, end, [&](AtollHeap heap) {
      Atoll::MutatorThread* other = computing.load();
      if (other == nullptr || NowNanos() < next) return;
      uint64_t reached = 0;
      const uint64_t asked = NowNanos();
      world.heap().safepoints().StopMutators(
          {&other, 1}, "benchmark", [&](const Atoll::StoppedScope&) { reached = NowNanos(); });
      total.Add(NowNanos() - asked);
      reach.Add(reached - asked);
      next = NowNanos() + kBetweenStops;
      (void)heap;
      if (reach.count() == static_cast<uint64_t>(stops)) end.store(true);
    });
  });
  PrintQuantiles("stop_1_other", reach, report);
  PrintQuantiles("stop_1_other_total", total, report);
}

void StopBoth(AtollWorld& world, int stops, const Report& report) {
  LatencyHistogram reach;
  LatencyHistogram total;
  std::atomic<Atoll::MutatorThread*> computing{nullptr};
  std::atomic<bool> end{false};
  OnThreads(3, [&](int id) {
    if (id == 0) {
      Compute(world, computing, end);
    } else if (id == 1) {
      Allocate(world, end, [](AtollHeap) {});
    } else {
      for (int i = 0; i < stops; ++i) {
        std::this_thread::sleep_for(std::chrono::nanoseconds(kBetweenStops));
        uint64_t reached = 0;
        const uint64_t asked = NowNanos();
        OrExit(world.heap().safepoints().RunWithMutatorsStopped(
            Atoll::SafepointLevel::kGC, "benchmark",
            [&](const Atoll::StoppedScope&) { reached = NowNanos(); }));
        total.Add(NowNanos() - asked);
        reach.Add(reached - asked);
      }
      end.store(true);
    }
  });
  PrintQuantiles("reach", reach, report);
  PrintQuantiles("total", total, report);
}

}  // namespace

void RunSafepointLatency(AtollWorld& world, const SafepointLatencyOptions& options,
                         const Report& report) {
  StopTheOther(world, options.stops, report);
  StopBoth(world, options.stops, report);
}

}  // namespace bench
