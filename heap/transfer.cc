#include "heap/transfer.h"

#include <unordered_map>

#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// Where the finalizer of an object goes, and the note that it has one; by the object that has it.
using Targets = std::unordered_map<uintptr_t, std::pair<uintptr_t, bool*>>;

// Takes the finalizers out of a region, for their new objects.
std::vector<Finalizer> TakeFinalizers(RegionState& region, const Targets& targets) {
  std::vector<Finalizer> taken;
  region.ForEachFinalizerList([&](std::vector<Finalizer>& list) {
    std::erase_if(list, [&](Finalizer finalizer) {
      if (finalizer.kind != FinalizerKind::kNative) return false;
      const auto target = targets.find(finalizer.object);
      if (target == targets.end()) return false;
      region.AddExternalBytes(-static_cast<int64_t>(finalizer.external_bytes));
      finalizer.object = target->second.first;
      *target->second.second = true;
      taken.push_back(finalizer);
      return true;
    });
  });
  return taken;
}

void AddFinalizers(RegionState& region, const std::vector<Finalizer>& finalizers) {
  if (finalizers.empty()) return;
  const AddressSpace& space = *region.heap.space;
  region.had_finalizers.store(true, std::memory_order_relaxed);  // see RegionState
  for (const Finalizer& finalizer : finalizers) {
    const bool young = space.tag(space.BlockOf(finalizer.object)) == region.own->young_tag();
    (young ? region.own->young_finalizers : region.own->finalizers).push_back(finalizer);
    region.AddExternalBytes(static_cast<int64_t>(finalizer.external_bytes));
  }
}

void CallHook(const Mutator& mutator, uintptr_t from, uintptr_t to) {
  mutator.TypeOf(ObjectPtr(from)).details->transfer(ObjectPtr(from), ObjectPtr(to));
}

}  // namespace

void TransferToCopies(Mutator& mutator, RegionState& copies, std::vector<Transfer>& transfers) {
  if (transfers.empty()) return;
  RegionState& region = mutator.region().state();
  Targets targets;
  for (Transfer& transfer : transfers) {
    targets.emplace(transfer.object, std::pair(transfer.copy, &transfer.is_done));
  }
  std::vector<Finalizer> taken;
  {
    platform::MutexLock lock(region.allocation_mutex);
    taken = TakeFinalizers(region, targets);
    for (const Transfer& transfer : transfers) CallHook(mutator, transfer.object, transfer.copy);
  }
  AddFinalizers(copies, taken);
}

void TransferBack(Mutator& mutator, RegionState& copies, std::vector<Transfer>& transfers) {
  if (transfers.empty()) return;
  RegionState& region = mutator.region().state();
  Targets targets;
  bool ignored = false;
  for (const Transfer& transfer : transfers) {
    targets.emplace(transfer.copy, std::pair(transfer.object, &ignored));
  }
  const std::vector<Finalizer> taken = TakeFinalizers(copies, targets);
  platform::MutexLock lock(region.allocation_mutex);
  AddFinalizers(region, taken);
  // What another mutator's send has taken is not the copy's to give back.
  for (const Transfer& transfer : transfers) {
    if (transfer.is_done) CallHook(mutator, transfer.copy, transfer.object);
  }
  transfers.clear();
}

}  // namespace Atoll
