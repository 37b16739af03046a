// What does an allocation cost, collections of the garbage included?

#include <benchmark/benchmark.h>

#include "benchmarks/micro/micro_heap.h"
#include "benchmarks/workloads/trees.h"

namespace {

using bench::AtollHeap;
using bench::MicroHeap;

void AllocateNode(benchmark::State& state) {
  MicroHeap micro;
  Atoll::Mutator& mutator = micro.mutator();
  const Atoll::Type& type = micro.world().node_type();
  for (auto _ : state) benchmark::DoNotOptimize(Atoll::New<AtollHeap::Node>(mutator, type));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(AllocateNode)->Name("allocate/32_bytes");

/// A node of a tree that is built from its leaves, roots on the way and all.
void AllocateTree(benchmark::State& state) {
  constexpr int kDepth = 8;
  MicroHeap micro;
  const AtollHeap heap = micro.heap();
  for (auto _ : state) {
    benchmark::DoNotOptimize(bench::BottomUp<AtollHeap>(heap, kDepth));
    heap.Poll();
  }
  state.SetItemsProcessed(state.iterations() * bench::TreeSize(kDepth));
}
BENCHMARK(AllocateTree)->Name("allocate/tree");

void AllocateDoubles(benchmark::State& state) {
  MicroHeap micro;
  const auto length = static_cast<size_t>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(micro.heap().MakeDoubles(length));
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(length * sizeof(double)));
}
BENCHMARK(AllocateDoubles)->Name("allocate/doubles")->Arg(4)->Arg(64)->Arg(1000);
// From here on objects have whole blocks of their own.
BENCHMARK(AllocateDoubles)->Name("allocate/large")->Arg(2'000)->Arg(100'000)->Arg(4'000'000);

void AllocateTable(benchmark::State& state) {
  MicroHeap micro;
  const auto length = static_cast<size_t>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(micro.heap().MakeTable(length));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(AllocateTable)->Name("allocate/references")->Arg(4)->Arg(64)->Arg(1000);

}  // namespace
