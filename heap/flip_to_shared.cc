#include "heap/flip_to_shared.h"

#include <algorithm>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/object_slots.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

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

// Why the object's slots forbid it, or nothing. `poll` is called now and then.
std::string WrongSlot(const Mutator& mutator, const HeapState& heap, uintptr_t object,
                      FunctionRef<void()> poll) {
  constexpr size_t kSlotsPerPoll = 8192;
  std::string wrong;
  size_t looked_at = 0;
  const bool is_custom = mutator.TypeOf(ObjectPtr(object)).layout == Layout::kCustom;
  ForEachSlotOf(heap, object, [&](Slot slot) {
    if (++looked_at % kSlotsPerPoll == 0 && !is_custom) poll();
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

// Why what is known of the object forbids it, or nothing. Under the region's allocation_mutex.
std::string WrongState(RegionState& region, uintptr_t object, StatusCode* code) {
  const AddressSpace& space = *region.heap.space;
  const BlockIndex head = space.BlockOf(object);
  const uint32_t object_tag = space.tag(head);
  if ((object_tag & tag::kShared) != 0) return "it is shared already";
  if (region.PartOf(object_tag) == nullptr) {
    return "it is not of region \"" + region.options.name + "\"";
  }
  const BlockInfo& info = space.info(head);
  if (info.space != Space::kLarge || object != space.AddressOf(head)) {
    return "it is not large, so its block holds other objects too; copy it";
  }
  if (region.pins.count(object) != 0) return "it is pinned; Unpin it first";
  if (HasFinalizer(region, object)) return "it has a finalizer, which stays with a region";
  if (HasWeakEntry(region, object)) {
    return "it is a key of a weak table, whose keys are private; Remove it first";
  }
  if (info.cards != nullptr) {
    *code = StatusCode::kFailedPrecondition;
    return "references stored into it are still on record; run a major collection first";
  }
  return {};
}

// An object that nothing forbids it for. Under the region's allocation_mutex.
void Flip(RegionState& region, uintptr_t object) {
  const AddressSpace& space = *region.heap.space;
  const BlockIndex head = space.BlockOf(object);
  const BlockInfo& info = space.info(head);
  const uint32_t object_tag = space.tag(head);
  Part* part = region.PartOf(object_tag);
  // Relaxed, all: see RegionState; and types are immutable.
  const Type& type = region.heap.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
  const bool young = (object_tag & tag::kYoung) != 0;
  (young ? part->young_large : part->large).Remove(space, head);
  if (young && part == region.own.get()) {
    region.young_large_bytes -= info.run_blocks * kBlockSize;
  } else {
    region.old_used_bytes.fetch_sub(ObjectSize(type, object), std::memory_order_relaxed);
  }
  region.blocks.fetch_sub(info.run_blocks, std::memory_order_relaxed);
  ClearFlag(object, header::kLarge | header::kRemembered);
  region.heap.shared.TakeOverLarge(head);
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
  const uintptr_t at = object.address();
  if (!mutator.InReservation(at)) {
    return {StatusCode::kInvalidArgument, "what lies outside the heap cannot become shared"};
  }
  const Type& type = mutator.TypeOf(object);
  StatusCode code = StatusCode::kInvalidArgument;
  std::string wrong = WrongType(type);
  if (wrong.empty() && !type.is_leaf()) wrong = WrongSlot(mutator, region.heap, at, [] {});
  if (wrong.empty()) {
    platform::MutexLock lock(region.allocation_mutex);
    wrong = WrongState(region, at, &code);
    if (wrong.empty()) {
      Flip(region, at);
      return Status::Ok();
    }
  }
  return {code, "an object of type \"" + type.name() + "\" cannot become shared: " + wrong};
}

bool CanFlipToShared(Mutator& mutator, ObjectPtr object, FunctionRef<void()> poll) {
  RegionState& region = mutator.region().state();
  const Type& type = mutator.TypeOf(object);
  if (!WrongType(type).empty()) return false;
  if (!type.is_leaf() && !WrongSlot(mutator, region.heap, object.address(), poll).empty()) {
    return false;
  }
  platform::MutexLock lock(region.allocation_mutex);
  StatusCode code;
  return WrongState(region, object.address(), &code).empty();
}

bool FlipAllToShared(Mutator& mutator, const std::unordered_set<uintptr_t>& objects) {
  if (objects.empty()) return true;
  RegionState& region = mutator.region().state();
  const AddressSpace& space = *region.heap.space;
  const auto is_shared = [&space](uintptr_t object) {
    return (space.tag(space.BlockOf(object)) & tag::kShared) != 0;
  };
  platform::MutexLock lock(region.allocation_mutex);
  for (const uintptr_t object : objects) {
    StatusCode code;
    if (!is_shared(object) && !WrongState(region, object, &code).empty()) return false;
  }
  for (const uintptr_t object : objects) {
    if (!is_shared(object)) Flip(region, object);
  }
  return true;
}

}  // namespace Atoll
