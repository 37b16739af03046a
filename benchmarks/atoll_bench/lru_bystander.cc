#include "benchmarks/atoll_bench/lru_bystander.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "benchmarks/workloads/malloc_heap.h"
#include "benchmarks/workloads/threads.h"

namespace bench {

double RunLruBystander(AtollWorld& world, const LruOptions& options, const Report& report) {
  constexpr uint64_t kReadingsPerAllocation = 1000;
  constexpr size_t kPlaces = 64;
  Bystander bystander;
  return RunLruBeside<AtollHeap>(world, options, report, bystander, [&] {
    AtollHeap::Owner owner(world);
    const AtollHeap heap = owner.heap();
    const AtollHeap::Scope scope(heap);
    const AtollHeap::Root<AtollHeap::Table> places(heap, heap.MakeTable(kPlaces));
    const AtollHeap::Root<AtollHeap::Node> latest(heap, heap.Make(0));
    {
      const AtollHeap::Away away(heap);
      bystander.AwaitStart();
    }
    const uint64_t stops_before = heap.mutator().stops_asked();
    const uint64_t group_stops_before = world.heap().safepoints().group_stops();
    bystander.Run([&](uint64_t readings) {
      heap.Poll();
      if (readings % kReadingsPerAllocation == 0) {
        AtollHeap::Node* node = heap.Make(latest, static_cast<int64_t>(readings));
        heap.Put(places.get(), readings / kReadingsPerAllocation % kPlaces, node);
      } else {
        heap.Put(places.get(), readings % kPlaces, latest.get());
      }
    });
    report.Figure("stops_asked", static_cast<double>(heap.mutator().stops_asked() - stops_before),
                  "count");
    report.Figure("group_stops",
                  static_cast<double>(world.heap().safepoints().group_stops() - group_stops_before),
                  "count");
  });
}

void RunBystanderControl(const LruOptions& options, double seconds, const Report& report) {
  Bystander bystander;
  std::atomic<bool> give_up{false};
  LruOptions endless = options;
  endless.operations = INT64_MAX;
  OnThreads(3, [&](int id) {
    if (id == 0) {
      MallocHeap::World world;
      TimeLru<MallocHeap>(
          world, endless, options.operations / 10, [&] { bystander.Start(); }, [] {}, &give_up);
    } else if (id == 1) {
      bystander.AwaitStart();
      bystander.Run([](uint64_t) {});
    } else {
      bystander.AwaitStart();
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
      bystander.Stop();
      give_up.store(true, std::memory_order_relaxed);
    }
  });
  bystander.Print(report, "control");
}

}  // namespace bench
