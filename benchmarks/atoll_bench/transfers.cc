#include <string>
#include <vector>

#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"
#include "benchmarks/atoll_bench/transfer_trees.h"

namespace bench {
namespace {

using Atoll::Isolate;
using Atoll::Ref;

enum class Way { kSend, kShared, kExit, kAdopt };

// A worker isolate builds a tree, passes it on and ends; again and again. The receiver's turn is
// noted where it begins, by the group's client.
struct Transfer final : Atoll::GroupClient {
  Transfer(Way of, int64_t of_nodes, int times) : way(of), nodes(of_nodes), repetitions(times) {}

  IsolateWorld* world = nullptr;
  Way way;
  int64_t nodes;
  int repetitions;
  Done done;
  Atoll::ReceivePort port;
  int left = 0;
  uint64_t entered = 0;    // the last turn
  uint64_t built = 0;      // the worker's clock before it sends
  uint64_t committed = 0;  // after Commit
  std::vector<double> latency;
  std::vector<double> commit;
  std::vector<double> receive;
  std::vector<double> walk;

  void OnEnter(Isolate&) override { entered = NowNanos(); }

  static void Work(Isolate& isolate, void* data) {
    auto& self = *static_cast<Transfer*>(data);
    const Ref tree = RefTo(BuildTree(*self.world, isolate, self.nodes));
    self.built = NowNanos();
    if (self.way == Way::kSend) {
      IsolateWorld::SendRef(isolate, self.port.send_port(), tree);
      return;
    }
    Atoll::ExitTicket ticket = OrExit(Atoll::PrepareExit(
        isolate, self.port.send_port(), tree, nullptr, {.always_adopt = self.way == Way::kAdopt}));
    OrExit(ticket.Commit());
    self.committed = NowNanos();
  }
  static void Receive(Isolate& isolate, Ref message, void* data) {
    auto& self = *static_cast<Transfer*>(data);
    auto* tree = reinterpret_cast<const AtollNode*>(message.word);
    const int64_t first = tree->value + (tree->left ? tree->left->value : 0);
    const uint64_t now = NowNanos();
    if (first < 1 || CountTree(tree) != self.nodes) GiveUp("a wrong tree");
    if (self.left <= self.repetitions) {
      self.latency.push_back(static_cast<double>(now - self.built));
      self.commit.push_back(static_cast<double>(self.committed - self.built));
      self.receive.push_back(static_cast<double>(now - self.entered));
      self.walk.push_back(static_cast<double>(NowNanos() - now));
    }
    if (--self.left == 0) {
      self.done.Set();
    } else {
      // What was adopted is garbage now, and goes before the next comes.
      if (self.nodes >= 1'000'000) {
        OrExit(isolate.mutator().Collect(Atoll::Mutator::Collection::kMajor));
      }
      self.world->Spawn(Work, &self);
    }
  }
  static void Start(Isolate& isolate, void* data) {
    auto& self = *static_cast<Transfer*>(data);
    self.port = OrExit(Atoll::ReceivePort::Open(isolate, Receive, data));
    self.left = self.repetitions + 2;
    self.world->Spawn(Work, &self);
  }
};

void RunTransfer(const IsolateOptions& options, Way way, int64_t nodes, const Report& report) {
  Transfer run(way, nodes, TransferRepetitions(options, nodes));
  IsolateWorld world(options.workers, &run);
  run.world = &world;
  world.Spawn(Transfer::Start, &run);
  run.done.Wait();
  const std::string suffix = "." + std::to_string(nodes);
  const std::string prefix = way == Way::kSend ? "" : "exit_";
  report.Figure(prefix + "latency_p50" + suffix, Median(run.latency) / 1e3, "us");
  if (way != Way::kSend) {
    report.Figure("exit_commit_p50" + suffix, Median(run.commit), "ns");
    report.Figure("exit_receive_p50" + suffix, Median(run.receive), "ns");
  }
  report.Figure(prefix + "walk_p50" + suffix, Median(run.walk) / 1e3, "us");
  world.group().Shutdown();
  run.port.Close();
}

}  // namespace

bool RunTransfers(const std::string& workload, const IsolateOptions& options,
                  const Report& report) {
  Way way;
  if (workload == "transfer_tree") {
    way = Way::kSend;
  } else if (workload == "transfer_shared") {
    way = Way::kShared;
  } else if (workload == "transfer_tree-exit") {
    way = Way::kExit;
  } else if (workload == "transfer_tree-adopt") {
    way = Way::kAdopt;
  } else {
    return false;
  }
  for (const int64_t nodes : options.nodes) {
    if (way == Way::kShared) {
      RunSharedTransfer(options, nodes, report);
    } else {
      RunTransfer(options, way, nodes, report);
    }
  }
  return true;
}

}  // namespace bench
