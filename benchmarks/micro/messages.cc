// What do the parts of a message cost: an inbox, a region that changes hands, a frozen graph?

#include <benchmark/benchmark.h>

#include <memory>

#include "atoll/messaging.h"
#include "atoll/transferable_buffer.h"
#include "benchmarks/atoll_bench/isolate_world.h"
#include "isolate/image.h"
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

/// Sends what `make` has put into field 0 to a port of the same isolate, which lets go of it; the
/// time is that of the send alone.
template <typename Make>
void SendOne(benchmark::State& state, Entered& entered, Make make) {
  auto port = OrExit(Atoll::ReceivePort::Open(
      entered.current(), [](Atoll::Isolate&, Ref, void*) {}, nullptr));
  for (auto _ : state) {
    state.PauseTiming();
    OrExit(entered.current().SetField(0, make()));
    state.ResumeTiming();
    IsolateWorld::SendRef(entered.current(), port.send_port(), entered.current().field(0));
    state.PauseTiming();
    OrExit(entered.current().SetField(0, Ref{}));
    benchmark::DoNotOptimize(entered.isolate->Receive());
    OrExit(entered.world.group().heap().CollectAll());
    state.ResumeTiming();
  }
}

constexpr size_t kMiB = size_t{1} << 20;

// `range` MiB of bytes in one object, of a type that is deeply immutable or not.
void SendBytes(benchmark::State& state, bool is_immutable) {
  Entered entered;
  const size_t length = static_cast<size_t>(state.range(0)) * kMiB;
  Atoll::TypeInfo info;
  info.name = "Bytes";
  info.fixed_size = 16;
  info.element_size = 1;
  info.length_offset = 8;
  info.flags.deeply_immutable = is_immutable;
  const Atoll::Type& type = *OrExit(entered.world.group().heap().RegisterType(info));
  SendOne(state, entered,
          [&] { return Ref{entered.mutator().AllocateArray(type, length).address()}; });
}
BENCHMARK_CAPTURE(SendBytes, copied, false)
    ->Name("message/send_bytes/mutable")
    ->Arg(1)
    ->Arg(64)
    ->Iterations(20);
BENCHMARK_CAPTURE(SendBytes, flipped, true)
    ->Name("message/send_bytes/immutable")
    ->Arg(1)
    ->Arg(64)
    ->Iterations(20);

// `range` MiB of bytes off the heap.
void SendBuffer(benchmark::State& state) {
  Entered entered;
  const size_t length = static_cast<size_t>(state.range(0)) * kMiB;
  const Atoll::Type& type =
      *OrExit(Atoll::TransferableBuffer::RegisterType(entered.world.group().heap()));
  SendOne(state, entered, [&] {
    return Ref{
        OrExit(Atoll::TransferableBuffer::Allocate(entered.mutator(), type, length)).address()};
  });
}
BENCHMARK(SendBuffer)->Name("message/send_bytes/transferable")->Arg(1)->Arg(64)->Iterations(20);

// An immutable object of 32 bytes, copied into a message: what publishing it would have to beat.
void CopySmallImmutable(benchmark::State& state) {
  Entered entered;
  Atoll::TypeInfo info = Atoll::Describe<Msg>("Value");
  info.flags.deeply_immutable = info.flags.identity_free = true;
  const Atoll::Type& type = *OrExit(entered.world.group().heap().RegisterType(info));
  const Ref value{entered.mutator().Allocate(type).address()};
  OrExit(entered.current().SetField(0, value));
  Atoll::SmallImage small;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        Atoll::TryPackOne(entered.mutator(), entered.current().field(0), &small));
    benchmark::DoNotOptimize(small);
  }
}
BENCHMARK(CopySmallImmutable)->Name("message/copy_small_immutable");

// The same object published, and published again and again.
void Publish(benchmark::State& state) {
  Entered entered;
  Atoll::TypeInfo info = Atoll::Describe<Msg>("Value");
  info.flags.deeply_immutable = info.flags.identity_free = true;
  const Atoll::Type& type = *OrExit(entered.world.group().heap().RegisterType(info));
  OrExit(entered.current().SetField(0, Ref{entered.mutator().Allocate(type).address()}));
  for (auto _ : state) {
    benchmark::DoNotOptimize(OrExit(Atoll::Publish(entered.current(), entered.current().field(0))));
  }
}
BENCHMARK(Publish)->Name("message/publish")->Iterations(100'000);

}  // namespace
