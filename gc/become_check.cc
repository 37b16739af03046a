// Does each place refer to what became of what it referred to before? By other means than those
// that replace: slots as the verifier reads them, and no tag bits.
#include <algorithm>

#include "gc/become.h"
#include "gc/named_roots.h"
#include "gc/region_walk.h"
#include "heap/mutator_record.h"
#include "heap/object_slots.h"

namespace Atoll {
namespace {

class WordCollector final : public RootVisitor {
 public:
  void VisitSlot(Slot slot) override { words.push_back(slot.Load().word); }
  std::vector<Word> words;
};

}  // namespace

void BecomeRun::ForEachWord(
    FunctionRef<void(Word word, const std::string& place, bool may_go)> fn) {
  const auto visit_block = [&](BlockIndex block, const std::string& of) {
    ForEachObject(heap_, block, [&](uintptr_t object) {
      ForEachSlotOf(heap_, object, [&](Slot slot) {
        if (!encoding_.IsRef(slot.Load().word)) return;
        fn(slot.Load().word,
           "slot +" + std::to_string(slot.address() - object) + " of the " +
               DescribeObject(heap_, object) + " of " + of,
           false);
      });
    });
  };
  for (GroupRoots* roots : heap_.group_roots) {
    WordCollector strong;
    roots->VisitRoots(strong);
    for (const Word word : strong.words) fn(word, "a root of the group", false);
    WordCollector weak;
    roots->VisitWeakRoots(weak);
    for (const Word word : weak.words) fn(word, "a weak root of the group", true);
  }
  heap_.program.ForEachBlock([&](BlockIndex block) { visit_block(block, "the Program space"); });
  for (BlockList* list : {&shared_.full(), &shared_.recyclable(), &shared_.large()}) {
    list->ForEach(space_, [&](BlockIndex block) { visit_block(block, "the Shared space"); });
  }
  for (RegionState* region : heap_.regions) {
    const std::string name = "region \"" + region->options.name + "\"";
    const std::string of_region = " of " + name;
    ForEachNamedRoot(*region, [&](Word word, const std::string& root) {
      // Where both have an entry in a weak table, one of them goes.
      fn(word, root + of_region, root == kWeakTableRoot);
    });
    region->ForEachFinalizerList([&](const std::vector<Finalizer>& list) {
      for (const Finalizer& finalizer : list) {
        fn(encoding_.Make(finalizer.object), "a finalizer" + of_region, false);
      }
    });
    ForEachBlock(*region, [&](BlockIndex block, Part&) { visit_block(block, name); });
  }
}

std::map<std::string, BecomeRun::Held> BecomeRun::FindHeld() {
  std::map<std::string, Held> held;
  ForEachWord([&](Word word, const std::string& place, bool may_go) {
    if (!encoding_.RefersInto(word, space_.base(), space_.size())) return;
    const uintptr_t object = encoding_.Decode(word);
    if (pairs_.Find(object) == nullptr && !cells_.Contains(object)) return;
    Held& here = held[place];
    here.objects.push_back(object);
    here.may_go = may_go;
  });
  return held;
}

std::string BecomeRun::DescribeHeld(const std::string& place, uintptr_t object) const {
  if (cells_.Contains(object)) return place + " refers to the cell of a pair of a Become";
  const BecomeMap::Entry& entry = *pairs_.Find(object);
  return place + " still refers to the " + DescribeObject(heap_, object) + ", " +
         (entry.target != 0 ? "before[" : "after[") + std::to_string(entry.index) + "] of a Become";
}

void BecomeRun::NoteForCheck() { noted_ = FindHeld(); }

Status BecomeRun::Check() {
  const auto wrong = [](const std::string& what) {
    return Status(StatusCode::kInvariantViolated, what);
  };
  std::map<std::string, Held> held = FindHeld();
  for (auto& [place, now] : held) {
    // What it is to refer to; what is found is taken off.
    std::vector<uintptr_t> wanted;
    for (const uintptr_t object : noted_[place].objects) {
      const uintptr_t target = pairs_.Find(object)->target;
      wanted.push_back(target == 0 ? object : target);
    }
    for (const uintptr_t object : now.objects) {
      const auto found = std::find(wanted.begin(), wanted.end(), object);
      if (found != wanted.end()) {
        wanted.erase(found);
      } else if (cells_.Contains(object) || pairs_.Find(object)->target != 0) {
        return wrong(DescribeHeld(place, object));
      }
    }
    if (!wanted.empty() && !now.may_go) return wrong(place + " has lost a reference in a Become");
  }
  for (const auto& [place, before] : noted_) {
    if (held.count(place) == 0 && !before.objects.empty() && !before.may_go) {
      return wrong(place + " has lost its references in a Become");
    }
  }
  return Status::Ok();
}

}  // namespace Atoll
