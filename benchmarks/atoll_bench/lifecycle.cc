#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"
#include "heap/heap_state.h"

namespace bench {
namespace {

using Atoll::Isolate;
using Atoll::Ref;
using Atoll::SendPort;

// Integers as immediates of the plain encoding.
Ref IntRef(int64_t value) { return Ref{static_cast<Atoll::Word>(value) << 1 | 1}; }
int64_t AsInt(Ref ref) { return static_cast<int64_t>(ref.word) >> 1; }

// ---- spawn: a child runs, sends an integer back and ends

struct Spawning {
  IsolateWorld& world;
  int64_t count;
  int64_t warm_up;
  Done done{};
  Atoll::ReceivePort port{};
  int64_t left = 0;
  uint64_t began = 0;
  uint64_t ended = 0;

  static void Child(Isolate& isolate, void* data) {
    auto& self = *static_cast<Spawning*>(data);
    IsolateWorld::SendRef(isolate, self.port.send_port(), IntRef(self.left));
  }
  static void Next(Isolate&, Ref message, void* data) {
    auto& self = *static_cast<Spawning*>(data);
    if (AsInt(message) != self.left) GiveUp("a child sent something else");
    if (self.left == self.count) self.began = NowNanos();
    if (self.left == 0) {
      self.ended = NowNanos();
      self.done.Set();
      return;
    }
    --self.left;
    self.world.Spawn(Child, &self);
  }
  static void Start(Isolate& isolate, void* data) {
    auto& self = *static_cast<Spawning*>(data);
    self.port = OrExit(Atoll::ReceivePort::Open(isolate, Next, data));
    self.left = self.count + self.warm_up;
    self.world.Spawn(Child, &self);
  }
};

void RunSpawn(const IsolateOptions& options, const Report& report) {
  IsolateWorld world(options.workers);
  Spawning run{.world = world, .count = options.spawns, .warm_up = options.spawns / 10};
  world.Spawn(Spawning::Start, &run);
  run.done.Wait();
  report.Figure("per_unit",
                static_cast<double>(run.ended - run.began) / 1e3 / static_cast<double>(run.count),
                "us");
  world.group().Shutdown();
}

// ---- spawn_program: isolates that read and write a static variable, by how many there are

struct ProgramSpawning {
  IsolateWorld& world;
  int64_t count;
  size_t last;     ///< field: read
  size_t written;  ///< field
  Done done{};
  std::atomic<int64_t> left{0};

  static void Child(Isolate& isolate, void* data) {
    auto& self = *static_cast<ProgramSpawning*>(data);
    if (AsInt(isolate.field(self.last)) != static_cast<int64_t>(self.last)) {
      GiveUp("a field has another initial value");
    }
    OrExit(isolate.SetField(self.written, IntRef(-1)));
    if (self.left.fetch_sub(1) == 1) self.done.Set();
  }
  static void Stay(Isolate& isolate, void* data) {
    isolate.Hold();
    Child(isolate, data);
  }
  /// Nanoseconds until all have run.
  uint64_t Run(void (*entry)(Isolate&, void*)) {
    left = count;
    const uint64_t began = NowNanos();
    for (int64_t i = 0; i < count; ++i) world.Spawn(entry, this);
    done.Wait();
    return NowNanos() - began;
  }
};

void MeasureProgramSpawning(const IsolateOptions& options, size_t fields, size_t written,
                            const std::string& name, const Report& report) {
  constexpr int kRounds = 5;
  IsolateWorld world(options.workers);
  std::vector<Ref> values;
  for (size_t i = 0; i < fields; ++i) values.push_back(IntRef(static_cast<int64_t>(i)));
  OrExit(world.group().program().AddFields(values));
  ProgramSpawning run{
      .world = world, .count = options.spawns / 10, .last = fields - 1, .written = written};
  run.Run(ProgramSpawning::Child);
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < kRounds; ++i) best = std::min(best, run.Run(ProgramSpawning::Child));
  world.group().WaitUntilEmpty();
  const double count = static_cast<double>(run.count);
  report.Figure(name + "_per_unit", static_cast<double>(best) / 1e3 / count, "us");
  const size_t before = world.group().heap().state().allocator.bytes();
  run.Run(ProgramSpawning::Stay);
  report.Figure(
      name + "_bytes_per_unit",
      static_cast<double>(world.group().heap().state().allocator.bytes() - before) / count, "B");
  world.group().Shutdown();
}

void RunSpawnProgram(const IsolateOptions& options, const Report& report) {
  for (const size_t fields : {size_t{10}, size_t{1'000}, size_t{10'000}}) {
    const std::string suffix = "." + std::to_string(fields);
    MeasureProgramSpawning(options, fields, 0, "first" + suffix, report);
    MeasureProgramSpawning(options, fields, fields - 1, "last" + suffix, report);
  }
}

// ---- idle: isolates that have run once and hold something

struct Idle final : Atoll::GroupClient {
  IsolateWorld* world = nullptr;
  int64_t count = 0;
  Done done{};
  std::atomic<int64_t> up{0};
  std::atomic<int64_t> initialized{0};
  std::atomic<int64_t> cleaned_up{0};
  uint64_t ended = 0;

  Atoll::Status InitializeIsolate(Isolate&) override {
    initialized.fetch_add(1, std::memory_order_relaxed);
    return Atoll::Status::Ok();
  }
  void CleanupIsolate(Atoll::IsolateId, void*) override {
    cleaned_up.fetch_add(1, std::memory_order_relaxed);
  }
  static void Ignore(Isolate&, Ref, void*) {}
  static void Run(Isolate& isolate, void* data) {
    auto& self = *static_cast<Idle*>(data);
    // 128 live bytes in four objects, and a port that keeps the isolate alive.
    Msg* list = nullptr;
    for (int i = 0; i < 4; ++i) {
      Msg* msg = Atoll::New<Msg>(isolate.mutator(), self.world->msg_type());
      msg->ref.Init(isolate.mutator(), msg, list);
      list = msg;
      OrExit(isolate.SetField(0, Ref{reinterpret_cast<Atoll::Word>(list)}));
    }
    Atoll::ReceivePort port = OrExit(Atoll::ReceivePort::Open(isolate, Ignore, data));
    port.Release();
    if (self.up.fetch_add(1, std::memory_order_relaxed) + 1 == self.count) {
      self.ended = NowNanos();
      self.done.Set();
    }
  }
  static void Start(Isolate&, void* data) {
    auto& self = *static_cast<Idle*>(data);
    for (int64_t i = 0; i < self.count; ++i) self.world->Spawn(Run, &self);
  }
};

void RunIdle(const IsolateOptions& options, const Report& report) {
  Idle run;
  IsolateWorld world(options.workers, &run);
  run.world = &world;
  run.count = options.idle;
  const double before = ResidentMiB();
  const uint64_t began = NowNanos();
  world.Spawn(Idle::Start, &run);
  run.done.Wait();
  const double count = static_cast<double>(options.idle);
  const std::string suffix = "." + std::to_string(options.idle);
  report.Figure("create_per_unit" + suffix, static_cast<double>(run.ended - began) / 1e3 / count,
                "us");
  report.Figure("rss_per_unit" + suffix, (ResidentMiB() - before) * 1048576.0 / count, "B");
  const uint64_t ending = NowNanos();
  world.group().Shutdown();
  report.Figure("end_per_unit" + suffix, static_cast<double>(NowNanos() - ending) / 1e3 / count,
                "us");
  if (run.initialized != run.cleaned_up) GiveUp("an isolate was not cleaned up");
}

// ---- skynet: a tree of isolates, ten children each, that sums its leaves' numbers

struct Skynet {
  static constexpr int64_t kLeaves = 1'000'000;
  static constexpr int64_t kChildren = 10;
  struct Unit {
    Skynet* skynet;
    int64_t first;
    int64_t leaves;
    SendPort parent;
    Atoll::ReceivePort port;
    int64_t sum = 0;
    int64_t waiting = kChildren;
  };
  IsolateWorld& world;
  Done done{};
  int64_t total = 0;
  // What the isolates' own code keeps, of all of them in one piece that goes back to the system.
  static constexpr size_t kUnits = 1'111'111;
  Unit* units = static_cast<Unit*>(mmap(nullptr, kUnits * sizeof(Unit), PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  std::atomic<size_t> used{0};

  Unit* NewUnit(int64_t first, int64_t leaves, const SendPort& parent) {
    return new (&units[used.fetch_add(1, std::memory_order_relaxed)])
        Unit{this, first, leaves, parent, {}};
  }

  static void Run(Isolate& isolate, void* data) {
    auto* unit = static_cast<Unit*>(data);
    if (unit->leaves == 1) {
      IsolateWorld::SendRef(isolate, unit->parent, IntRef(unit->first));
      return;
    }
    unit->port = OrExit(Atoll::ReceivePort::Open(isolate, Add, unit));
    const int64_t each = unit->leaves / kChildren;
    for (int64_t i = 0; i < kChildren; ++i) {
      unit->skynet->world.Spawn(
          Run, unit->skynet->NewUnit(unit->first + i * each, each, unit->port.send_port()));
    }
  }
  static void Add(Isolate& isolate, Ref message, void* data) {
    auto* unit = static_cast<Unit*>(data);
    unit->sum += AsInt(message);
    if (--unit->waiting != 0) return;
    if (unit->parent) {
      IsolateWorld::SendRef(isolate, unit->parent, IntRef(unit->sum));
    } else {
      unit->skynet->total = unit->sum;
      unit->skynet->done.Set();
    }
    unit->port.Close();  // and so ends the isolate
  }
};

void RunSkynet(const IsolateOptions& options, const Report& report) {
  IsolateWorld world(options.workers);
  Skynet skynet{.world = world};
  // By small pages their first touch may take longer than all else.
  madvise(skynet.units, Skynet::kUnits * sizeof(Skynet::Unit), MADV_HUGEPAGE);
  ResidentMiB();  // what reads and prints is no growth
  report.Figure("isolates", static_cast<double>(Skynet::kUnits), "count");
  const double before = ResidentMiB();
  const uint64_t began = NowNanos();
  world.Spawn(Skynet::Run, skynet.NewUnit(0, Skynet::kLeaves, {}));
  skynet.done.Wait();
  const uint64_t ended = NowNanos();
  world.group().WaitUntilEmpty();
  munmap(skynet.units, Skynet::kUnits * sizeof(Skynet::Unit));
  if (skynet.total != Skynet::kLeaves * (Skynet::kLeaves - 1) / 2) GiveUp("a wrong sum");
  report.Figure("time", Seconds(ended - began), "s");
  report.Figure("rss_before", before, "MiB");
  report.Figure("rss_at_end", ResidentMiB(), "MiB");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  report.Figure("rss_after_1s", ResidentMiB(), "MiB");
  world.group().Shutdown();
}

// ---- churn: isolates that build and drop structures

struct Churn {
  static constexpr int kDepth = 14;
  IsolateWorld& world;
  int64_t isolates;
  int64_t trees;
  Done done{};
  std::atomic<int64_t> left{0};

  static AtollNode* Build(const Churn& self, Isolate& isolate, int depth) {
    Atoll::Mutator& mutator = isolate.mutator();
    Atoll::StackScope scope(mutator);
    Atoll::StackLocal<AtollNode> left(mutator,
                                      depth > 0 ? Build(self, isolate, depth - 1) : nullptr);
    Atoll::StackLocal<AtollNode> right(mutator,
                                       depth > 0 ? Build(self, isolate, depth - 1) : nullptr);
    AtollNode* node = Atoll::New<AtollNode>(mutator, self.world.node_type());
    node->left.Init(mutator, node, left.get());
    node->right.Init(mutator, node, right.get());
    return node;
  }
  static void Run(Isolate& isolate, void* data) {
    auto& self = *static_cast<Churn*>(data);
    for (int64_t i = 0; i < self.trees; ++i) Build(self, isolate, kDepth);
    if (self.left.fetch_sub(1) == 1) self.done.Set();
  }
};

void RunChurn(const IsolateOptions& options, int64_t isolates, const Report& report) {
  IsolateWorld world(options.workers, nullptr, options.nursery_kib * 1024);
  Churn churn{.world = world, .isolates = isolates, .trees = 10'000};
  churn.left = isolates;
  const uint64_t began = NowNanos();
  for (int64_t i = 0; i < isolates; ++i) world.Spawn(Churn::Run, &churn);
  churn.done.Wait();
  const double nodes = static_cast<double>(isolates * churn.trees * ((2 << Churn::kDepth) - 1));
  report.Figure("throughput." + std::to_string(isolates),
                nodes * 1e3 / static_cast<double>(NowNanos() - began), "Mobj/s");
  world.group().Shutdown();
}

}  // namespace

bool RunLifecycle(const std::string& workload, const IsolateOptions& options,
                  const Report& report) {
  if (workload == "spawn") {
    RunSpawn(options, report);
  } else if (workload == "spawn_program") {
    RunSpawnProgram(options, report);
  } else if (workload == "idle") {
    RunIdle(options, report);
  } else if (workload == "skynet") {
    RunSkynet(options, report);
  } else if (workload.starts_with("churn-")) {
    RunChurn(options, workload.back() - '0', report);
  } else {
    return false;
  }
  return true;
}

}  // namespace bench
