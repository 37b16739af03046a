// sendAndExit by what is sent and what lies about it: live bytes, the share of garbage in the
// region, instances of unsendable types in it or none, and how many send. The receiver's figures
// are by how much the message has made it grow, after its next major collection, which is timed.

#include <string>
#include <vector>

#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"
#include "benchmarks/workloads/measure.h"

namespace bench {
namespace {

using Atoll::Isolate;
using Atoll::Ref;

struct ExitCell {
  static constexpr size_t kCollectFrom = 1 << 20;
  // What the receiver has before: a region that holds next to nothing is a block all the same.
  static constexpr size_t kOwnBytes = 100'000;
  IsolateWorld& world;
  const Atoll::Type& unsendable_type;
  size_t live_bytes;
  size_t garbage_bytes;
  bool has_unsendable;
  int children;
  bool always_adopt;
  bool scattered = false;  // what lives among the garbage, not behind it
  Done done{};
  Atoll::ReceivePort port{};
  int received = 0;
  uint64_t prepared = 0;
  uint64_t committed = 0;
  std::vector<double> commit{};
  std::vector<double> dequeue{};
  Atoll::RegionStats before{};  // of the receiver, after a major collection
  Atoll::RegionStats after{};   // after its next one, when it has the last message
  uint64_t major_nanos = 0;     // of that one

  // A node more for the list whose head is in the field.
  static void Prepend(const ExitCell& self, Isolate& isolate, size_t field) {
    auto* node = Atoll::New<AtollNode>(isolate.mutator(), self.world.node_type());
    if (node == nullptr) OrExit(isolate.mutator().last_error());
    node->left.Init(isolate.mutator(), node,
                    reinterpret_cast<AtollNode*>(isolate.field(field).word));
    OrExit(isolate.SetField(field, Ref{reinterpret_cast<Atoll::Word>(node)}));
  }
  // A list of that many bytes, whose head is in the field.
  static void MakeList(const ExitCell& self, Isolate& isolate, size_t bytes, size_t field = 0) {
    OrExit(isolate.SetField(field, Ref{}));
    for (size_t made = 0; made < bytes; made += sizeof(AtollNode)) Prepend(self, isolate, field);
  }
  // Both lists, a node of the live one after as many of the garbage as there are for each.
  static void MakeScattered(const ExitCell& self, Isolate& isolate) {
    const size_t nodes = self.live_bytes / sizeof(AtollNode);
    const size_t each = self.garbage_bytes / sizeof(AtollNode) / nodes;
    for (size_t i = 0; i < nodes; ++i) {
      for (size_t j = 0; j < each; ++j) Prepend(self, isolate, 1);
      Prepend(self, isolate, 0);
    }
    OrExit(isolate.SetField(1, Ref{}));
  }
  static void Work(Isolate& isolate, void* data) {
    auto& self = *static_cast<ExitCell*>(data);
    if (self.has_unsendable) isolate.mutator().Allocate(self.unsendable_type);
    if (self.scattered) {
      MakeScattered(self, isolate);
    } else {
      MakeList(self, isolate, self.garbage_bytes);
      MakeList(self, isolate, self.live_bytes);
    }
    const uint64_t began = NowNanos();
    Atoll::ExitTicket ticket =
        OrExit(Atoll::PrepareExit(isolate, self.port.send_port(), isolate.field(0), nullptr,
                                  {.always_adopt = self.always_adopt}));
    OrExit(ticket.Commit());
    self.committed = NowNanos();
    self.commit.push_back(static_cast<double>(self.committed - began));
  }
  static void Receive(Isolate& isolate, Ref message, void* data) {
    auto& self = *static_cast<ExitCell*>(data);
    self.dequeue.push_back(static_cast<double>(NowNanos() - self.committed));
    if (++self.received < self.children) {
      // What came is garbage, and goes before the next comes.
      if (self.live_bytes + self.garbage_bytes >= kCollectFrom) {
        OrExit(isolate.mutator().Collect(Atoll::Mutator::Collection::kMajor));
      }
      self.world.Spawn(Work, &self);
      return;
    }
    OrExit(isolate.SetField(0, message));
    const uint64_t began = NowNanos();
    self.after = StatsAfterMajor(isolate);
    self.major_nanos = NowNanos() - began;
    self.done.Set();
  }
  static Atoll::RegionStats StatsAfterMajor(Isolate& isolate) {
    OrExit(isolate.mutator().Collect(Atoll::Mutator::Collection::kMajor));
    return isolate.mutator().region().stats();
  }
  static void Start(Isolate& isolate, void* data) {
    auto& self = *static_cast<ExitCell*>(data);
    MakeList(self, isolate, kOwnBytes, 1);
    self.before = StatsAfterMajor(isolate);
    self.port = OrExit(Atoll::ReceivePort::Open(isolate, Receive, data));
    self.world.Spawn(Work, &self);
  }
};

void RunCell(const IsolateOptions& options, size_t live, size_t garbage, bool has_unsendable,
             int children, bool always_adopt, const std::string& name, const Report& report,
             bool scattered = false) {
  IsolateWorld world(options.workers);
  Atoll::TypeInfo info;
  info.name = "Socket";
  info.fixed_size = 32;
  info.flags.unsendable = true;
  const Atoll::Type& unsendable = *OrExit(world.group().heap().RegisterType(info));
  ExitCell cell{.world = world,
                .unsendable_type = unsendable,
                .live_bytes = live,
                .garbage_bytes = garbage,
                .has_unsendable = has_unsendable,
                .children = children,
                .always_adopt = always_adopt,
                .scattered = scattered};
  world.Spawn(ExitCell::Start, &cell);
  cell.done.Wait();
  report.Figure("commit_p50" + name, Median(cell.commit), "ns");
  report.Figure("dequeue_p50" + name, Median(cell.dequeue), "ns");
  const auto growth = [&](size_t Atoll::RegionStats::*bytes) {
    return static_cast<double>(cell.after.*bytes) - static_cast<double>(cell.before.*bytes);
  };
  report.Figure("receiver_live" + name, growth(&Atoll::RegionStats::live_bytes), "B");
  report.Figure("receiver_blocks" + name, growth(&Atoll::RegionStats::block_bytes), "B");
  report.Figure("receiver_major" + name, static_cast<double>(cell.major_nanos), "ns");
  world.group().Shutdown();
}

}  // namespace

bool RunExitMatrix(const std::string& workload, const IsolateOptions& options,
                   const Report& report) {
  constexpr size_t kKib = 1024;
  constexpr size_t kMost = kKib * kKib * kKib;
  if (workload == "exit_matrix-scattered") {
    for (size_t live : {kKib, kKib * kKib, 16 * kKib * kKib, 64 * kKib * kKib}) {
      RunCell(options, live, kMost - live, false, 1, true, "." + std::to_string(live) + ".in1g",
              report, /*scattered=*/true);
    }
    return true;
  }
  if (workload != "exit_matrix") return false;
  for (size_t live = kKib; live <= kMost; live *= 1024) {
    for (const double share : {0.0, 0.5, 0.99}) {
      // The region with 0.99 of garbage round a gibibyte of live objects is not for this machine.
      if (live == kMost && share > 0.5) continue;
      const auto garbage = static_cast<size_t>(static_cast<double>(live) * share / (1 - share));
      for (const bool has_unsendable : {false, true}) {
        const auto run = [&](int children) {
          const std::string name =
              "." + std::to_string(live) + ".g" + std::to_string(static_cast<int>(share * 100)) +
              (has_unsendable ? ".unsendable" : ".plain") + "." + std::to_string(children);
          RunCell(options, live, garbage, has_unsendable, children, true, name, report);
        };
        run(live == kMost ? 5 : 50);
        if (live == kKib) run(100'000);
      }
    }
  }
  // What a small message leaves of a large region, handed over and under the default policy.
  RunCell(options, kKib, kMost, false, 5, true, ".1024.in1g.adopted", report);
  RunCell(options, kKib, kMost, false, 5, false, ".1024.in1g.default", report);
  return true;
}

}  // namespace bench
