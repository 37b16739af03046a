// Does an isolate that allocates hold up another one? The sibling keeps a table of trees, some
// megabytes, and replaces them one by one, so that each of its collections has survivors to copy;
// the bystander polls, stores, allocates now and then, and reads the clock. The control run has as
// many busy threads, and no memory manager: the gaps that the machine itself makes.

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "atoll/isolate.h"
#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"
#include "benchmarks/workloads/threads.h"

namespace bench {
namespace {

using Atoll::Isolate;

constexpr int kTreeDepth = 7;  // 255 nodes
constexpr size_t kTreeBytes = 255 * sizeof(AtollNode);
constexpr double kSeconds = 5;

struct Siblings {
  IsolateWorld& world;
  size_t trees;
  Bystander bystander{};
  std::atomic<bool> stop{false};
  std::atomic<int> left{2};
  Done done{};
  uint64_t stops = 0;
  uint64_t group_stops = 0;
  Atoll::RegionStats collections{};

  static AtollNode* Build(const Siblings& self, Isolate& isolate, int depth) {
    Atoll::Mutator& mutator = isolate.mutator();
    const Atoll::StackScope scope(mutator);
    const Atoll::StackLocal<AtollNode> left(mutator,
                                            depth > 0 ? Build(self, isolate, depth - 1) : nullptr);
    const Atoll::StackLocal<AtollNode> right(mutator,
                                             depth > 0 ? Build(self, isolate, depth - 1) : nullptr);
    auto* node = Atoll::New<AtollNode>(mutator, self.world.node_type());
    node->left.Init(mutator, node, left.get());
    node->right.Init(mutator, node, right.get());
    return node;
  }
  static void Allocate(Isolate& isolate, void* data) {
    auto& self = *static_cast<Siblings*>(data);
    Atoll::Mutator& mutator = isolate.mutator();
    {
      const Atoll::StackScope scope(mutator);
      const Atoll::StackLocal<IsolateWorld::Table> table(
          mutator,
          Atoll::NewArray<IsolateWorld::Table>(mutator, self.world.table_type(), self.trees));
      for (size_t i = 0; !self.stop.load(std::memory_order_relaxed); ++i) {
        AtollNode* tree = Build(self, isolate, kTreeDepth);
        table->at(i % self.trees).Set(mutator, table.get(), tree);
        isolate.Poll();
        if (i == self.trees) self.bystander.Start();
      }
    }
    self.collections = mutator.region().stats();
    self.End();
  }
  static void Watch(Isolate& isolate, void* data) {
    auto& self = *static_cast<Siblings*>(data);
    Atoll::Mutator& mutator = isolate.mutator();
    {
      const Atoll::NativeScope native(mutator);
      self.bystander.AwaitStart();
    }
    {
      const Atoll::StackScope scope(mutator);
      const Atoll::StackLocal<AtollNode> kept(
          mutator, Atoll::New<AtollNode>(mutator, self.world.node_type()));
      const uint64_t stops = mutator.stops_asked();
      const uint64_t group_stops = self.world.group().heap().safepoints().group_stops();
      self.bystander.Run([&](uint64_t readings) {
        isolate.Poll();
        if (readings % 1000 == 0) {
          AtollNode* node = Atoll::New<AtollNode>(mutator, self.world.node_type());
          kept->left.Set(mutator, kept.get(), node);
        } else {
          kept->right.Set(mutator, kept.get(), kept->left.get());
        }
      });
      self.stops = mutator.stops_asked() - stops;
      self.group_stops = self.world.group().heap().safepoints().group_stops() - group_stops;
    }
    self.End();
  }
  void End() {
    if (left.fetch_sub(1) == 1) done.Set();
  }
};

void Control(int busy_threads, const Report& report) {
  Bystander bystander;
  std::atomic<bool> stop{false};
  OnThreads(busy_threads + 2, [&](int id) {
    if (id == 0) {
      bystander.Start();
      std::this_thread::sleep_for(std::chrono::duration<double>(kSeconds));
      bystander.Stop();
      stop.store(true, std::memory_order_relaxed);
    } else if (id == 1) {
      bystander.AwaitStart();
      bystander.Run([](uint64_t) {});
    } else {
      while (!stop.load(std::memory_order_relaxed)) {
      }
    }
  });
  bystander.Print(report, "control");
}

}  // namespace

bool RunBystander(const std::string& workload, const IsolateOptions& options,
                  const Report& report) {
  if (!workload.starts_with("bystander-")) return false;
  const size_t megabytes = std::stoul(workload.substr(workload.find('-') + 1));
  int collecting_threads = 1;
  {
    IsolateWorld world(options.workers);
    Siblings run{.world = world, .trees = megabytes * 1'000'000 / kTreeBytes};
    world.Spawn(Siblings::Watch, &run);
    world.Spawn(Siblings::Allocate, &run);
    run.bystander.AwaitStart();
    std::this_thread::sleep_for(std::chrono::duration<double>(kSeconds));
    run.bystander.Stop();
    run.stop.store(true, std::memory_order_relaxed);
    run.done.Wait();
    run.bystander.Print(report, "bystander");
    report.Figure("stops_asked", static_cast<double>(run.stops), "count");
    report.Figure("group_stops", static_cast<double>(run.group_stops), "count");
    report.Figure("sibling_minors", static_cast<double>(run.collections.minors), "count");
    report.Figure("sibling_majors", static_cast<double>(run.collections.majors), "count");
    collecting_threads = static_cast<int>(std::thread::hardware_concurrency());
    world.group().Shutdown();
  }
  // The sibling, and those who help it collect.
  Control(collecting_threads, report);
  return true;
}

}  // namespace bench
