// What belongs to the identity of what is replaced: hash, finalizers, entries in weak tables.
#include <algorithm>
#include <utility>
#include <vector>

#include "gc/become.h"

namespace Atoll {
namespace {

// Of a private or shared object: it never holds a forwarding address here. Relaxed, all: everybody
// is stopped, or only compares.
uint32_t HashOf(uintptr_t object) {
  return static_cast<uint32_t>(HeaderOf(object).load(std::memory_order_relaxed) >>
                               header::kHashShift);
}

constexpr uint64_t kHashMask = UINT32_MAX;

}  // namespace

// Who changes places takes its hash along, as all else; the others take over what their new object
// has not.
void BecomeRun::PassOnHashes() {
  std::vector<uint32_t> hashes;
  hashes.reserve(before_.size());
  for (const Ref word : before_) hashes.push_back(HashOf(ObjectOf(word)));
  // Relaxed, both: see HashOf.
  for (const Ref word : before_) {
    if (!pairs_.Find(ObjectOf(word))->is_after) continue;
    HeaderOf(ObjectOf(word))
        .fetch_and(~(kHashMask << header::kHashShift), std::memory_order_relaxed);
  }
  for (size_t i = 0; i < before_.size(); ++i) {
    const uintptr_t to = ObjectOf(after_[i]);
    if (hashes[i] == 0 || HashOf(to) != 0) continue;
    HeaderOf(to).fetch_or(Word{hashes[i]} << header::kHashShift, std::memory_order_relaxed);
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
