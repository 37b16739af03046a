#include <atomic>
#include <thread>
#include <vector>

#include "guide.h"

namespace guide {
namespace {

using Atoll::Local;
using Atoll::Mutator;

// [attach]
/// What a thread does that runs managed code: a mutator, managed while the code runs.
template <typename Body>
bool RunManaged(Atoll::Region& region, const char* name, Body body) {
  auto mutator = region.AttachMutator(name);
  if (!mutator.ok()) return false;
  {
    const Atoll::ManagedScope managed(*mutator.value());
    const Atoll::HandleScope scope(*mutator.value());
    body(*mutator.value());
  }
  return mutator.value()->Detach().ok();
}
// [/attach]

/// Allocates garbage for a while; returns how often others asked this mutator to stop.
uint64_t MakeGarbage(Mutator& mutator, const Atoll::Type& type) {
  for (int i = 0; i < 1'000'000; ++i) {
    if (Atoll::New<Node>(mutator, type) == nullptr) break;
    mutator.Poll();
  }
  return mutator.stops_asked();
}

// [regions]
/// Two isolates: each has a region and a thread, neither ever stops for the other's collections.
uint64_t RunTwoRegions(World& world) {
  std::atomic<uint64_t> stops{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      auto region = world.heap->CreateRegion({.name = "isolate"});
      RunManaged(*region.value(), "isolate",
                 [&](Mutator& mutator) { stops += MakeGarbage(mutator, *world.node_type); });
    });  // the region is freed here, untraced
  }
  for (std::thread& thread : threads) thread.join();
  return stops;  // 0
}
// [/regions]

// [mutators]
/// Two threads that share all objects: one region, two mutators. A collection stops these two.
bool RunTwoMutators(World& world) {
  auto region = world.heap->CreateRegion({.name = "shared"});
  std::atomic<bool> ok{true};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      const bool ran = RunManaged(*region.value(), "worker", [&](Mutator& mutator) {
        MakeGarbage(mutator, *world.node_type);
      });
      if (!ran) ok = false;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return ok;
}
// [/mutators]

// [native]
/// Waits for something outside the heap. Others may collect meanwhile, so no raw pointer into the
/// heap is held across it.
template <typename Wait>
void WaitOutside(Mutator& mutator, Wait wait) {
  const Atoll::NativeScope native(mutator);
  wait();
}
// [/native]

// [adopt]
/// Hands over all that `sender` owns, in constant time; what is wanted of it is kept in a handle.
bool TakeOver(Mutator& receiver, Atoll::Region& sender, Atoll::Persistent& message,
              Local<Node>& into) {
  const Atoll::Ref root = message.Get();
  if (!receiver.region().Adopt(sender).ok()) return false;
  into.Set(reinterpret_cast<Node*>(root.word));
  return true;
}
// [/adopt]

// [stop]
/// Runs something while no mutator of the heap runs: to patch code, to walk everything.
Atoll::Status PatchCode(Atoll::Heap& heap, int& patched) {
  return heap.safepoints().RunWithMutatorsStopped(Atoll::SafepointLevel::kDeopt, "patch code",
                                                  [&](const Atoll::StoppedScope&) { ++patched; });
}
// [/stop]

void ShowAdoption(World& world) {
  auto sender = world.heap->CreateRegion({.name = "sender"});
  Atoll::Persistent message;
  const bool sent = RunManaged(*sender.value(), "sender", [&](Mutator& mutator) {
    Node* node = Atoll::New<Node>(mutator, *world.node_type);
    node->value = 42;
    message = Atoll::Persistent(*sender.value(), {reinterpret_cast<Atoll::Word>(node)});
  });
  Check(sent, "the sender runs");

  Attached receiver(world);
  const Atoll::HandleScope scope(*receiver.mutator);
  Local<Node> node(*receiver.mutator, nullptr);
  Check(TakeOver(*receiver.mutator, *sender.value(), message, node), "a region is adopted");
  message.Reset();
  sender.value().reset();
  Check(receiver.mutator->Collect(Mutator::Collection::kMajor).ok(), "a major collection");
  Check(node->value == 42, "what was adopted is there");
}

void ShowNative(World& world) {
  Attached attached(world);
  int waited = 0;
  WaitOutside(*attached.mutator, [&] { ++waited; });
  int patched = 0;
  Check(PatchCode(*world.heap, patched).ok() && waited == 1 && patched == 1, "a stop of all");
}

}  // namespace

Attached::Attached(World& world, Atoll::RegionOptions options)
    : region(world.heap->CreateRegion(options).value()),
      mutator(region->AttachMutator("main").value()) {
  mutator->LeaveNative();
}

Attached::~Attached() { Check(mutator->Detach().ok(), "a mutator is detached"); }

void ShowThreads(World& world) {
  Check(RunTwoRegions(world) == 0, "a region's collections stop no mutator of another");
  Check(RunTwoMutators(world), "two mutators share a region");
  ShowAdoption(world);
  ShowNative(world);
}

}  // namespace guide
