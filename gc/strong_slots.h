// The strong slots of an object as its type's bitmaps say: the inner loops of tracing.
//
// Always from the last to the first: what is pushed last is popped first, so tracing goes through
// the fields of an object in their order.
#ifndef ATOLL_GC_STRONG_SLOTS_H_
#define ATOLL_GC_STRONG_SLOTS_H_

#include <algorithm>
#include <bit>
#include <vector>

#include "atoll/ref.h"
#include "heap/object_model.h"
#include "heap/type_table.h"

namespace Atoll {

/// Bit i of `bits`: slot i from `start` on. E: the heap's encoding.
template <typename E, typename Fn>
ATOLL_ALWAYS_INLINE void VisitBitmap(uintptr_t start, uint64_t bits, Fn visit) {
  while (bits != 0) {
    const int last = 63 - std::countl_zero(bits);
    bits ^= uint64_t{1} << last;
    visit(ObjectSlot<E>(start + static_cast<uintptr_t>(last) * kSlotSize<E>));
  }
}

/// The words of a long bitmap behind its first.
template <typename E, typename Fn>
void VisitLongBitmap(uintptr_t start, const std::vector<uint64_t>& bitmap, Fn visit) {
  for (size_t i = bitmap.size(); i-- > 1;) {
    VisitBitmap<E>(start + i * 64 * kSlotSize<E>, bitmap[i], visit);
  }
}

/// The references at `ref_offsets`.
template <typename E, typename Fn>
ATOLL_ALWAYS_INLINE void VisitFixedPart(uintptr_t object, const Type& type, Fn visit) {
  if (ATOLL_UNLIKELY(type.has_long_bitmap)) {
    VisitLongBitmap<E>(object + kHeaderSize, type.details->bitmap, visit);
  }
  VisitBitmap<E>(object + kHeaderSize, type.bitmap, visit);
}

/// Elements [first, first + count) of an object of kRefArray or kStructArray.
template <typename E, typename Fn>
ATOLL_ALWAYS_INLINE void VisitElements(uintptr_t object, const Type& type, size_t first,
                                       size_t count, Fn visit) {
  const size_t length = LengthOf(type, object);
  const size_t end = count < length - std::min(first, length) ? first + count : length;
  const uintptr_t elements = object + type.fixed_size;
  if (type.layout == Layout::kRefArray) {
    for (size_t i = end; i-- > first;) visit(ObjectSlot<E>(elements + i * kSlotSize<E>));
    return;
  }
  for (size_t i = end; i-- > first;) {
    const uintptr_t element = elements + i * type.element_size;
    if (ATOLL_UNLIKELY(type.has_long_bitmap)) {
      VisitLongBitmap<E>(element, type.details->element_bitmap, visit);
    }
    VisitBitmap<E>(element, type.element_bitmap, visit);
  }
}

/// The same where the encoding is not known when compiling: the type says how wide slots are.
template <typename Fn>
void VisitFixedPart(uintptr_t object, const Type& type, Fn visit) {
  type.has_compressed_slots ? VisitFixedPart<CompressedPointers>(object, type, visit)
                            : VisitFixedPart<PlainPointers>(object, type, visit);
}
template <typename Fn>
void VisitElements(uintptr_t object, const Type& type, size_t first, size_t count, Fn visit) {
  type.has_compressed_slots ? VisitElements<CompressedPointers>(object, type, first, count, visit)
                            : VisitElements<PlainPointers>(object, type, first, count, visit);
}

}  // namespace Atoll

#endif  // ATOLL_GC_STRONG_SLOTS_H_
