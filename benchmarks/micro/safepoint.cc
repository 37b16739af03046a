// What do polls, transitions, handshakes and stops cost?

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "benchmarks/micro/micro_heap.h"

namespace {

using bench::AtollHeap;
using bench::MicroHeap;

/// Another mutator of the same heap, with a region of its own, on a thread of its own: polling
/// all the time, or native all the time.
class OtherMutator {
 public:
  enum class Does { kPolls, kIsNative };

  OtherMutator(bench::AtollWorld& world, Does does) {
    thread_ = std::thread([this, &world, does] {
      AtollHeap::Owner owner(world);
      const AtollHeap heap = owner.heap();
      if (does == Does::kPolls) {
        mutator_.store(&heap.mutator());
        while (!end_.load(std::memory_order_relaxed)) heap.Poll();
      } else {
        const AtollHeap::Away away(heap);
        mutator_.store(&heap.mutator());
        while (!end_.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    while (mutator_.load() == nullptr) std::this_thread::yield();
  }
  /// Call from native state: the other wants to detach.
  void End() {
    end_.store(true);
    thread_.join();
  }
  Atoll::MutatorThread* mutator() { return mutator_.load(); }

 private:
  std::atomic<Atoll::MutatorThread*> mutator_{nullptr};
  std::atomic<bool> end_{false};
  std::thread thread_;
};

void EmptyLoop(benchmark::State& state) {
  for (auto _ : state) benchmark::ClobberMemory();
}
BENCHMARK(EmptyLoop)->Name("empty_loop");

void Poll(benchmark::State& state) {
  MicroHeap micro;
  for (auto _ : state) {
    micro.mutator().Poll();
    benchmark::ClobberMemory();
  }
}
BENCHMARK(Poll)->Name("poll");

void NativeTransition(benchmark::State& state) {
  MicroHeap micro;
  for (auto _ : state) {
    micro.mutator().EnterNative();
    benchmark::ClobberMemory();
    micro.mutator().LeaveNative();
  }
}
BENCHMARK(NativeTransition)->Name("native_transition_pair");

void Handshake(benchmark::State& state, OtherMutator::Does does) {
  MicroHeap micro;
  OtherMutator other(micro.world(), does);
  for (auto _ : state) {
    micro.world().heap().safepoints().Handshake(*other.mutator(), [](Atoll::MutatorThread&) {});
  }
  const AtollHeap::Away away(micro.heap());
  other.End();
}
BENCHMARK_CAPTURE(Handshake, polling, OtherMutator::Does::kPolls)->UseRealTime();
BENCHMARK_CAPTURE(Handshake, native, OtherMutator::Does::kIsNative)->UseRealTime();

void StopMutators(benchmark::State& state, OtherMutator::Does does) {
  MicroHeap micro;
  OtherMutator other(micro.world(), does);
  Atoll::MutatorThread* const set[] = {other.mutator()};
  for (auto _ : state) {
    micro.world().heap().safepoints().StopMutators(set, "benchmark",
                                                   [](const Atoll::StoppedScope&) {});
  }
  const AtollHeap::Away away(micro.heap());
  other.End();
}
BENCHMARK_CAPTURE(StopMutators, polling, OtherMutator::Does::kPolls)->UseRealTime();
BENCHMARK_CAPTURE(StopMutators, native, OtherMutator::Does::kIsNative)->UseRealTime();

}  // namespace
