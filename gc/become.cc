#include "gc/become.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "gc/every_slot.h"
#include "gc/named_roots.h"
#include "gc/region_walk.h"
#include "heap/large_objects.h"
#include "heap/mutator_record.h"

namespace Atoll {
namespace {

// The regions' locks come before the Shared space's.
HeapState& MakeAllWalkable(HeapState& heap) {
  for (RegionState* region : heap.regions) MakeWalkable(*region);
  return heap;
}

uintptr_t KeyOf(BlockIndex block) { return uintptr_t{block} + 1; }

// Of a private or shared object: it never holds a forwarding address here. Relaxed, all: everybody
// is stopped, or only compares.
uint32_t HashOf(uintptr_t object) {
  return static_cast<uint32_t>(HeaderOf(object).load(std::memory_order_relaxed) >>
                               header::kHashShift);
}

constexpr uint64_t kHashMask = UINT32_MAX;

}  // namespace

BecomeRun::BecomeRun(HeapState& heap, const StoppedScope& stopped)
    : heap_(MakeAllWalkable(heap)),
      space_(*heap.space),
      encoding_(heap.options.encoding),
      shared_(heap.shared, stopped),
      pairs_(heap.allocator),
      blocks_(heap.allocator) {}

uint32_t BecomeRun::YoungTagOf(const RegionState& region) const {
  return region.own == nullptr ? 0 : region.own->young_tag();
}

bool BecomeRun::IsYoungIn(const RegionState& region, uintptr_t object) const {
  return (space_.tag(space_.BlockOf(object)) & ~tag::kMove) == YoungTagOf(region);
}

// ---- What is wrong with the pairs

Status BecomeRun::Prepare(std::span<const Ref> before, std::span<const Ref> after) {
  before_ = before;
  after_ = after;
  if (Status status = CheckScopes(); !status.ok()) return status;
  if (Status status = AddPairs(); !status.ok()) return status;
  if (Status status = FindObjects(); !status.ok()) return status;
  if (Status status = CheckPairs(); !status.ok()) return status;
  return CheckAttachments();
}

Status BecomeRun::CheckScopes() const {
  for (const RegionState* region : heap_.regions) {
    for (const Mutator* mutator : region->mutators) {
      if (!mutator->record().in_lasting_no_collect_scope()) continue;
      return {StatusCode::kFailedPrecondition,
              "Become on heap \"" + heap_.options.name + "\": mutator \"" + mutator->name() +
                  "\" of region \"" + region->options.name +
                  "\" has a NoCollectScope open, in which it may hold references raw; ask again "
                  "when it has ended"};
    }
  }
  return Status::Ok();
}

std::string BecomeRun::Describe(const char* list, size_t index, uintptr_t object) const {
  return "Become: " + std::string(list) + "[" + std::to_string(index) + "] of " +
         std::to_string(before_.size()) + ", at " + Hex(object);
}

std::string BecomeRun::DescribePair(size_t index) const {
  return "Become: before[" + std::to_string(index) + "], the " +
         DescribeObject(heap_, ObjectOf(before_[index])) + ", cannot become after[" +
         std::to_string(index) + "], the " + DescribeObject(heap_, ObjectOf(after_[index]));
}

Status BecomeRun::AddPairs() {
  if (before_.size() != after_.size()) {
    return {StatusCode::kInvalidArgument,
            "Become: before has " + std::to_string(before_.size()) + " references and after " +
                std::to_string(after_.size()) + "; each object needs the one that it becomes"};
  }
  if (!pairs_.Reserve(2 * before_.size()) || !blocks_.Reserve(2 * before_.size())) {
    return {StatusCode::kResourceExhausted,
            "Become: no memory for a table of " + std::to_string(before_.size()) +
                " pairs; replace fewer objects at a time, or raise the limit"};
  }
  const auto check = [&](const char* list, size_t i, Ref word) -> Status {
    if (encoding_.RefersInto(word.word, space_.base(), space_.size())) return Status::Ok();
    return {StatusCode::kInvalidArgument,
            "Become: " + std::string(list) + "[" + std::to_string(i) + "] is " + Hex(word.word) +
                ", no reference to an object; immediates and null have no identity to exchange"};
  };
  for (size_t i = 0; i < before_.size(); ++i) {
    if (Status status = check("before", i, before_[i]); !status.ok()) return status;
    if (Status status = check("after", i, after_[i]); !status.ok()) return status;
    BecomeMap::Entry& entry = pairs_.FindOrAdd(ObjectOf(before_[i]));
    if (entry.target != 0) {
      return {StatusCode::kInvalidArgument, Describe("before", i, entry.address) + ", is before[" +
                                                std::to_string(entry.index) +
                                                "] too; an object becomes one other"};
    }
    entry.target = ObjectOf(after_[i]);
    entry.index = i;
    blocks_.FindOrAdd(KeyOf(space_.BlockOf(entry.address)));
  }
  for (size_t i = 0; i < after_.size(); ++i) {
    BecomeMap::Entry& entry = pairs_.FindOrAdd(ObjectOf(after_[i]));
    if (entry.target != 0) {
      return {StatusCode::kInvalidArgument,
              Describe("after", i, entry.address) + ", is before[" + std::to_string(entry.index) +
                  "] too; chains and exchanges are not resolved: name the last object of a chain, "
                  "or exchange the contents of copies"};
    }
    entry.index = i;
    blocks_.FindOrAdd(KeyOf(space_.BlockOf(entry.address)));
  }
  return Status::Ok();
}

// Looks for the objects of the pairs in the blocks that this heap has.
Status BecomeRun::FindObjects() {
  const auto look = [&](BlockIndex block, RegionState* owner) {
    bool any = false;
    // Objects of Program may start in any block of a run.
    for (uint32_t i = 0; i < space_.info(block).run_blocks && !any; ++i) {
      any = blocks_.Find(KeyOf(block + i)) != nullptr;
    }
    if (!any) return;
    ForEachObject(heap_, block, [&](uintptr_t object) {
      BecomeMap::Entry* entry = pairs_.Find(object);
      if (entry == nullptr) return;
      entry->is_there = true;
      entry->owner = owner;
    });
  };
  heap_.program.ForEachBlock([&](BlockIndex block) { look(block, nullptr); });
  for (BlockList* list : {&shared_.full(), &shared_.recyclable(), &shared_.large()}) {
    list->ForEach(space_, [&](BlockIndex block) { look(block, nullptr); });
  }
  for (RegionState* region : heap_.regions) {
    ForEachBlock(*region, [&](BlockIndex block, Part&) { look(block, region); });
  }
  const auto check = [&](const char* list, size_t i, Ref word) -> Status {
    const uintptr_t object = ObjectOf(word);
    if (pairs_.Find(object)->is_there) return Status::Ok();
    return {StatusCode::kInvalidArgument,
            Describe(list, i, object) + ", is no object of heap \"" + heap_.options.name +
                "\": of another heap, or a stale reference; read it from a handle inside the stop"};
  };
  for (size_t i = 0; i < before_.size(); ++i) {
    if (Status status = check("before", i, before_[i]); !status.ok()) return status;
    if (Status status = check("after", i, after_[i]); !status.ok()) return status;
  }
  return Status::Ok();
}

Status BecomeRun::CheckPairs() {
  for (size_t i = 0; i < before_.size(); ++i) {
    const BecomeMap::Entry& from = *pairs_.Find(ObjectOf(before_[i]));
    const BecomeMap::Entry& to = *pairs_.Find(from.target);
    if (IsOfGroup(from) && !IsOfGroup(to)) {
      return {StatusCode::kInvalidArgument,
              DescribePair(i) + ": that is private to region \"" + to.owner->options.name +
                  "\", and a shared object may be referred to by all; freeze it, or make a Program "
                  "object"};
    }
    if (!IsOfGroup(from) && !IsOfGroup(to) && from.owner != to.owner) {
      return {StatusCode::kInvalidArgument,
              DescribePair(i) + ": they belong to the regions \"" + from.owner->options.name +
                  "\" and \"" + to.owner->options.name +
                  "\"; make the new object in the region of the old one, or a shared one"};
    }
    if (!IsOfGroup(from) && from.owner->pins.count(from.address) != 0) {
      return {StatusCode::kInvalidArgument,
              DescribePair(i) +
                  ": it is pinned, so its address is known to somebody who would go "
                  "on using it; Unpin it first"};
    }
  }
  return Status::Ok();
}

Status BecomeRun::CheckAttachments() {
  Status status;
  // The entry of an object that is to be replaced; null for all others.
  const auto replaced = [&](uintptr_t object) {
    const BecomeMap::Entry* entry = pairs_.Find(object);
    return entry == nullptr || entry->target == 0 ? nullptr : entry;
  };
  for (RegionState* region : heap_.regions) {
    region->ForEachFinalizerList([&](const std::vector<Finalizer>& list) {
      for (const Finalizer& finalizer : list) {
        const BecomeMap::Entry* entry = replaced(finalizer.object);
        if (entry == nullptr || !status.ok()) continue;
        if (finalizer.kind == FinalizerKind::kThreadAffine) {
          status = {StatusCode::kInvalidArgument,
                    DescribePair(entry->index) +
                        ": it has a thread-affine finalizer, which is its mutator's alone to pass "
                        "on; leave the object, or let that thread replace what it owns first"};
        } else if (IsOfGroup(*pairs_.Find(entry->target))) {
          status = {StatusCode::kInvalidArgument,
                    DescribePair(entry->index) +
                        ": it has a finalizer, and shared objects have none; make a private one of "
                        "the same region"};
        }
      }
    });
    region->ForEachPart([&](const Part& part) {
      for (const WeakEntries* entries : {&part.young_weak_entries, &part.weak_entries}) {
        for (const auto& [key, weak] : *entries) {
          const BecomeMap::Entry* entry = replaced(weak.object);
          if (entry == nullptr || !status.ok() || !IsOfGroup(*pairs_.Find(entry->target))) continue;
          status = {StatusCode::kInvalidArgument,
                    DescribePair(entry->index) +
                        ": it has an entry in a weak table, whose keys are private objects; Remove "
                        "it first"};
        }
      }
    });
  }
  return status;
}

// ---- Rewriting

// What a slot is rewritten by: for one region, or for what belongs to none.
class BecomeRun::Rewriter final : public RootVisitor, private SlotVisitor {
 public:
  explicit Rewriter(BecomeRun& run, RegionState* region = nullptr, bool remembers = true)
      : run_(run),
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
    const BecomeMap::Entry* entry = run_.pairs_.Find(run_.encoding_.Decode(word));
    if (entry == nullptr || entry->target == 0) return;
    // Release: threads outside the heap may read Program objects.
    slot.StoreRawRelease(Ref{run_.encoding_.Encode(word, entry->target)});
    if (old_object_ != 0 && run_.IsYoungIn(*region_, entry->target)) Remember(slot);
  }
  void Remember(Slot slot) {
    RememberedSet& set = region_->own->remembered;
    const uint8_t flags = LoadFlags(old_object_);
    if ((flags & header::kLarge) != 0) {
      RememberSlotOfLarge(*region_, set, old_object_, slot.address());
    } else if ((flags & header::kRemembered) == 0) {
      SetFlag(old_object_, header::kRemembered);
      if (!set.objects.TryPush(old_object_)) set.overflowed = true;
    }
  }

  BecomeRun& run_;
  RegionState* const region_;
  const uint32_t young_tag_;  // 0: nothing is remembered
  uintptr_t old_object_ = 0;  // whose slots are visited, if those to young objects are remembered
};

void BecomeRun::SetMoveBits(bool set) {
  for (const Ref word : before_) {
    const BlockIndex block = space_.BlockOf(ObjectOf(word));
    const uint32_t old = space_.tag(block);
    space_.set_tag(block, set ? old | tag::kMove : old & ~tag::kMove);
  }
}

void BecomeRun::Rewrite(uint32_t places) {
  if (before_.empty()) return;
  ++heap_.becomes;
  PassOnHashes();
  SetMoveBits(true);
  const std::vector<RegionState*> regions(heap_.regions.begin(), heap_.regions.end());
  // By I1 the regions are independent, and what belongs to the group lies in none.
  std::atomic<size_t> next{0};  // relaxed: only that each is claimed once matters
  heap_.workers.Run(heap_.options.workers, [&](int) {
    for (;;) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i > regions.size() + 1) return;
      if (i == 0) {
        RewriteGroup(places);
      } else if (i == 1) {
        if ((places & kShared) != 0) RewriteShared();
      } else {
        RewriteRegion(*regions[i - 2], places);
      }
    }
  });
  SetMoveBits(false);
}

void BecomeRun::RewriteGroup(uint32_t places) {
  Rewriter rewriter(*this);
  for (GroupRoots* roots : heap_.group_roots) {
    if ((places & kGroupRoots) != 0) roots->VisitRoots(rewriter);
    if ((places & kWeakGroupRoots) != 0) roots->VisitWeakRoots(rewriter);
  }
  if ((places & kProgram) == 0) return;
  heap_.program.ForEachBlock([&](BlockIndex block) { rewriter.VisitBlock(block); });
}

void BecomeRun::RewriteShared() {
  Rewriter rewriter(*this);
  for (BlockList* list : {&shared_.full(), &shared_.recyclable(), &shared_.large()}) {
    list->ForEach(space_, [&](BlockIndex block) { rewriter.VisitBlock(block); });
  }
}

void BecomeRun::RewriteRegion(RegionState& region, uint32_t places) {
  Rewriter rewriter(*this, &region, (places & kRememberedSets) != 0);
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
  if ((places & kFinalizers) != 0) PassOnFinalizers(region);
  if ((places & kWeakTables) != 0) PassOnWeakEntries(region);
}

void BecomeRun::PassOnHashes() {
  for (const Ref word : before_) {
    const uintptr_t from = ObjectOf(word);
    const uintptr_t to = pairs_.Find(from)->target;
    const uint32_t hash = HashOf(from);
    if (hash == 0 || HashOf(to) != 0) continue;
    // Relaxed: see HashOf.
    HeaderOf(to).fetch_or(Word{hash} << header::kHashShift, std::memory_order_relaxed);
  }
}

// The lists of young objects are those that minor collections look at, so what is there now is
// listed by its new object's age.
void BecomeRun::PassOnFinalizers(RegionState& region) {
  std::vector<Finalizer> passed;
  region.ForEachFinalizerList([&](std::vector<Finalizer>& list) {
    std::erase_if(list, [&](Finalizer& finalizer) {
      const BecomeMap::Entry* entry = pairs_.Find(finalizer.object);
      if (entry == nullptr || entry->target == 0) return false;
      finalizer.object = entry->target;
      if (region.own == nullptr) return false;  // no minor collection looks here
      passed.push_back(finalizer);
      return true;
    });
  });
  for (const Finalizer& finalizer : passed) {
    const bool young = IsYoungIn(region, finalizer.object);
    (young ? region.own->young_finalizers : region.own->finalizers).push_back(finalizer);
  }
}

void BecomeRun::PassOnWeakEntries(RegionState& region) {
  struct Passed {
    WeakEntries* list;
    WeakEntries::node_type node;
  };
  std::vector<Passed> passed;
  std::vector<WeakEntries*> lists;
  region.ForEachPart([&](Part& part) {
    for (WeakEntries* entries : {&part.young_weak_entries, &part.weak_entries}) {
      lists.push_back(entries);
      for (auto at = entries->begin(); at != entries->end();) {
        const auto here = at++;
        const BecomeMap::Entry* entry = pairs_.Find(here->second.object);
        if (entry == nullptr || entry->target == 0) continue;
        WeakEntries::node_type node = entries->extract(here);
        node.mapped().object = entry->target;
        node.key() = (node.key() & ~kHashMask) | HashOf(entry->target);
        passed.push_back({entries, std::move(node)});
      }
    }
  });
  for (Passed& one : passed) {
    const uintptr_t object = one.node.mapped().object;
    const bool has_one = std::any_of(lists.begin(), lists.end(), [&](WeakEntries* entries) {
      return FindWeakEntry(*entries, one.node.key(), object) != entries->end();
    });
    if (has_one) continue;
    WeakEntries* list = one.list;
    if (region.own != nullptr) {
      list =
          IsYoungIn(region, object) ? &region.own->young_weak_entries : &region.own->weak_entries;
    }
    list->insert(std::move(one.node));
  }
}

}  // namespace Atoll
