// What the machine does with nothing managed: the bounds that figures of Atoll are held against.
//
//   alloc-1, alloc-2  an arena that starts anew after each MiB, which stays in the caches
//   probe             all processors at the same loop for some 40 ms: how long the last took, which
//                     is more where one shares its core with another machine's work
//   safepoint         a flag polled by another thread: asked until it has been seen
//   touch             nothing but first touches of 1.5 GiB, by huge pages: a host that lends memory
//                     out while it is free has it all given back for a while

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/workloads/plain_heap.h"
#include "benchmarks/workloads/selection.h"

namespace bench {
namespace {

class ArenaHeap : public PlainHeap<ArenaHeap> {
 public:
  struct World {};
  static constexpr bool kExplicit = false;

  struct Arena {
    static constexpr size_t kBytes = 1 << 20;
    alignas(64) char memory[kBytes] = {};
    char* top = memory;
  };
  struct Owner {
    explicit Owner(World&) {}
    ArenaHeap heap() { return ArenaHeap(arena.get()); }
    std::unique_ptr<Arena> arena = std::make_unique<Arena>();
  };

  explicit ArenaHeap(Arena* arena) : arena_(arena) {}

  void* AllocateNode() {
    if (__builtin_expect(arena_->memory + Arena::kBytes - arena_->top < kNodeBytes, 0)) {
      arena_->top = arena_->memory;
    }
    void* node = arena_->top;
    arena_->top += kNodeBytes;
    return node;
  }
  Table* MakeTable(size_t length) {
    return static_cast<Table*>(std::calloc(length, sizeof(Table)));
  }

 private:
  static constexpr ptrdiff_t kNodeBytes = sizeof(Node);
  Arena* arena_;
};

void PolledFlag(const Report& report) {
  constexpr int kTimes = 3'000;
  constexpr uint64_t kBetween = 1'000'000;  // nanoseconds
  std::atomic<bool> end{false};
  std::atomic<int> asked{0};
  std::atomic<int> seen{0};
  std::thread other([&] {
    volatile uint64_t value = 1;
    int last = 0;
    while (!end.load(std::memory_order_relaxed)) {
      value = value * 6364136223846793005u + 1;
      // Acquire and release: as whoever stops would need them.
      const int now = asked.load(std::memory_order_acquire);
      if (now == last) continue;
      last = now;
      seen.store(now, std::memory_order_release);
    }
  });
  LatencyHistogram latencies;
  for (int i = 1; i <= kTimes; ++i) {
    const uint64_t until = NowNanos() + kBetween;
    while (NowNanos() < until) {
    }
    const uint64_t began = NowNanos();
    asked.store(i, std::memory_order_release);
    while (seen.load(std::memory_order_acquire) != i) {
    }
    latencies.Add(NowNanos() - began);
  }
  end.store(true);
  other.join();
  report.Figure("stop_1_other_p50", static_cast<double>(latencies.Quantile(0.5)) / 1e3, "us");
  report.Figure("stop_1_other_p99", static_cast<double>(latencies.Quantile(0.99)) / 1e3, "us");
}

void Probe(const Report& report) {
  constexpr int kIterations = 75'000'000;
  std::vector<std::thread> threads;
  const uint64_t began = NowNanos();
  for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) {
    threads.emplace_back([] {
      // As many additions at once as a core can do: what shares it takes some of them.
      uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
      for (int k = 0; k < kIterations; ++k) {
        a += 1, b += 2, c += 3, d += 4, e += 5, f += 6, g += 7, h += 8;
        asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  report.Figure("time", static_cast<double>(NowNanos() - began) / 1e3, "us");
}

int Touch() {
  constexpr size_t kBytes = size_t{3} << 29;
  constexpr size_t kPage = 4096;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("peer-bare: the system refuses 1.5 GiB");
    return 1;
  }
  madvise(memory, kBytes, MADV_HUGEPAGE);  // refused: the same by small pages
  for (size_t at = 0; at < kBytes; at += kPage) static_cast<volatile char*>(memory)[at] = 1;
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Selection selection = bench::Selection::FromCommandLine(
      argc, argv,
      "What the machine does with nothing managed: alloc-1, alloc-2, probe, safepoint, touch.");
  const bench::Report report{"bare", selection.workload};
  if (selection.workload == "alloc-1" || selection.workload == "alloc-2") {
    selection.alloc.threads = selection.workload.back() - '0';
    bench::ArenaHeap::World world;
    bench::RunAlloc<bench::ArenaHeap>(world, selection.alloc, report);
  } else if (selection.workload == "safepoint") {
    bench::PolledFlag(report);
  } else if (selection.workload == "probe") {
    bench::Probe(report);
  } else if (selection.workload == "touch") {
    return bench::Touch();
  } else {
    std::fprintf(stderr,
                 "peer-bare: unknown workload %s; it has alloc-1, alloc-2, probe, safepoint and "
                 "touch\n",
                 selection.workload.c_str());
    return 2;
  }
  return 0;
}
