// The strong slots of an object as its type's bitmaps say: the inner loops of tracing.
//
// Always from the last to the first: what is pushed last is popped first, so tracing goes through
// the fields of an object in their order.
#ifndef ATOLL_GC_STRONG_SLOTS_H_
#define ATOLL_GC_STRONG_SLOTS_H_

#include <algorithm>
#include <bit>
#include <type_traits>
#include <vector>

#include "atoll/ref.h"
#include "heap/object_model.h"
#include "heap/type_table.h"

namespace Atoll {

/// Bit i of `bits`: the slot `first.Next(i)`.
template <typename Fn>
ATOLL_ALWAYS_INLINE void VisitBitmap(Slot first, uint64_t bits, Fn visit) {
  while (bits != 0) {
    const int last = 63 - std::countl_zero(bits);
    bits ^= uint64_t{1} << last;
    visit(first.Next(static_cast<size_t>(last)));
  }
}

/// The words of a long bitmap behind its first.
template <typename Fn>
void VisitLongBitmap(Slot first, const std::vector<uint64_t>& bitmap, Fn visit) {
  for (size_t i = bitmap.size(); i-- > 1;) VisitBitmap(first.Next(i * 64), bitmap[i], visit);
}

/// The slot at an address inside an object. E: the heap's encoding, or void: as the type says.
template <typename E>
ATOLL_ALWAYS_INLINE Slot SlotIn(const Type& type, uintptr_t address) {
  if constexpr (std::is_void_v<E>) {
    return type.SlotAt(address);
  } else {
    return ObjectSlot<E>(address);
  }
}

/// The references at `ref_offsets`.
template <typename E = void, typename Fn>
ATOLL_ALWAYS_INLINE void VisitFixedPart(uintptr_t object, const Type& type, Fn visit) {
  const Slot first = SlotIn<E>(type, object + kHeaderSize);
  if (ATOLL_UNLIKELY(type.has_long_bitmap)) VisitLongBitmap(first, type.details->bitmap, visit);
  VisitBitmap(first, type.bitmap, visit);
}

/// Elements [first, first + count) of an object of kRefArray or kStructArray.
template <typename E = void, typename Fn>
ATOLL_ALWAYS_INLINE void VisitElements(uintptr_t object, const Type& type, size_t first,
                                       size_t count, Fn visit) {
  const size_t length = LengthOf(type, object);
  const size_t end = count < length - std::min(first, length) ? first + count : length;
  const Slot elements = SlotIn<E>(type, object + type.fixed_size);
  if (type.layout == Layout::kRefArray) {
    for (size_t i = end; i-- > first;) visit(elements.Next(i));
    return;
  }
  for (size_t i = end; i-- > first;) {
    const Slot element = SlotIn<E>(type, elements.address() + i * type.element_size);
    if (ATOLL_UNLIKELY(type.has_long_bitmap)) {
      VisitLongBitmap(element, type.details->element_bitmap, visit);
    }
    VisitBitmap(element, type.element_bitmap, visit);
  }
}

}  // namespace Atoll

#endif  // ATOLL_GC_STRONG_SLOTS_H_
