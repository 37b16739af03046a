#ifndef ATOLL_BENCHMARKS_WORKLOADS_ALLOC_H_
#define ATOLL_BENCHMARKS_WORKLOADS_ALLOC_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/workloads/measure.h"
#include "benchmarks/workloads/threads.h"
#include "benchmarks/workloads/trees.h"

namespace bench {

/// How fast are objects made that die soon? `objects` nodes in all, shared evenly by the threads,
/// each stored in one of 64 places of a heap array, so that it dies 64 allocations later.
struct AllocOptions {
  int threads = 1;
  int64_t objects = 200'000'000;
};

// Inline, so that what a thread holds stays in registers.
template <typename H>
inline __attribute__((always_inline)) int64_t AllocLoop(
    H heap, const typename H::template Root<typename H::Table>& sink,
    const typename H::template Root<typename H::Node>& anchor, int64_t count) {
  constexpr size_t kPlaces = 64;
  for (int64_t i = 0; i < count; ++i) {
    typename H::Node* node = heap.Make(anchor, i);
    const size_t place = static_cast<size_t>(i) % kPlaces;
    if constexpr (H::kExplicit) {
      if (typename H::Node* old = heap.At(sink.get(), place)) heap.DropOne(old);
    }
    heap.Put(sink.get(), place, node);
  }
  int64_t sum = 0;
  for (size_t place = 0; place < kPlaces; ++place) {
    if (typename H::Node* node = heap.At(sink.get(), place)) sum += H::Value(node);
  }
  return sum;
}

template <typename H>
void RunAlloc(typename H::World& world, const AllocOptions& options, const Report& report) {
  StartLine line(options.threads);
  std::vector<uint64_t> began(static_cast<size_t>(options.threads));
  std::vector<uint64_t> ended(static_cast<size_t>(options.threads));
  std::atomic<int64_t> check{0};
  OnThreads(options.threads, [&](int id) {
    typename H::Owner owner(world);
    H heap = owner.heap();
    const typename H::Scope scope(heap);
    const typename H::template Root<typename H::Table> sink(heap, heap.MakeTable(64));
    const typename H::template Root<typename H::Node> anchor(heap, heap.Make(0));
    const int64_t share = options.objects / options.threads;
    AllocLoop(heap, sink, anchor, share / 10);
    {
      const typename H::Away away(heap);
      line.Arrive();
    }
    began[static_cast<size_t>(id)] = NowNanos();
    check += AllocLoop(heap, sink, anchor, share);
    ended[static_cast<size_t>(id)] = NowNanos();
  });
  const double seconds = Seconds(*std::max_element(ended.begin(), ended.end()) -
                                 *std::min_element(began.begin(), began.end()));
  report.Figure("rate." + std::to_string(options.threads),
                static_cast<double>(options.objects) / seconds / 1e6, "Mobj/s");
  std::fprintf(stderr, "check %lld\n", static_cast<long long>(check.load()));
}

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_ALLOC_H_
