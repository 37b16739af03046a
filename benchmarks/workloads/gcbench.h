#ifndef ATOLL_BENCHMARKS_WORKLOADS_GCBENCH_H_
#define ATOLL_BENCHMARKS_WORKLOADS_GCBENCH_H_

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "benchmarks/workloads/measure.h"
#include "benchmarks/workloads/threads.h"
#include "benchmarks/workloads/trees.h"

namespace bench {

/// Ellis, Kovac and Boehm's GCBench, larger. Each mutator by itself: a stretch tree of depth + 1,
/// dropped; a long-lived tree made by Populate; a long-lived array of doubles; then for d = 4, 6,
/// .. depth as many trees of depth d as have twice the nodes of the stretch tree, by Populate and
/// again by BottomUp, each dropped at once; at the end what is long-lived is checked.
struct GcBenchOptions {
  int mutators = 1;
  int depth = 20;
  int64_t doubles = 4'000'000;
};

template <typename H>
int64_t GcBenchTrees(H heap, int tree_depth, int64_t count) {
  using Node = typename H::Node;
  int64_t check = 0;
  for (int64_t i = 0; i < count; ++i) {
    const typename H::Scope scope(heap);
    const typename H::template Root<Node> tree(heap, heap.Make(1));
    Populate<H>(heap, tree_depth, tree.get());
    check += H::Value(tree.get());
    if constexpr (H::kExplicit) heap.DropTree(tree.get());
    heap.Poll();
  }
  for (int64_t i = 0; i < count; ++i) {
    Node* tree = BottomUp<H>(heap, tree_depth);
    check += H::Value(tree);
    if constexpr (H::kExplicit) heap.DropTree(tree);
    heap.Poll();
  }
  return check;
}

template <typename H>
int64_t GcBenchOnce(typename H::World& world, int depth, int64_t doubles) {
  using Node = typename H::Node;
  typename H::Owner owner(world);
  H heap = owner.heap();
  const typename H::Scope scope(heap);
  Node* stretch = BottomUp<H>(heap, depth + 1);
  int64_t check = H::Value(stretch);
  if constexpr (H::kExplicit) heap.DropTree(stretch);

  const typename H::template Root<Node> long_lived(heap, heap.Make(1));
  Populate<H>(heap, depth, long_lived.get());
  const typename H::template Root<typename H::Doubles> array(
      heap, heap.MakeDoubles(static_cast<size_t>(doubles)));
  double* data = H::Data(array.get());
  for (int64_t i = 0; i < doubles / 2; ++i) data[i] = 1.0 / static_cast<double>(i + 1);

  for (int tree_depth = 4; tree_depth <= depth; tree_depth += 2) {
    check += GcBenchTrees(heap, tree_depth, 2 * TreeSize(depth + 1) / TreeSize(tree_depth));
  }

  check += Count<H>(heap, long_lived.get(), depth);
  if (H::Data(array.get())[1000] != 1.0 / 1001.0) {
    std::fprintf(stderr, "gcbench: the array of doubles was damaged\n");
    std::abort();
  }
  if constexpr (H::kExplicit) {
    heap.DropTree(long_lived.get());
    heap.DropDoubles(array.get());
  }
  return check;
}

template <typename H>
void RunGcBench(typename H::World& world, const GcBenchOptions& options, const Report& report) {
  {
    typename H::World warm_up_world;
    std::thread([&] { GcBenchOnce<H>(warm_up_world, 10, 20'000); }).join();
  }
  std::atomic<int64_t> check{0};
  const uint64_t began = NowNanos();
  OnThreads(options.mutators,
            [&](int) { check += GcBenchOnce<H>(world, options.depth, options.doubles); });
  report.Figure("time." + std::to_string(options.mutators), Seconds(NowNanos() - began), "s");
  std::fprintf(stderr, "check %lld\n", static_cast<long long>(check.load()));
}

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_GCBENCH_H_
