#ifndef ATOLL_BENCHMARKS_WORKLOADS_LRU_LATENCY_H_
#define ATOLL_BENCHMARKS_WORKLOADS_LRU_LATENCY_H_

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

#include "benchmarks/workloads/measure.h"
#include "benchmarks/workloads/threads.h"
#include "benchmarks/workloads/trees.h"

namespace bench {

/// A cache of half a gigabyte with replacement at random: how long does each operation take? A
/// table of 2^bits entries, each a node over a tree of depth 3 (16 nodes). One operation replaces
/// one entry and sums the tree of another.
struct LruOptions {
  int bits = 20;
  int64_t operations = 5'000'000;
};

template <typename H>
class LruCache {
 public:
  LruCache(H heap, const typename H::template Root<typename H::Table>& table, int bits)
      : heap_(heap), table_(table), mask_((uint32_t{1} << bits) - 1) {}

  void Fill() {
    for (uint32_t i = 0; i <= mask_; ++i) Put(i, i);
  }
  void Operate() {
    const uint32_t key = random_.Next();
    Put(key & mask_, key);
    typename H::Node* entry = heap_.At(table_.get(), random_.Next() & mask_);
    sum_ += CountWithoutPoll<H>(H::Left(entry));
    heap_.Poll();
  }
  int64_t sum() const { return sum_; }

 private:
  void Put(uint32_t place, uint32_t key) {
    const typename H::Scope scope(heap_);
    const typename H::template Root<typename H::Node> tree(heap_, BottomUp<H>(heap_, 3));
    typename H::Node* entry = heap_.Make(tree, static_cast<int64_t>(key));
    if constexpr (H::kExplicit) {
      if (typename H::Node* old = heap_.At(table_.get(), place)) heap_.DropTree(old);
    }
    heap_.Put(table_.get(), place, entry);
  }

  H heap_;
  const typename H::template Root<typename H::Table>& table_;
  const uint32_t mask_;
  Random random_{2463534242u};
  int64_t sum_ = 0;
};

/// What a timed run of the cache saw.
struct LruTimes {
  LatencyHistogram latencies;
  double seconds = 0;
};

/// Fills the cache, does `warm_up` operations, and between began() and ended() times each one,
/// until all are done or `give_up` is set. On the calling thread.
template <typename H, typename Began, typename Ended>
LruTimes TimeLru(typename H::World& world, const LruOptions& options, int64_t warm_up, Began began,
                 Ended ended, const std::atomic<bool>* give_up = nullptr) {
  LruTimes times;
  typename H::Owner owner(world);
  H heap = owner.heap();
  const typename H::Scope scope(heap);
  const typename H::template Root<typename H::Table> table(
      heap, heap.MakeTable(size_t{1} << options.bits));
  LruCache<H> cache(heap, table, options.bits);
  cache.Fill();
  for (int64_t i = 0; i < warm_up; ++i) cache.Operate();
  began();
  const uint64_t first = NowNanos();
  uint64_t last = first;
  for (int64_t i = 0; i < options.operations; ++i) {
    cache.Operate();
    const uint64_t now = NowNanos();
    times.latencies.Add(now - last);
    last = now;
    if (give_up != nullptr && give_up->load(std::memory_order_relaxed)) break;
  }
  ended();
  times.seconds = Seconds(last - first);
  std::fprintf(stderr, "check %lld\n", static_cast<long long>(cache.sum()));
  return times;
}

template <typename H>
void RunLru(typename H::World& world, const LruOptions& options, const Report& report) {
  OnThreads(1, [&](int) {
    const LruTimes times = TimeLru<H>(
        world, options, options.operations / 10, [] {}, [] {});
    report.Latencies(times.latencies, times.seconds, "");
    report.Figure("rss", ResidentMiB(), "MiB");
  });
}

/// The same beside a second thread that runs `body`, which calls bystander.Run. Returns how many
/// seconds the timed operations took.
template <typename H, typename Body>
double RunLruBeside(typename H::World& world, const LruOptions& options, const Report& report,
                    Bystander& bystander, Body body) {
  double seconds = 0;
  OnThreads(2, [&](int id) {
    if (id == 1) {
      body();
      return;
    }
    const LruTimes times = TimeLru<H>(
        world, options, options.operations / 10, [&] { bystander.Start(); },
        [&] { bystander.Stop(); });
    report.Latencies(times.latencies, times.seconds, ".by");
    report.Figure("rss.by", ResidentMiB(), "MiB");
    seconds = times.seconds;
  });
  bystander.Print(report);
  return seconds;
}

}  // namespace bench

#endif  // ATOLL_BENCHMARKS_WORKLOADS_LRU_LATENCY_H_
