// Where may old objects refer to young ones (invariant I3)?
//
//   objects   old objects with header flag kRemembered: all their slots are scanned
//   slots     single slots of large reference arrays
//   carded    large reference arrays with dirty cards, once `slots` would grow too long
//
// When memory for an entry is refused, `overflowed` says so: the next minor collection scans all
// old objects of the region instead.
#ifndef ATOLL_HEAP_REMEMBERED_SET_H_
#define ATOLL_HEAP_REMEMBERED_SET_H_

#include <cstdint>

#include "heap/block.h"
#include "heap/object_model.h"
#include "heap/segmented_vector.h"

namespace Atoll {

/// The card bytes of one large reference array, from the heap's off-heap memory.
struct CardTable {
  uint64_t count;
  uint8_t& card(size_t i) { return reinterpret_cast<uint8_t*>(this + 1)[i]; }
  static size_t BytesFor(uint64_t count) { return sizeof(CardTable) + count; }
};

/// One per mutator (written without a lock) and one per part (what collections kept, and what
/// mutators that left had). Not synchronized.
struct RememberedSet {
  /// Slots kept before cards take over: two segments of them, then cards.
  static constexpr size_t kMaxSlots = 4096;

  explicit RememberedSet(GroupAllocator& allocator)
      : objects(allocator), slots(allocator), carded(allocator) {}

  /// Lists an old object as a whole, unless it is listed so already.
  void AddObject(uintptr_t object) {
    if ((LoadFlags(object) & header::kRemembered) != 0) return;
    SetFlag(object, header::kRemembered);
    if (!objects.TryPush(object)) overflowed = true;
  }
  bool empty() const { return objects.empty() && slots.empty() && carded.empty() && !overflowed; }
  void Splice(RememberedSet& other) {
    objects.Splice(other.objects);
    slots.Splice(other.slots);
    carded.Splice(other.carded);
    overflowed |= other.overflowed;
    other.overflowed = false;
  }

  void Clear() {
    objects.Clear();
    slots.Clear();
    carded.Clear();
    overflowed = false;
  }

  SegmentedVector<uintptr_t> objects;
  SegmentedVector<uintptr_t> slots;
  SegmentedVector<BlockIndex> carded;
  bool overflowed = false;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_REMEMBERED_SET_H_
