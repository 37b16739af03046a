#include <algorithm>
#include <deque>
#include <vector>

#include "benchmarks/atoll_bench/isolate_world.h"
#include "benchmarks/atoll_bench/isolates.h"

namespace bench {
namespace {

using Atoll::Isolate;
using Atoll::Ref;
using Atoll::SendPort;

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

// ---- send_throughput: producers send to one consumer as fast as they can

struct Throughput {
  // A producer sends so many in a turn, and then lets others have theirs: who sends all at once
  // only fills memory.
  static constexpr int64_t kPerTurn = 256;
  struct Producer {
    Throughput* run;
    int64_t next = 0;
    Atoll::ReceivePort port{};
  };
  IsolateWorld& world;
  int64_t producers;
  int64_t each;
  Done done{};
  Atoll::ReceivePort port{};
  std::deque<Producer> units{};
  int64_t received = 0;
  int64_t sum = 0;
  uint64_t began = 0;
  uint64_t ended = 0;

  static void Take(Isolate&, Ref message, void* data) {
    auto& self = *static_cast<Throughput*>(data);
    self.sum += IsolateWorld::AsMsg(message)->payload;
    if (++self.received < self.producers * self.each) return;
    self.ended = NowNanos();
    self.done.Set();
  }
  static void Produce(Isolate& isolate, Ref, void* data) {
    auto& self = *static_cast<Producer*>(data);
    const SendPort port = self.run->port.send_port();
    const int64_t end = std::min(self.next + kPerTurn, self.run->each);
    for (; self.next < end; ++self.next) self.run->world.SendMsg(isolate, port, 0, self.next);
    if (self.next < self.run->each) {
      IsolateWorld::SendRef(isolate, self.port.send_port(), Ref{1});
    } else {
      self.port.Close();
    }
  }
  static void StartProducer(Isolate& isolate, void* data) {
    auto& self = *static_cast<Producer*>(data);
    self.port = OrExit(Atoll::ReceivePort::Open(isolate, Produce, data));
    IsolateWorld::SendRef(isolate, self.port.send_port(), Ref{1});
  }
  static void Start(Isolate& isolate, void* data) {
    auto& self = *static_cast<Throughput*>(data);
    self.port = OrExit(Atoll::ReceivePort::Open(isolate, Take, data));
    self.began = NowNanos();
    for (int64_t i = 0; i < self.producers; ++i) {
      self.units.push_back({&self});
    }
    for (Producer& producer : self.units) self.world.Spawn(StartProducer, &producer);
  }
};

void RunThroughput(const IsolateOptions& options, int64_t producers, const Report& report) {
  IsolateWorld world(options.workers);
  Throughput run{.world = world, .producers = producers, .each = options.messages / producers};
  world.Spawn(Throughput::Start, &run);
  run.done.Wait();
  if (run.sum != producers * (run.each * (run.each - 1) / 2)) GiveUp("a message was lost");
  report.Figure(
      "rate." + std::to_string(producers),
      static_cast<double>(run.received) * 1e3 / static_cast<double>(run.ended - run.began),
      "Mmsg/s");
  world.group().Shutdown();
}

}  // namespace

bool RunMessages(const std::string& workload, const IsolateOptions& options, const Report& report) {
  if (workload == "ping_pong") {
    RunPingPong(options, report);
  } else if (workload == "ring") {
    RunRing(options, report);
  } else if (workload == "send_throughput-1") {
    RunThroughput(options, 1, report);
  } else if (workload == "send_throughput-8") {
    RunThroughput(options, 8, report);
  } else {
    return false;
  }
  return true;
}

}  // namespace bench
