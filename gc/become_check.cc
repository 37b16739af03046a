// Is there a reference to a replaced object left? By other means than those that replace: slots as
// the verifier reads them, and no tag bits.
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

Status BecomeRun::Check() {
  Status status;
  const auto check = [&](Word word, const std::string& where) {
    if (!status.ok() || !encoding_.RefersInto(word, space_.base(), space_.size())) return;
    const uintptr_t object = encoding_.Decode(word);
    const BecomeMap::Entry* entry = pairs_.Find(object);
    if (entry == nullptr || entry->target == 0) return;
    status = {StatusCode::kInvariantViolated, where + " still refers to the " +
                                                  DescribeObject(heap_, object) + ", before[" +
                                                  std::to_string(entry->index) + "] of a Become"};
  };
  const auto check_object = [&](uintptr_t object, const std::string& of) {
    ForEachSlotOf(heap_, object, [&](Slot slot) {
      if (!status.ok() || !encoding_.IsRef(slot.Load().word)) return;
      check(slot.Load().word, "slot +" + std::to_string(slot.address() - object) + " of the " +
                                  DescribeObject(heap_, object) + " of " + of);
    });
  };
  const auto check_block = [&](BlockIndex block, const std::string& of) {
    ForEachObject(heap_, block, [&](uintptr_t object) {
      if (status.ok()) check_object(object, of);
    });
  };
  for (GroupRoots* roots : heap_.group_roots) {
    WordCollector strong;
    roots->VisitRoots(strong);
    for (const Word word : strong.words) check(word, "a root of the group");
    WordCollector weak;
    roots->VisitWeakRoots(weak);
    for (const Word word : weak.words) check(word, "a weak root of the group");
  }
  heap_.program.ForEachBlock([&](BlockIndex block) { check_block(block, "the Program space"); });
  for (BlockList* list : {&shared_.full(), &shared_.recyclable(), &shared_.large()}) {
    list->ForEach(space_, [&](BlockIndex block) { check_block(block, "the Shared space"); });
  }
  for (RegionState* region : heap_.regions) {
    const std::string name = "region \"" + region->options.name + "\"";
    const std::string of_region = " of " + name;
    ForEachNamedRoot(*region,
                     [&](Word word, const std::string& root) { check(word, root + of_region); });
    region->ForEachFinalizerList([&](const std::vector<Finalizer>& list) {
      for (const Finalizer& finalizer : list) {
        check(encoding_.Make(finalizer.object), "a finalizer" + of_region);
      }
    });
    ForEachBlock(*region, [&](BlockIndex block, Part&) { check_block(block, name); });
  }
  return status;
}

}  // namespace Atoll
