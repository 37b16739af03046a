#include "heap/flip_to_shared.h"

#include <algorithm>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/object_slots.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// The part whose tag the object's head block carries, or null.
Part* PartOf(RegionState& region, uint32_t object_tag) {
  Part* found = nullptr;
  region.ForEachPart([&](Part& part) {
    if (part.raw_id == object_tag >> tag::kPartShift) found = &part;
  });
  return found;
}

// What is attached to an object is listed in its own part, or in the region's.
bool HasFinalizer(RegionState& region, uintptr_t object) {
  if (!region.had_finalizers.load(std::memory_order_relaxed)) return false;  // see RegionState
  bool found = false;
  region.ForEachFinalizerList([&](const std::vector<Finalizer>& list) {
    found |= std::any_of(list.begin(), list.end(), [object](const Finalizer& finalizer) {
      return finalizer.object == object;
    });
  });
  return found;
}

bool HasWeakEntry(RegionState& region, uintptr_t object) {
  // Relaxed: an entry is made under the lock that the caller holds, and its key's hash before.
  const Word header_word = HeaderOf(object).load(std::memory_order_relaxed);
  if (header_word >> header::kHashShift == 0) return false;  // entries are found by hash
  bool found = false;
  region.ForEachPart([&](Part& part) {
    for (const WeakEntries* entries : {&part.young_weak_entries, &part.weak_entries}) {
      found |= std::any_of(entries->begin(), entries->end(),
                           [object](const auto& entry) { return entry.second.object == object; });
    }
  });
  return found;
}

// Why the object's slots forbid it, or nothing.
std::string WrongSlot(const Mutator& mutator, const HeapState& heap, uintptr_t object) {
  std::string wrong;
  ForEachSlotOf(heap, object, [&](Slot slot) {
    const Ref value = slot.Load();
    if (!wrong.empty() || !mutator.RefersIntoHeap(mutator.encoding(), value)) return;
    const uintptr_t target = mutator.encoding().Decode(value.word);
    if ((mutator.TagOf(target) & tag::kShared) != 0) return;
    wrong = "its slot +" + std::to_string(slot.address() - object) +
            " refers to a private object of type \"" + mutator.TypeOf(ObjectPtr(target)).name() +
            "\"; publish that first";
  });
  return wrong;
}

// Why the type forbids it, or nothing.
std::string WrongType(const Type& type) {
  if (!type.flags.deeply_immutable) return "the type is not deeply immutable; copy the object";
  if (type.layout == Layout::kWeakRef || type.layout == Layout::kEphemeron) {
    return "collections write into objects with weak references; copy what it refers to";
  }
  return {};
}

}  // namespace

Status FlipToShared(Mutator& mutator, ObjectPtr object) {
  if (mutator.state() != MutatorState::kManaged) {
    mutator.ReportNotManaged("FlipToShared");
    return {StatusCode::kFailedPrecondition, "mutator \"" + mutator.name() +
                                                 "\" makes an object shared in state " +
                                                 ToString(mutator.state()) + "; LeaveNative first"};
  }
  RegionState& region = mutator.region().state();
  HeapState& heap = region.heap;
  const uintptr_t at = object.address();
  if (!mutator.InReservation(at)) {
    return {StatusCode::kInvalidArgument, "what lies outside the heap cannot become shared"};
  }
  const AddressSpace& space = *heap.space;
  const BlockIndex head = space.BlockOf(at);
  const Type& type = mutator.TypeOf(object);
  auto refuse = [&type](const std::string& reason,
                        StatusCode code = StatusCode::kInvalidArgument) -> Status {
    return {code, "an object of type \"" + type.name() + "\" cannot become shared: " + reason};
  };
  if (const std::string wrong = WrongType(type); !wrong.empty()) return refuse(wrong);
  if (!type.is_leaf()) {
    if (const std::string wrong = WrongSlot(mutator, heap, at); !wrong.empty()) {
      return refuse(wrong);
    }
  }
  {
    platform::MutexLock lock(region.allocation_mutex);
    const uint32_t object_tag = space.tag(head);
    if ((object_tag & tag::kShared) != 0) return refuse("it is shared already");
    Part* part = PartOf(region, object_tag);
    if (part == nullptr) {
      return refuse("it is not of region \"" + region.options.name + "\"");
    }
    const BlockInfo& info = space.info(head);
    if (info.space != Space::kLarge || at != space.AddressOf(head)) {
      return refuse("it is not large, so its block holds other objects too; copy it");
    }
    if (region.pins.count(at) != 0) return refuse("it is pinned; Unpin it first");
    if (HasFinalizer(region, at)) return refuse("it has a finalizer, which stays with a region");
    if (HasWeakEntry(region, at)) {
      return refuse("it is a key of a weak table, whose keys are private; Remove it first");
    }
    if (info.cards != nullptr) {
      return refuse("references stored into it are still on record; run a major collection first",
                    StatusCode::kFailedPrecondition);
    }
    const size_t run_bytes = info.run_blocks * kBlockSize;
    const bool young = (object_tag & tag::kYoung) != 0;
    (young ? part->young_large : part->large).Remove(space, head);
    if (young && part == region.own.get()) {
      region.young_large_bytes -= run_bytes;
    } else {
      // Relaxed, here and below: see RegionState.
      region.old_used_bytes.fetch_sub(ObjectSize(type, at), std::memory_order_relaxed);
    }
    region.blocks.fetch_sub(info.run_blocks, std::memory_order_relaxed);
    ClearFlag(at, header::kLarge);
    heap.shared.TakeOverLarge(head);
  }
  return Status::Ok();
}

}  // namespace Atoll
