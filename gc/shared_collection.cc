#include "gc/shared_collection.h"

#include <algorithm>

#include "gc/region_walk.h"
#include "gc/strong_slots.h"
#include "heap/mutator_record.h"

namespace Atoll {
namespace {

Slot WeakSlotOf(const Type& type, uintptr_t object) { return type.SlotAt(object + kHeaderSize); }

}  // namespace

SharedCollection::SharedCollection(HeapState& heap, const StoppedScope& stopped)
    : heap_(MakeAllWalkable(heap)),
      space_(*heap.space),
      encoding_(heap.options.encoding),
      blocks_(heap.shared, stopped),
      stack_(heap.allocator) {}

void SharedCollection::Prepare() {
  for (BlockList* list : {&blocks_.full(), &blocks_.recyclable(), &blocks_.large()}) {
    list->ForEach(space_, [&](BlockIndex block) {
      std::fill_n(space_.marks(block), kMarkWordsPerBlock, 0);
      std::fill_n(space_.covers(block), kCoverWordsPerBlock, 0);
    });
  }
}

// ---- Tracing

bool SharedCollection::IsShared(Word word, uintptr_t* object) const {
  if (!encoding_.RefersInto(word, space_.base(), space_.size())) return false;
  *object = encoding_.Decode(word);
  const BlockIndex block = space_.BlockOf(*object);
  // Objects of Program never die.
  return (space_.tag(block) & tag::kShared) != 0 && space_.info(block).space == Space::kShared;
}

void SharedCollection::Visit(Slot slot) {
  uintptr_t object;
  if (!IsShared(slot.Load().word, &object)) return;
  const uintptr_t granule = (object - space_.base()) / kGranule;
  uint64_t& word = space_.all_marks()[granule / 64];
  const uint64_t bit = uint64_t{1} << (granule % 64);
  if ((word & bit) != 0) return;
  word |= bit;
  // Relaxed: all are stopped.
  const Type& type = heap_.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
  const size_t size = ObjectSize(type, object);
  if (NeedsCover(object, size) && size <= kLargeObjectThreshold) {
    CoverLines(space_, object, size);
  }
  counters_.live_bytes += size;
  ++counters_.objects;
  if (!type.is_leaf() && !stack_.TryPush(object)) overflowed_ = true;
}

void SharedCollection::VisitSlots(uintptr_t object, bool weak_too) {
  const auto visit = [this](Slot slot) { Visit(slot); };
  // Relaxed: as above.
  const Type& type = heap_.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
  switch (type.layout) {
    case Layout::kLeaf:
      return;
    case Layout::kFixed:
      VisitFixedPart(object, type, visit);
      return;
    case Layout::kRefArray:
    case Layout::kStructArray:
      VisitElements(object, type, 0, SIZE_MAX, visit);
      VisitFixedPart(object, type, visit);
      return;
    case Layout::kWeakRef: {
      VisitFixedPart(object, type, visit);
      uintptr_t target;
      if (weak_too) {
        Visit(WeakSlotOf(type, object));
      } else if (IsShared(WeakSlotOf(type, object).Load().word, &target)) {
        weak_found_ = true;
      }
      return;
    }
    case Layout::kEphemeron:
      VisitFixedPart(object, type, visit);
      Visit(type.SlotAt(object + kHeaderSize));
      Visit(type.SlotAt(object + kHeaderSize).Next());
      return;
    case Layout::kCustom:
      type.details->trace(ObjectPtr(object), *this);
      return;
  }
}

void SharedCollection::Drain() {
  MarkEntry object;
  while (stack_.Pop(&object)) VisitSlots(object, /*weak_too=*/true);
}

// Pinned and guarded objects are private: they come with the region's objects.
void SharedCollection::VisitRootsOf(RegionState& region, bool weak_too) {
  const auto visit = [this](Slot slot) { Visit(slot); };
  if (region.options.client != nullptr) region.options.client->VisitRoots(*this);
  region.persistents->ForEach(/*weak=*/false, visit);
  if (weak_too) region.persistents->ForEach(/*weak=*/true, visit);
  for (Mutator* mutator : region.mutators) mutator->record().ForEachHandle(visit);
}

// What was flipped may stand in sets that were written before; its memory may go now.
void SharedCollection::ForgetRemembered(RememberedSet& set) {
  const auto is_private = [this](uintptr_t address) {
    const BlockIndex block = space_.BlockOf(address);
    const BlockInfo& info = space_.info(block);
    const BlockIndex head = info.space == Space::kLargeTail ? info.next : block;
    return space_.info(head).space != Space::kShared;
  };
  set.objects.Filter(is_private);
  set.slots.Filter(is_private);
}

void SharedCollection::VisitRegion(RegionState& region) {
  const bool left_as_it_is = region.AnyNoCollectScope();
  VisitRootsOf(region, left_as_it_is);
  ForEachBlock(region, [&](BlockIndex block, Part&) {
    ForEachObject(heap_, block, [&](uintptr_t object) { VisitSlots(object, left_as_it_is); });
    Drain();
  });
  if (!left_as_it_is) return;  // a major collection forgets all
  region.ForEachPart([this](Part& part) { ForgetRemembered(part.remembered); });
  for (Mutator* mutator : region.mutators) ForgetRemembered(mutator->record().remembered);
}

// The stack was refused memory: every marked object is scanned again, until a whole pass finds
// memory for what it reaches. Each pass reaches more, so this ends.
void SharedCollection::RescanAfterOverflow() {
  while (overflowed_) {
    overflowed_ = false;
    for (BlockList* list : {&blocks_.full(), &blocks_.recyclable(), &blocks_.large()}) {
      list->ForEach(space_, [&](BlockIndex block) {
        ForEachObject(heap_, block,
                      [&](uintptr_t object) { VisitSlots(object, /*weak_too=*/true); });
        Drain();
      });
    }
  }
}

void SharedCollection::Trace() {
  for (GroupRoots* roots : heap_.group_roots) roots->VisitRoots(*this);
  Drain();
  heap_.program.ForEachBlock([&](BlockIndex block) {
    ForEachObject(heap_, block, [&](uintptr_t object) { VisitSlots(object, /*weak_too=*/true); });
    Drain();
  });
  for (RegionState* region : heap_.regions) VisitRegion(*region);
  Drain();
  RescanAfterOverflow();
}

// ---- Weak references

void SharedCollection::Settle(Slot weak_slot) {
  uintptr_t target;
  if (IsShared(weak_slot.Load().word, &target) && !space_.IsMarked(target)) {
    weak_slot.StoreRaw(Ref{});
  }
}

// What the group keeps weakly.
class SharedCollection::WeakRootSettler final : public RootVisitor {
 public:
  explicit WeakRootSettler(SharedCollection& collection) : collection_(collection) {}
  void VisitSlot(Slot slot) override { collection_.Settle(slot); }

 private:
  SharedCollection& collection_;
};

void SharedCollection::ProcessWeak() {
  WeakRootSettler settler(*this);
  for (GroupRoots* roots : heap_.group_roots) roots->VisitWeakRoots(settler);
  for (RegionState* region : heap_.regions) {
    if (region->AnyNoCollectScope()) continue;
    region->persistents->ForEach(/*weak=*/true, [this](Slot slot) { Settle(slot); });
    if (!weak_found_) continue;
    ForEachBlock(*region, [&](BlockIndex block, Part&) {
      ForEachObject(heap_, block, [&](uintptr_t object) {
        // Relaxed: all are stopped.
        const Type& type = heap_.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
        if (type.layout == Layout::kWeakRef) Settle(WeakSlotOf(type, object));
      });
    });
  }
}

// ---- Sweeping

void SharedCollection::SweepBlock(BlockIndex block) {
  const LineMap used = LineMap::Of(space_, block);
  if (used.CountUsed() == 0) {
    ++counters_.freed_blocks;
    blocks_.Free(block);
    return;
  }
  blocks_.File(block);
  if (heap_.options.stress.poison) PoisonFreeLines(space_, block, used);
}

void SharedCollection::Sweep() {
  BlockList small = blocks_.full().TakeAll();
  small.Splice(space_, blocks_.recyclable());
  while (!small.empty()) SweepBlock(small.Pop(space_));
  BlockList large = blocks_.large().TakeAll();
  while (!large.empty()) {
    const BlockIndex head = large.Pop(space_);
    if (space_.IsMarked(space_.AddressOf(head))) {
      blocks_.large().Push(space_, head);
    } else {
      counters_.freed_blocks += space_.info(head).run_blocks;
      blocks_.Free(head);
    }
  }
}

}  // namespace Atoll
