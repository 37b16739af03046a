#include "isolate/small_graph.h"

#include <algorithm>
#include <bit>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/object_slots.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// Objects found, each once.
class Found {
 public:
  /// False: there are too many.
  bool Add(uintptr_t object) {
    const uint64_t bit = uint64_t{1} << (object / kGranule % 64);
    if ((bits_ & bit) != 0 && std::find(objects_, objects_ + count_, object) != objects_ + count_) {
      return true;
    }
    if (count_ == kSmallGraphObjects) return false;
    bits_ |= bit;
    objects_[count_++] = object;
    waiting_[waiting_count_++] = object;
    return true;
  }
  /// The one found last that has not been taken; 0: none.
  uintptr_t Take() { return waiting_count_ == 0 ? 0 : waiting_[--waiting_count_]; }

 private:
  uint64_t bits_ = 0;  // of the objects' addresses: where none is set, an object is new
  size_t count_ = 0;
  size_t waiting_count_ = 0;
  uintptr_t objects_[kSmallGraphObjects];
  uintptr_t waiting_[kSmallGraphObjects];
};

}  // namespace

bool IsSmallGraph(Mutator& source, Ref root, size_t max_bytes) {
  const RefEncoding& encoding = source.encoding();
  const HeapState& heap = source.region().state().heap;
  Found found;
  bool is_small = true;
  const auto reach = [&](Word word) {
    if (!source.RefersIntoHeap(encoding, Ref{word})) return;
    const uintptr_t object = encoding.Decode(word);
    if ((source.TagOf(object) & tag::kShared) == 0) is_small &= found.Add(object);
  };
  reach(root.word);
  size_t bytes = 0;
  while (const uintptr_t object = found.Take()) {
    const Type& type = source.TypeOf(ObjectPtr(object));
    bytes += ObjectSize(type, object);
    // Before its slots: there may be many.
    if (bytes > max_bytes) return false;
    if (type.layout == Layout::kFixed && !type.has_long_bitmap) {
      for (uint64_t bits = type.bitmap; bits != 0; bits &= bits - 1) {
        const auto i = static_cast<size_t>(std::countr_zero(bits));
        reach(type.SlotAt(object + kHeaderSize).Next(i).Load().word);
      }
    } else if (!type.is_leaf()) {
      ForEachSlotOf(heap, object, [&](Slot slot) { reach(slot.Load().word); });
    }
    if (!is_small) return false;
  }
  return is_small;
}

}  // namespace Atoll
