// What does it cost to copy a graph of objects: off the heap and back, and into another region?

#include <benchmark/benchmark.h>

#include <memory>
#include <utility>

#include "benchmarks/micro/micro_heap.h"
#include "benchmarks/workloads/measure.h"
#include "isolate/graph_copier.h"

namespace {

using Atoll::GraphCopier;
using Atoll::Ref;
using bench::AtollHeap;
using bench::MicroHeap;
using bench::OrExit;
using Node = AtollHeap::Node;

Ref RefTo(const Node* node) { return Ref{reinterpret_cast<Atoll::Word>(node)}; }

/// `count` nodes in a tree, filled from its root by one allocation after another; in element 0 of
/// the table. After each, `gap` others are made that belong to nothing.
void MakeTree(MicroHeap& micro, size_t count, int gap = 0) {
  AtollHeap heap = micro.heap();
  Atoll::Mutator& mutator = micro.mutator();
  // Depth first, as recursive constructors make them; the stack is in C++, so nothing may move.
  const Atoll::NoCollectScope scope(mutator);
  const auto make = [&](int64_t value) {
    Node* node = heap.Make(value);
    for (int i = 0; i < gap; ++i) heap.Make(0);
    return node;
  };
  std::vector<std::pair<Node*, size_t>> waiting;  // a node, and how many belong below it
  Node* root = make(0);
  heap.Put(micro.table(), 0, root);
  waiting.emplace_back(root, count - 1);
  while (!waiting.empty()) {
    const auto [node, below] = waiting.back();
    waiting.pop_back();
    if (below == 0) continue;
    const size_t right = (below - 1) / 2;
    Node* left_child = make(1);
    node->left.Set(mutator, node, left_child);
    if (right > 0) {
      Node* right_child = make(2);
      node->right.Set(mutator, node, right_child);
      waiting.emplace_back(right_child, right - 1);
    }
    waiting.emplace_back(left_child, below - right - 1);
  }
}

/// A graph's way as a message inside a queue's node.
void PackAndUnpackNode(benchmark::State& state) {
  MicroHeap micro;
  micro.Fill();
  Atoll::Mutator& mutator = micro.mutator();
  GraphCopier copier(micro.world().heap());
  Atoll::SmallImage small;
  Atoll::Image image;
  for (auto _ : state) {
    const Ref root = RefTo(AtollHeap::At(micro.table(), 0));
    const auto packed = copier.Pack(mutator, {&root, 1}, 64, &small, &image);
    if (!packed.ok()) state.SkipWithError("refused");
    Atoll::Word copy = 0;
    benchmark::DoNotOptimize(Atoll::Unpack(mutator, small.view(), &copy));
    benchmark::DoNotOptimize(copy);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(PackAndUnpackNode)->Name("copy/pack_and_unpack_32_bytes");

/// 32 nodes.
void UnpackKibibyte(benchmark::State& state) {
  MicroHeap micro;
  MakeTree(micro, 32);
  Atoll::Mutator& mutator = micro.mutator();
  GraphCopier copier(micro.world().heap());
  Atoll::Image image;
  const Ref root = RefTo(AtollHeap::At(micro.table(), 0));
  OrExit(copier.Pack(mutator, {&root, 1}, 1024, nullptr, &image));
  for (auto _ : state) {
    Atoll::Word copy = 0;
    benchmark::DoNotOptimize(Atoll::Unpack(mutator, image.view(), &copy));
    benchmark::DoNotOptimize(copy);
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * 1024);
}
BENCHMARK(UnpackKibibyte)->Name("copy/unpack_1_KiB");

/// 32 nodes.
void PackKibibyte(benchmark::State& state) {
  MicroHeap micro;
  MakeTree(micro, 32);
  Atoll::Mutator& mutator = micro.mutator();
  GraphCopier copier(micro.world().heap());
  const Ref root = RefTo(AtollHeap::At(micro.table(), 0));
  for (auto _ : state) {
    Atoll::Image image;
    OrExit(copier.Pack(mutator, {&root, 1}, 1024, nullptr, &image));
    benchmark::DoNotOptimize(image);
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * 1024);
}
BENCHMARK(PackKibibyte)->Name("copy/pack_1_KiB");

/// The region is made, and destroyed with the copy in it, outside the time.
void CopyTree(benchmark::State& state, int gap) {
  const auto nodes = static_cast<size_t>(state.range(0));
  MicroHeap micro;
  MakeTree(micro, nodes, gap);
  GraphCopier copier(micro.world().heap());
  const Ref root = RefTo(AtollHeap::At(micro.table(), 0));
  double seconds = 0;
  for (auto _ : state) {
    const std::unique_ptr<Atoll::Region> region =
        OrExit(micro.world().heap().CreateRegion({.name = "message"}));
    const std::unique_ptr<Atoll::Mutator> destination = OrExit(region->AttachMutator("message"));
    Ref copy;
    const uint64_t began = bench::NowNanos();
    OrExit(copier.CopyInto(micro.mutator(), root, *destination, &copy));
    const double taken = bench::Seconds(bench::NowNanos() - began);
    seconds += taken;
    state.SetIterationTime(taken);
  }
  state.counters["ns_per_object"] =
      seconds * 1e9 / static_cast<double>(nodes) / static_cast<double>(state.iterations());
}
BENCHMARK_CAPTURE(CopyTree, dense, 0)
    ->Name("copy/tree_into_region")
    ->UseManualTime()
    ->Arg(100)
    ->Arg(10'000)
    ->Arg(1'000'000);
/// Nodes 4 KiB apart.
BENCHMARK_CAPTURE(CopyTree, sparse, 127)
    ->Name("copy/sparse_tree_into_region")
    ->UseManualTime()
    ->Arg(20'000);

}  // namespace
