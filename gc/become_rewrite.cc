// The references to what is replaced, wherever they are.
#include <atomic>
#include <vector>

#include "gc/become.h"
#include "gc/every_slot.h"
#include "gc/region_walk.h"
#include "heap/large_objects.h"
#include "heap/mutator_record.h"

namespace Atoll {

uint32_t BecomeRun::YoungTagOf(const RegionState& region) const {
  return region.own == nullptr ? 0 : region.own->young_tag();
}

bool BecomeRun::IsYoungIn(const RegionState& region, uintptr_t object) const {
  return (space_.tag(space_.BlockOf(object)) & ~tag::kMove) == YoungTagOf(region);
}

// What a slot is rewritten by: for one region, or for what belongs to none.
class BecomeRun::Rewriter final : public RootVisitor, private SlotVisitor {
 public:
  Rewriter(BecomeRun& run, Step step, RegionState* region = nullptr, bool remembers = true)
      : run_(run),
        step_(step),
        region_(region),
        young_tag_(region == nullptr || !remembers ? 0 : run.YoungTagOf(*region)) {}

  void VisitSlot(Slot slot) override { Visit(slot); }

  void VisitBlock(BlockIndex block) {
    const bool is_old = (run_.space_.tag(block) & ~tag::kMove) != young_tag_;
    ForEachObject(run_.heap_, block, [&](uintptr_t object) {
      // Relaxed: all are stopped.
      const Type& type =
          run_.heap_.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
      old_object_ = is_old && young_tag_ != 0 ? object : 0;
      VisitEverySlot(type, object, *this, [this](Slot slot) { Visit(slot); });
    });
    old_object_ = 0;
  }

 private:
  ATOLL_ALWAYS_INLINE void Visit(Slot slot) {
    const Word word = slot.Load().word;
    if (!run_.encoding_.RefersInto(word, run_.space_.base(), run_.space_.size())) return;
    const uintptr_t object = run_.encoding_.Decode(word);
    if ((run_.space_.tag(run_.space_.BlockOf(object)) & tag::kMove) != 0) Replace(slot, word);
  }
  ATOLL_COLD void Replace(Slot slot, Word word) {
    const uintptr_t to = TargetOf(run_.encoding_.Decode(word));
    if (to == 0) return;
    // Release: threads outside the heap may read Program objects.
    slot.StoreRawRelease(Ref{run_.encoding_.Encode(word, to)});
    if (old_object_ != 0 && run_.IsYoungIn(*region_, to)) Remember(slot);
  }
  // 0: it stays.
  uintptr_t TargetOf(uintptr_t object) const {
    if (step_ == Step::kFromCells) return BecomeCells::TargetIn(object);
    const BecomeMap::Entry* entry = run_.pairs_.Find(object);
    if (entry == nullptr || entry->target == 0) return 0;
    return step_ == Step::kToCells ? run_.cells_.Cell(entry->index) : entry->target;
  }
  void Remember(Slot slot) {
    RememberedSet& set = region_->own->remembered;
    if ((LoadFlags(old_object_) & header::kLarge) == 0) {
      set.AddObject(old_object_);
    } else {
      RememberSlotOfLarge(*region_, set, old_object_, slot.address());
    }
  }

  BecomeRun& run_;
  const Step step_;
  RegionState* const region_;
  const uint32_t young_tag_;  // 0: nothing is remembered
  uintptr_t old_object_ = 0;  // whose slots are visited, if those to young objects are remembered
};

// So that what is to be rewritten in the step is told by its block.
void BecomeRun::SetMoveBits(Step step, bool set) {
  const auto mark = [&](BlockIndex block) {
    const uint32_t old = space_.tag(block);
    space_.set_tag(block, set ? old | tag::kMove : old & ~tag::kMove);
  };
  if (step == Step::kFromCells) return cells_.ForEachBlock(mark);
  for (const Ref word : before_) mark(space_.BlockOf(ObjectOf(word)));
}

void BecomeRun::Rewrite(uint32_t places) {
  if (before_.empty()) return;
  ++heap_.becomes;
  PassOnHashes();
  if (cells_.empty()) return RewriteAll(Step::kDirect, places);
  for (size_t i = 0; i < before_.size(); ++i) {
    BecomeCells::TargetIn(cells_.Cell(i)) = ObjectOf(after_[i]);
  }
  RewriteAll(Step::kToCells, places);
  RewriteAll(Step::kFromCells, places);
}

void BecomeRun::RewriteAll(Step step, uint32_t places) {
  SetMoveBits(step, true);
  const std::vector<RegionState*> regions(heap_.regions.begin(), heap_.regions.end());
  // By I1 the regions are independent, and what belongs to the group lies in none.
  std::atomic<size_t> next{0};  // relaxed: only that each is claimed once matters
  heap_.workers.Run(heap_.options.workers, [&](int) {
    for (;;) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i > regions.size() + 1) return;
      if (i == 0) {
        RewriteGroup(step, places);
      } else if (i == 1) {
        if ((places & kShared) != 0) RewriteShared(step);
      } else {
        RewriteRegion(*regions[i - 2], step, places);
      }
    }
  });
  SetMoveBits(step, false);
}

void BecomeRun::RewriteGroup(Step step, uint32_t places) {
  Rewriter rewriter(*this, step);
  for (GroupRoots* roots : heap_.group_roots) {
    if ((places & kGroupRoots) != 0) roots->VisitRoots(rewriter);
    if ((places & kWeakGroupRoots) != 0) roots->VisitWeakRoots(rewriter);
  }
  if ((places & kProgram) == 0) return;
  heap_.program.ForEachBlock([&](BlockIndex block) { rewriter.VisitBlock(block); });
}

void BecomeRun::RewriteShared(Step step) {
  Rewriter rewriter(*this, step);
  for (BlockList* list : {&shared_.full(), &shared_.recyclable(), &shared_.large()}) {
    list->ForEach(space_, [&](BlockIndex block) { rewriter.VisitBlock(block); });
  }
}

void BecomeRun::RewriteRegion(RegionState& region, Step step, uint32_t places) {
  Rewriter rewriter(*this, step, &region, (places & kRememberedSets) != 0);
  const auto visit = [&](Slot slot) { rewriter.VisitSlot(slot); };
  if ((places & kClientRoots) != 0 && region.options.client != nullptr) {
    region.options.client->VisitRoots(rewriter);
  }
  if ((places & kHandles) != 0) {
    for (Mutator* mutator : region.mutators) mutator->record().ForEachHandle(visit);
  }
  if ((places & kPersistents) != 0) region.persistents->ForEach(/*weak=*/false, visit);
  if ((places & kWeakPersistents) != 0) region.persistents->ForEach(/*weak=*/true, visit);
  if ((places & kGuarded) != 0) {
    for (Word& word : region.guarded) rewriter.VisitSlot(Slot(&word));
  }
  if ((places & kObjects) != 0) {
    ForEachBlock(region, [&](BlockIndex block, Part&) { rewriter.VisitBlock(block); });
  }
  if (step == Step::kToCells) return;  // what is no slot is passed on at once
  if ((places & kFinalizers) != 0) PassOnFinalizers(region);
  if ((places & kWeakTables) != 0) PassOnWeakEntries(region);
}

}  // namespace Atoll
