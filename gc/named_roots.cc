#include "gc/named_roots.h"

#include <deque>
#include <unordered_map>
#include <vector>

#include "heap/mutator_record.h"
#include "heap/object_model.h"
#include "heap/object_slots.h"

namespace Atoll {
namespace {

class RootCollector final : public RootVisitor {
 public:
  void VisitSlot(Slot slot) override { words.push_back(slot.Load().word); }
  std::vector<Word> words;
};

}  // namespace

void ForEachNamedRoot(RegionState& region, NamedRootFn fn) {
  for (Mutator* mutator : region.mutators) {
    size_t i = 0;
    mutator->record().ForEachHandle([&](Slot slot) {
      fn(slot.Load().word,
         "handle " + std::to_string(i++) + " of mutator \"" + mutator->name() + "\"");
    });
  }
  if (region.options.client != nullptr) {
    RootCollector roots;
    region.options.client->VisitRoots(roots);
    for (size_t i = 0; i < roots.words.size(); ++i) {
      fn(roots.words[i], "root " + std::to_string(i) + " of the client");
    }
  }
  region.persistents->ForEach(false,
                              [&](Slot slot) { fn(slot.Load().word, "a persistent handle"); });
  region.persistents->ForEach(true, [&](Slot slot) { fn(slot.Load().word, "a weak handle"); });
  for (const Word word : region.guarded) fn(word, "a guarded object");
  for (const auto& [object, count] : region.pins) {
    fn(region.heap.options.encoding.Make(object), "a pin");
  }
  region.ForEachPart([&](Part& part) {
    for (const WeakEntries* entries : {&part.young_weak_entries, &part.weak_entries}) {
      for (const auto& [key, entry] : *entries) {
        fn(region.heap.options.encoding.Make(entry.object), kWeakTableRoot);
      }
    }
  });
}

std::string Hex(uintptr_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%zx", static_cast<size_t>(value));
  return text;
}

std::string DescribeObject(const HeapState& heap, uintptr_t object) {
  return "\"" + heap.types.OfHeader(HeaderOf(object).load()).name() + "\" at " + Hex(object);
}

std::string PathFromRoot(const HeapState& heap, uintptr_t goal,
                         FunctionRef<void(NamedRootFn)> roots,
                         FunctionRef<bool(uintptr_t from, uintptr_t to)> may_follow) {
  const RefEncoding& encoding = heap.options.encoding;
  std::unordered_map<uintptr_t, uintptr_t> parent;
  std::unordered_map<uintptr_t, std::string> root_of;
  std::deque<uintptr_t> queue;
  auto reach = [&](Word word, uintptr_t from) -> uintptr_t {
    if (!encoding.RefersInto(word, heap.space->base(), heap.space->size())) return 0;
    const uintptr_t object = encoding.Decode(word);
    if (!may_follow(from, object)) return 0;
    if (parent.emplace(object, from).second) queue.push_back(object);
    return object;
  };
  roots([&](Word word, const std::string& name) {
    if (const uintptr_t object = reach(word, 0); object != 0) root_of.emplace(object, name);
  });
  while (!queue.empty() && parent.count(goal) == 0) {
    const uintptr_t object = queue.front();
    queue.pop_front();
    ForEachSlotOf(heap, object, [&](Slot slot) { reach(slot.Load().word, object); });
  }
  if (parent.count(goal) == 0) return "; it is not reachable from any root";
  std::string path;
  for (uintptr_t object = goal; object != 0; object = parent[object]) {
    path.insert(0, " -> " + DescribeObject(heap, object));
    if (parent[object] == 0) path.insert(0, root_of[object]);
  }
  return "; path: " + path;
}

}  // namespace Atoll
