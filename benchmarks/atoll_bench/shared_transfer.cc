// transfer_shared: a tree is frozen, and its root is sent: a word, whatever it reaches.
#include <algorithm>
#include <string>
#include <vector>

#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"
#include "benchmarks/atoll_bench/transfer_trees.h"

namespace bench {
namespace {

using Atoll::Isolate;
using Atoll::Ref;

// A sender freezes trees, keeps the last one, and sends it as often as the receiver asks for it.
struct SharedTransfer {
  IsolateWorld& world;
  int64_t nodes;
  int freezes;
  int left;
  Done done{};
  Atoll::ReceivePort receiver{};
  Atoll::ReceivePort sender{};
  uint64_t sent = 0;
  std::vector<double> freeze{};
  std::vector<double> latency{};

  static void FreezeOne(SharedTransfer& self, Isolate& isolate) {
    Atoll::Mutator& mutator = isolate.mutator();
    OrExit(isolate.SetField(0, RefTo(BuildTree(self.world, isolate, self.nodes))));
    const uint64_t began = NowNanos();
    const Ref frozen = OrExit(Atoll::Freeze(isolate, isolate.field(0)));
    self.freeze.push_back(static_cast<double>(NowNanos() - began));
    OrExit(isolate.SetField(0, frozen));
    if (self.nodes < 1'000'000) return;
    // The tree that was copied is garbage now, and so is the one frozen before.
    const Atoll::NativeScope native(mutator);
    OrExit(self.world.group().heap().CollectAll());
  }
  static void Send(Isolate& isolate, Ref, void* data) {
    auto& self = *static_cast<SharedTransfer*>(data);
    self.sent = NowNanos();
    IsolateWorld::SendRef(isolate, self.receiver.send_port(), isolate.field(0));
  }
  static void Receive(Isolate& isolate, Ref message, void* data) {
    auto& self = *static_cast<SharedTransfer*>(data);
    auto* tree = reinterpret_cast<const AtollNode*>(message.word);
    const int64_t first = tree->value + (tree->left ? tree->left->value : 0);
    self.latency.push_back(static_cast<double>(NowNanos() - self.sent));
    if (first < 1) GiveUp("a wrong tree");
    if (--self.left > 0) return IsolateWorld::SendRef(isolate, self.sender.send_port(), Ref{1});
    if (CountTree(tree) != self.nodes) GiveUp("a wrong tree");
    self.done.Set();
  }
  static void StartSender(Isolate& isolate, void* data) {
    auto& self = *static_cast<SharedTransfer*>(data);
    self.sender = OrExit(Atoll::ReceivePort::Open(isolate, Send, data));
    for (int i = 0; i < self.freezes; ++i) FreezeOne(self, isolate);
    Send(isolate, Ref{}, data);
  }
  static void Start(Isolate& isolate, void* data) {
    auto& self = *static_cast<SharedTransfer*>(data);
    self.receiver = OrExit(Atoll::ReceivePort::Open(isolate, Receive, data));
    self.world.Spawn(StartSender, &self);
  }
};

}  // namespace

void RunSharedTransfer(const IsolateOptions& options, int64_t nodes, const Report& report) {
  constexpr int kSends = 10'000;
  constexpr int kWarmUp = kSends / 10;
  IsolateWorld world(options.workers);
  SharedTransfer run{.world = world,
                     .nodes = nodes,
                     .freezes = TransferRepetitions(options, nodes),
                     .left = kSends + kWarmUp};
  world.Spawn(SharedTransfer::Start, &run);
  run.done.Wait();
  run.latency.erase(run.latency.begin(), run.latency.begin() + kWarmUp);
  const std::string suffix = "." + std::to_string(nodes);
  report.Figure("freeze_p50" + suffix, Median(run.freeze) / 1e3, "us");
  report.Figure("latency_p50" + suffix, Median(run.latency) / 1e3, "us");
  world.group().Shutdown();
}

}  // namespace bench
