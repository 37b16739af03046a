#include "atoll/weak_table.h"

#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// fn(entries, iterator) for the entry of `object`, in whichever part it is; false if there is none.
// Called with the region's allocation_mutex held.
template <typename Fn>
bool WithEntry(RegionState& region, uint64_t key, ObjectPtr object, Fn fn) {
  bool found = false;
  region.ForEachPart([&](Part& part) {
    for (WeakEntries* entries : {&part.young_weak_entries, &part.weak_entries}) {
      if (found || entries->empty()) continue;
      const auto at = FindWeakEntry(*entries, key, object.address());
      if (at == entries->end()) continue;
      found = true;
      fn(*entries, at);
    }
  });
  return found;
}

bool IsPrivate(const Mutator& mutator, ObjectPtr object) {
  return mutator.InReservation(object.address()) &&
         (mutator.TagOf(object.address()) & tag::kShared) == 0;
}

}  // namespace

WeakTable::WeakTable(Heap& heap)
    // Relaxed: only distinct values matter.
    : id_(heap.state().weak_tables.fetch_add(1, std::memory_order_relaxed)) {}

uint64_t WeakTable::KeyFor(Mutator& mutator, ObjectPtr key) const {
  return id_ << 32 | mutator.IdentityHash(key);
}

Status WeakTable::Put(Mutator& mutator, ObjectPtr key, Word word) const {
  if (!mutator.CheckManaged("WeakTable::Put")) {
    return {StatusCode::kFailedPrecondition,
            "mutator \"" + mutator.name() + "\" puts into a weak table while not managed"};
  }
  RegionState& region = mutator.region().state();
  platform::MutexLock lock(region.allocation_mutex);  // under which objects become shared
  if (!IsPrivate(mutator, key)) {
    return {StatusCode::kInvalidArgument,
            "a key of a weak table is a private object of the mutator's region; this one is shared "
            "or outside the heap"};
  }
  const uint64_t hashed = KeyFor(mutator, key);
  const auto set = [word](WeakEntries&, WeakEntries::iterator at) { at->second.word = word; };
  if (WithEntry(region, hashed, key, set)) return Status::Ok();
  const bool young = mutator.TagOf(key.address()) == mutator.young_tag();
  (young ? region.own->young_weak_entries : region.own->weak_entries)
      .emplace(hashed, WeakEntry{key.address(), word});
  return Status::Ok();
}

std::optional<Word> WeakTable::Get(Mutator& mutator, ObjectPtr key) const {
  if (!mutator.CheckManaged("WeakTable::Get") || !IsPrivate(mutator, key)) return std::nullopt;
  RegionState& region = mutator.region().state();
  const uint64_t hashed = KeyFor(mutator, key);
  std::optional<Word> word;
  platform::MutexLock lock(region.allocation_mutex);
  WithEntry(region, hashed, key,
            [&](WeakEntries&, WeakEntries::iterator at) { word = at->second.word; });
  return word;
}

bool WeakTable::Remove(Mutator& mutator, ObjectPtr key) const {
  if (!mutator.CheckManaged("WeakTable::Remove") || !IsPrivate(mutator, key)) return false;
  RegionState& region = mutator.region().state();
  const uint64_t hashed = KeyFor(mutator, key);
  platform::MutexLock lock(region.allocation_mutex);
  return WithEntry(region, hashed, key,
                   [](WeakEntries& entries, WeakEntries::iterator at) { entries.erase(at); });
}

}  // namespace Atoll
