#include "gc/become.h"

#include <string>
#include <vector>

#include "gc/named_roots.h"
#include "gc/region_walk.h"
#include "heap/mutator_record.h"

namespace Atoll {
namespace {

uintptr_t KeyOf(BlockIndex block) { return uintptr_t{block} + 1; }

}  // namespace

BecomeRun::BecomeRun(HeapState& heap, const StoppedScope& stopped)
    : heap_(MakeAllWalkable(heap)),
      space_(*heap.space),
      encoding_(heap.options.encoding),
      shared_(heap.shared, stopped),
      pairs_(heap.allocator),
      blocks_(heap.allocator),
      cells_(*heap.space, heap.pool) {}

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

Status BecomeRun::RefuseMemory() const {
  return {StatusCode::kResourceExhausted,
          "Become: no memory for a table of " + std::to_string(before_.size()) +
              " pairs; replace fewer objects at a time, or raise the limit"};
}

Status BecomeRun::AddPairs() {
  if (before_.size() != after_.size()) {
    return {StatusCode::kInvalidArgument,
            "Become: before has " + std::to_string(before_.size()) + " references and after " +
                std::to_string(after_.size()) + "; each object needs the one that it becomes"};
  }
  if (!pairs_.Reserve(2 * before_.size()) || !blocks_.Reserve(2 * before_.size())) {
    return RefuseMemory();
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
  bool has_exchanges = false;
  for (size_t i = 0; i < after_.size(); ++i) {
    BecomeMap::Entry& entry = pairs_.FindOrAdd(ObjectOf(after_[i]));
    entry.is_after = true;
    if (entry.target != 0) {
      has_exchanges = true;
    } else {
      entry.index = i;
    }
    blocks_.FindOrAdd(KeyOf(space_.BlockOf(entry.address)));
  }
  if (has_exchanges && !cells_.Reserve(before_.size())) return RefuseMemory();
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

}  // namespace Atoll
