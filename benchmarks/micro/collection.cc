// What does a collection cost per object that it copies, promotes, marks or sweeps? The time of
// an iteration is that of one collection; the counter is what it comes to per object.

#include <benchmark/benchmark.h>

#include "benchmarks/micro/micro_heap.h"
#include "benchmarks/workloads/measure.h"
#include "benchmarks/workloads/trees.h"

namespace {

using bench::AtollHeap;
using bench::MicroHeap;

constexpr int64_t kNodeBytes = sizeof(AtollHeap::Node);

/// Times collect() and adds its objects to `objects`.
template <typename Collect>
void Time(benchmark::State& state, double& seconds, Collect collect) {
  const uint64_t began = bench::NowNanos();
  collect();
  const double taken = bench::Seconds(bench::NowNanos() - began);
  seconds += taken;
  state.SetIterationTime(taken);
}

void Report(benchmark::State& state, double seconds, uint64_t objects) {
  state.counters["objects"] =
      benchmark::Counter(static_cast<double>(objects) / static_cast<double>(state.iterations()));
  if (objects != 0) {
    state.counters["ns_per_object"] = seconds * 1e9 / static_cast<double>(objects);
  }
}

void MinorOfNothing(benchmark::State& state) {
  MicroHeap micro;
  double seconds = 0;
  for (auto _ : state) Time(state, seconds, [&] { micro.CollectMinor(); });
}
BENCHMARK(MinorOfNothing)->Name("collect/minor_of_nothing")->UseManualTime();

/// Garbage, and among it a tree that survives: by the first collection it is copied, by the
/// second promoted.
void Minor(benchmark::State& state, bool promotes) {
  constexpr int kSurvivingDepth = 11;
  constexpr int kGarbage = 8'000;
  MicroHeap micro;
  AtollHeap heap = micro.heap();
  double seconds = 0;
  uint64_t objects = 0;
  for (auto _ : state) {
    micro.Empty();
    heap.Put(micro.table(), 0, bench::BottomUp<AtollHeap>(heap, kSurvivingDepth));
    for (int i = 0; i < kGarbage; ++i) benchmark::DoNotOptimize(heap.Make(i));
    if (promotes) {
      micro.CollectMinor();
      for (int i = 0; i < kGarbage; ++i) benchmark::DoNotOptimize(heap.Make(i));
    }
    const Atoll::RegionStats before = heap.region().stats();
    Time(state, seconds, [&] { micro.CollectMinor(); });
    const Atoll::RegionStats after = heap.region().stats();
    objects += (promotes ? after.promoted_bytes - before.promoted_bytes
                         : after.survived_bytes - before.survived_bytes) /
               kNodeBytes;
  }
  Report(state, seconds, objects);
}
BENCHMARK_CAPTURE(Minor, copies, false)->Name("collect/minor_copies")->UseManualTime();
BENCHMARK_CAPTURE(Minor, promotes, true)->Name("collect/minor_promotes")->UseManualTime();

/// A nursery of 64 MiB, far more than the caches hold, of which one object in 15 survives: as one
/// tree, or each by itself.
void LargeMinor(benchmark::State& state, bool strewn) {
  constexpr size_t kNursery = size_t{64} << 20;
  constexpr int kSurvivingDepth = 16;
  constexpr int64_t kSurvivors = bench::TreeSize(kSurvivingDepth);
  bench::AtollWorld::Options options = bench::AtollWorld::Defaults();
  options.heap.nursery_bytes = options.heap.max_nursery_bytes = kNursery;
  MicroHeap micro(strewn ? static_cast<size_t>(kSurvivors) : 1, options);
  AtollHeap heap = micro.heap();
  double seconds = 0;
  uint64_t objects = 0;
  for (auto _ : state) {
    micro.Empty();
    if (strewn) {
      for (int64_t i = 0; i < kSurvivors; ++i) {
        // In an order that follows no addresses.
        const auto place = static_cast<size_t>(i * 48'271 % kSurvivors);
        heap.Put(micro.table(), place, heap.Make(i));
        for (int k = 0; k < 14; ++k) benchmark::DoNotOptimize(heap.Make(i));
      }
    } else {
      heap.Put(micro.table(), 0, bench::BottomUp<AtollHeap>(heap, kSurvivingDepth));
      for (int64_t i = 0; i < 14 * kSurvivors; ++i) benchmark::DoNotOptimize(heap.Make(i));
    }
    const Atoll::RegionStats before = heap.region().stats();
    Time(state, seconds, [&] { micro.CollectMinor(); });
    objects += (heap.region().stats().survived_bytes - before.survived_bytes) / kNodeBytes;
  }
  Report(state, seconds, objects);
}
BENCHMARK_CAPTURE(LargeMinor, tree, false)
    ->Name("collect/large_minor/tree")
    ->UseManualTime()
    ->Iterations(30);
BENCHMARK_CAPTURE(LargeMinor, strewn, true)
    ->Name("collect/large_minor/strewn")
    ->UseManualTime()
    ->Iterations(30);

/// A major collection that finds a large old tree alive: marking.
void MajorMarks(benchmark::State& state) {
  const auto depth = static_cast<int>(state.range(0));
  MicroHeap micro;
  micro.heap().Put(micro.table(), 0, bench::BottomUp<AtollHeap>(micro.heap(), depth));
  micro.CollectMajor();
  double seconds = 0;
  uint64_t objects = 0;
  for (auto _ : state) {
    Time(state, seconds, [&] { micro.CollectMajor(); });
    objects += static_cast<uint64_t>(bench::TreeSize(depth));
  }
  Report(state, seconds, objects);
}
BENCHMARK(MajorMarks)->Name("collect/major_marks")->UseManualTime()->Arg(14)->Arg(20);

/// A major collection that finds a large old tree dead: what of sweeping is in the pause.
void MajorSweeps(benchmark::State& state) {
  const auto depth = static_cast<int>(state.range(0));
  MicroHeap micro;
  double seconds = 0;
  uint64_t objects = 0;
  for (auto _ : state) {
    micro.heap().Put(micro.table(), 0, bench::BottomUp<AtollHeap>(micro.heap(), depth));
    micro.CollectMajor();
    micro.Clear();
    Time(state, seconds, [&] { micro.CollectMajor(); });
    objects += static_cast<uint64_t>(bench::TreeSize(depth));
  }
  Report(state, seconds, objects);
}
// Building the tree takes far longer than what is timed.
BENCHMARK(MajorSweeps)
    ->Name("collect/major_frees")
    ->UseManualTime()
    ->Arg(14)
    ->Arg(20)
    ->Iterations(20);

}  // namespace
