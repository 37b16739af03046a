#ifndef ATOLL_BENCHMARKS_WORKLOADS_BINARY_TREES_H_
#define ATOLL_BENCHMARKS_WORKLOADS_BINARY_TREES_H_

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "benchmarks/workloads/measure.h"
#include "benchmarks/workloads/threads.h"
#include "benchmarks/workloads/trees.h"

namespace bench {

/// Many trees of many sizes, built bottom up, counted and dropped, while one large tree lives.
///   (a) a stretch tree of depth + 1 is built and counted; (b) a long-lived tree of depth is built;
///   (c) for d = 4, 6, .. depth: 2^(depth - d + 4) trees of depth d, each counted: shared evenly by
///   the threads; (d) the long-lived tree is counted.
struct BinaryTreesOptions {
  int threads = 1;
  int depth = 20;
};

template <typename H>
int64_t BuildAndCount(H heap, int depth) {
  const typename H::Scope scope(heap);
  const typename H::template Root<typename H::Node> tree(heap, BottomUp<H>(heap, depth));
  const int64_t count = Count<H>(heap, tree.get(), depth);
  if constexpr (H::kExplicit) heap.DropTree(tree.get());
  heap.Poll();
  return count;
}

/// Thread `share`'s part of step (c).
template <typename H>
int64_t BinaryTreesShare(H heap, const BinaryTreesOptions& options, int share) {
  int64_t sum = 0;
  for (int depth = 4; depth <= options.depth; depth += 2) {
    const int64_t all = int64_t{1} << (options.depth - depth + 4);
    const int64_t mine = all / options.threads + (share < all % options.threads ? 1 : 0);
    for (int64_t i = 0; i < mine; ++i) sum += BuildAndCount(heap, depth);
  }
  return sum;
}

template <typename H>
int64_t BinaryTreesOnce(typename H::World& world, const BinaryTreesOptions& options) {
  typename H::Owner owner(world);
  H heap = owner.heap();
  const typename H::Scope scope(heap);
  int64_t check = BuildAndCount(heap, options.depth + 1);
  const typename H::template Root<typename H::Node> long_lived(heap,
                                                               BottomUp<H>(heap, options.depth));
  if (options.threads == 1) {
    check += BinaryTreesShare(heap, options, 0);
  } else {
    std::atomic<int64_t> sum{0};
    const typename H::Away away(heap);
    OnThreads(options.threads, [&](int share) {
      typename H::Owner own(world);
      sum += BinaryTreesShare(own.heap(), options, share);
    });
    check += sum;
  }
  check += Count<H>(heap, long_lived.get(), options.depth);
  if constexpr (H::kExplicit) heap.DropTree(long_lived.get());
  return check;
}

template <typename H>
void RunBinaryTrees(typename H::World& world, const BinaryTreesOptions& options,
                    const Report& report) {
  {
    typename H::World warm_up_world;
    std::thread([&] { BinaryTreesOnce<H>(warm_up_world, {1, 12}); }).join();
  }
  std::thread([&] {
    const uint64_t began = NowNanos();
    const int64_t check = BinaryTreesOnce<H>(world, options);
    report.Figure("time." + std::to_string(options.threads), Seconds(NowNanos() - began), "s");
    std::fprintf(stderr, "check %lld\n", static_cast<long long>(check));
  }).join();
}

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_BINARY_TREES_H_
