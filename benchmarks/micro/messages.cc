// What do the parts of a message cost: an inbox, a region that changes hands, a frozen graph?

#include <benchmark/benchmark.h>

#include <memory>

#include "atoll/messaging.h"
#include "benchmarks/atoll_bench/isolate_world.h"
#include "isolate/inbox.h"

namespace {

using Atoll::Envelope;
using Atoll::Inbox;
using Atoll::Ref;
using bench::IsolateWorld;
using bench::Msg;
using bench::OrExit;

// An envelope goes into an inbox and is taken out of it, as when a sender fills an idle one.
void Enqueue(benchmark::State& state) {
  Envelope first{};
  Inbox inbox;
  inbox.Open(&first);
  benchmark::DoNotOptimize(inbox.Take());
  for (auto _ : state) {
    benchmark::DoNotOptimize(inbox.TryIdle());
    benchmark::DoNotOptimize(inbox.Push(&first));
    benchmark::DoNotOptimize(inbox.Take());
  }
}
BENCHMARK(Enqueue)->Name("message/enqueue_and_take");

/// An isolate of this thread's, and the types of the workloads.
struct Entered {
  IsolateWorld world{1};
  std::unique_ptr<Atoll::EnteredIsolate> isolate =
      OrExit(Atoll::EnteredIsolate::Enter(world.group(), {}));

  Atoll::Isolate& current() { return isolate->isolate(); }
  Atoll::Mutator& mutator() { return current().mutator(); }
  /// A list of so many, in field 0.
  void MakeList(int64_t count) {
    OrExit(current().SetField(0, Ref{}));
    for (int64_t i = 0; i < count; ++i) {
      Msg* msg = Atoll::New<Msg>(mutator(), world.msg_type());
      msg->ref.Init(mutator(), msg, reinterpret_cast<Msg*>(current().field(0).word));
      OrExit(current().SetField(0, Ref{reinterpret_cast<Atoll::Word>(msg)}));
    }
  }
};

// A region with `range` objects becomes another's.
void Adopt(benchmark::State& state) {
  Entered entered;
  for (auto _ : state) {
    state.PauseTiming();
    auto region = OrExit(entered.world.group().heap().CreateRegion({.name = "source"}));
    {
      auto mutator = OrExit(region->AttachMutator("source"));
      mutator->LeaveNative();
      for (int64_t i = 0; i < state.range(0); ++i) {
        benchmark::DoNotOptimize(Atoll::New<Msg>(*mutator, entered.world.msg_type()));
      }
      OrExit(mutator->Detach());
      entered.mutator().MakeCurrent();
    }
    state.ResumeTiming();
    OrExit(entered.mutator().region().Adopt(*region));
    state.PauseTiming();
    OrExit(entered.mutator().Collect(Atoll::Mutator::Collection::kMajor));
    region.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(Adopt)->Name("message/adopt")->Arg(1)->Arg(1000)->Arg(100'000)->Iterations(500);

// A list of `range` objects is copied into the Shared space; per object.
void Freeze(benchmark::State& state) {
  Entered entered;
  entered.MakeList(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(OrExit(Atoll::Freeze(entered.current(), entered.current().field(0))));
    state.PauseTiming();
    OrExit(entered.world.group().heap().CollectAll());
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Freeze)->Name("message/freeze")->Arg(1)->Arg(1000)->Arg(100'000)->Iterations(200);

}  // namespace
