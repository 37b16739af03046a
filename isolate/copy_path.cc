#include "isolate/copy_path.h"

#include <bit>
#include <deque>
#include <unordered_map>
#include <vector>

#include "heap/object_model.h"
#include "heap/object_slots.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

constexpr size_t kStepsAtEachEnd = 8;

// How many references lie before bit `bit`.
size_t Rank(const std::vector<uint64_t>& bitmap, size_t bit) {
  size_t rank = 0;
  for (size_t i = 0; i < bit / 64; ++i) rank += static_cast<size_t>(std::popcount(bitmap[i]));
  const uint64_t below = (uint64_t{1} << (bit % 64)) - 1;
  return rank + static_cast<size_t>(std::popcount(bitmap[bit / 64] & below));
}

std::string NameOfSlot(const Type& type, uintptr_t offset) {
  const TypeDetails& details = *type.details;
  if (type.layout == Layout::kCustom) return " slot at +" + std::to_string(offset);
  if (type.layout == Layout::kEphemeron && offset == kHeaderSize + type.slot_size())
    return " value";
  if (offset < type.fixed_size) {
    return " slot " +
           std::to_string(Rank(details.bitmap, (offset - kHeaderSize) / type.slot_size()));
  }
  const uintptr_t in_elements = offset - type.fixed_size;
  std::string name = " element " + std::to_string(in_elements / type.element_size);
  if (type.layout == Layout::kStructArray) {
    const size_t slot = in_elements % type.element_size / type.slot_size();
    name += " slot " + std::to_string(Rank(details.element_bitmap, slot));
  }
  return name;
}

class Search {
 public:
  Search(Mutator& source, const CopiedObjects& copied)
      : source_(source), copied_(copied), heap_(source.region().state().heap) {}

  std::string Run(std::span<const Ref> roots, uintptr_t goal) {
    for (size_t i = 0; i < roots.size(); ++i) Reach(roots[i].word, Step{0, i}, goal);
    size_t looked_at = 0;
    while (!queue_.empty() && steps_.count(goal) == 0) {
      const uintptr_t object = queue_.front();
      queue_.pop_front();
      const Type& type = source_.TypeOf(ObjectPtr(object));
      ForEachSlotOf(heap_, object, [&](Slot slot) {
        const uintptr_t offset = slot.address() - object;
        if (!IsFollowed(type, object, offset)) return;
        Reach(slot.LoadAcquire().word, Step{object, offset}, goal);  // as GraphCopy does
      });
      if (++looked_at % kObjectsPerPoll == 0) source_.Poll();
    }
    return steps_.count(goal) == 0 ? "none left" : Describe(goal, roots.size());
  }

 private:
  // From which object by which slot; from 0: by which root.
  struct Step {
    uintptr_t from;
    uintptr_t at;
  };

  bool IsPrivate(Word word) const {
    return source_.RefersIntoHeap(source_.encoding(), Ref{word}) &&
           (source_.TagOf(source_.encoding().Decode(word)) & tag::kShared) == 0;
  }
  void Reach(Word word, Step step, uintptr_t goal) {
    if (!IsPrivate(word)) return;
    const uintptr_t object = source_.encoding().Decode(word);
    if (object != goal && !copied_.Contains(object)) return;
    if (steps_.emplace(object, step).second) queue_.push_back(object);
  }
  // Weak words are not; an ephemeron's value is if its key has been reached.
  bool IsFollowed(const Type& type, uintptr_t object, uintptr_t offset) const {
    if (offset == kHeaderSize) {
      return type.layout != Layout::kWeakRef && type.layout != Layout::kEphemeron;
    }
    if (type.layout != Layout::kEphemeron || offset != kHeaderSize + type.slot_size()) return true;
    const Word key = type.SlotAt(object + kHeaderSize).Load().word;
    return !IsPrivate(key) || copied_.Contains(source_.encoding().Decode(key));
  }

  std::string Describe(uintptr_t goal, size_t roots) const {
    std::vector<std::string> names;  // the goal first
    size_t left_out = 0;
    size_t root = 0;
    size_t length = 0;
    for (uintptr_t object = goal; object != 0; object = steps_.at(object).from) {
      ++length;
      root = steps_.at(object).at;
    }
    std::string slot;
    size_t i = 0;
    for (uintptr_t object = goal; object != 0; ++i) {
      const Step step = steps_.at(object);
      const Type& type = source_.TypeOf(ObjectPtr(object));
      if (i < kStepsAtEachEnd || i + kStepsAtEachEnd >= length) {
        names.push_back("\"" + type.name() + "\"" + slot);
      } else if (left_out++ == 0) {
        names.push_back("(" + std::to_string(length - 2 * kStepsAtEachEnd) + " more)");
      }
      if (step.from != 0) slot = NameOfSlot(source_.TypeOf(ObjectPtr(step.from)), step.at);
      object = step.from;
    }
    std::string path = roots == 1 ? "root" : "root " + std::to_string(root);
    for (size_t name = names.size(); name-- > 0;) path += " -> " + names[name];
    return path;
  }

  Mutator& source_;
  const CopiedObjects& copied_;
  const HeapState& heap_;
  std::unordered_map<uintptr_t, Step> steps_;
  std::deque<uintptr_t> queue_;
};

}  // namespace

std::string PathOfCopy(Mutator& source, std::span<const Ref> roots, uintptr_t goal,
                       const CopiedObjects& copied) {
  return Search(source, copied).Run(roots, goal);
}

}  // namespace Atoll
