#include "benchmarks/atoll_bench/isolates.h"

#include <vector>

#include "benchmarks/atoll_bench/isolate_world.h"

namespace bench {
namespace {

using Atoll::Isolate;
using Atoll::Ref;
using Atoll::SendPort;

/// A sign that something has ended, for the thread outside.
class Done {
 public:
  void Set() { semaphore_.release(); }
  void Wait() { semaphore_.acquire(); }

 private:
  std::binary_semaphore semaphore_{0};
};

// ---- ping_pong: two isolates, each answering with a fresh message

struct PingPong {
  IsolateWorld& world;
  int64_t rounds;
  int64_t warm_up;
  Done done{};
  Atoll::ReceivePort ports[2]{};
  SendPort to[2]{};
  int64_t left = 0;
  uint64_t began = 0;
  uint64_t ended = 0;

  static void Answer(Isolate& isolate, Ref message, void* data) {
    auto& self = *static_cast<PingPong*>(data);
    Msg* msg = IsolateWorld::AsMsg(message);
    self.world.SendMsg(isolate, self.to[0], msg->id, msg->payload + 1);
  }
  static void Serve(Isolate& isolate, Ref message, void* data) {
    auto& self = *static_cast<PingPong*>(data);
    if (self.left == self.rounds) self.began = NowNanos();
    if (self.left-- == 0) {
      self.ended = NowNanos();
      self.done.Set();
      return;
    }
    self.world.SendMsg(isolate, self.to[1], self.left, IsolateWorld::AsMsg(message)->payload + 1);
  }
  static void StartSecond(Isolate& isolate, void* data) {
    auto& self = *static_cast<PingPong*>(data);
    self.ports[1] = OrExit(Atoll::ReceivePort::Open(isolate, Answer, data));
    self.to[1] = self.ports[1].send_port();
    self.world.Spawn(StartFirst, &self);
  }
  static void StartFirst(Isolate& isolate, void* data) {
    auto& self = *static_cast<PingPong*>(data);
    self.ports[0] = OrExit(Atoll::ReceivePort::Open(isolate, Serve, data));
    self.to[0] = self.ports[0].send_port();
    self.left = self.rounds + self.warm_up;
    self.world.SendMsg(isolate, self.to[1], 0, 0);
  }
};

void RunPingPong(const IsolateOptions& options, const Report& report) {
  IsolateWorld world(options.workers);
  PingPong game{.world = world, .rounds = options.rounds, .warm_up = options.rounds / 10};
  world.Spawn(PingPong::StartSecond, &game);
  game.done.Wait();
  report.Figure("round_trip",
                static_cast<double>(game.ended - game.began) / static_cast<double>(options.rounds),
                "ns");
  world.group().Shutdown();
}

// ---- ring: each isolate passes a fresh message to the next

struct Ring {
  struct Unit {
    Ring* ring;
    Atoll::ReceivePort port;
    SendPort next;
  };
  IsolateWorld& world;
  int64_t hops;
  int64_t warm_up;
  Done done{};
  std::vector<Unit> units{};
  size_t started = 0;
  uint64_t began = 0;
  uint64_t ended = 0;

  static void Pass(Isolate& isolate, Ref message, void* data) {
    auto& unit = *static_cast<Unit*>(data);
    Ring& ring = *unit.ring;
    const int64_t left = IsolateWorld::AsMsg(message)->payload;
    if (left == ring.hops) ring.began = NowNanos();
    if (left == 0) {
      ring.ended = NowNanos();
      ring.done.Set();
      return;
    }
    ring.world.SendMsg(isolate, unit.next, 0, left - 1);
  }
  // Starts the next one, backwards round the ring; the last one started closes it.
  static void Start(Isolate& isolate, void* data) {
    auto& unit = *static_cast<Unit*>(data);
    Ring& ring = *unit.ring;
    unit.port = OrExit(Atoll::ReceivePort::Open(isolate, Pass, data));
    if (ring.started != 0) unit.next = ring.units[ring.started - 1].port.send_port();
    if (++ring.started < ring.units.size()) {
      ring.world.Spawn(Start, &ring.units[ring.started]);
      return;
    }
    ring.units[0].next = unit.port.send_port();
    ring.world.SendMsg(isolate, unit.next, 0, ring.hops + ring.warm_up);
  }
};

void RunRing(const IsolateOptions& options, const Report& report) {
  IsolateWorld world(options.workers);
  Ring ring{.world = world, .hops = options.hops, .warm_up = options.hops / 20};
  ring.units.resize(static_cast<size_t>(options.units));
  for (Ring::Unit& unit : ring.units) unit.ring = &ring;
  world.Spawn(Ring::Start, &ring.units[0]);
  ring.done.Wait();
  report.Figure("hop",
                static_cast<double>(ring.ended - ring.began) / static_cast<double>(options.hops),
                "ns");
  world.group().Shutdown();
}

}  // namespace

bool RunIsolateWorkload(const std::string& workload, const IsolateOptions& options,
                        const Report& report) {
  if (workload == "ping_pong") {
    RunPingPong(options, report);
  } else if (workload == "ring") {
    RunRing(options, report);
  } else {
    return false;
  }
  return true;
}

}  // namespace bench
