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

/// Bit i of `bits`: the word at start + 8 i.
template <typename Fn>
ATOLL_ALWAYS_INLINE void VisitBitmap(uintptr_t start, uint64_t bits, Fn visit) {
  while (bits != 0) {
    const int last = 63 - std::countl_zero(bits);
    bits ^= uint64_t{1} << last;
    visit(Slot(start + static_cast<uintptr_t>(last) * sizeof(Word)));
  }
}

/// The words of a long bitmap behind its first.
template <typename Fn>
void VisitLongBitmap(uintptr_t start, const std::vector<uint64_t>& bitmap, Fn visit) {
  for (size_t i = bitmap.size(); i-- > 1;) {
    VisitBitmap(start + i * 64 * sizeof(Word), bitmap[i], visit);
  }
}

/// The references at `ref_offsets`.
template <typename Fn>
ATOLL_ALWAYS_INLINE void VisitFixedPart(uintptr_t object, const Type& type, Fn visit) {
  if (ATOLL_UNLIKELY(type.has_long_bitmap)) {
    VisitLongBitmap(object + kHeaderSize, type.details->bitmap, visit);
  }
  VisitBitmap(object + kHeaderSize, type.bitmap, visit);
}

/// Elements [first, first + count) of an object of kRefArray or kStructArray.
template <typename Fn>
ATOLL_ALWAYS_INLINE void VisitElements(uintptr_t object, const Type& type, size_t first,
                                       size_t count, Fn visit) {
  const size_t length = LengthOf(type, object);
  const size_t end = count < length - std::min(first, length) ? first + count : length;
  const uintptr_t elements = object + type.fixed_size;
  if (type.layout == Layout::kRefArray) {
    for (size_t i = end; i-- > first;) visit(Slot(elements + i * sizeof(Word)));
    return;
  }
  for (size_t i = end; i-- > first;) {
    const uintptr_t element = elements + i * type.element_size;
    if (ATOLL_UNLIKELY(type.has_long_bitmap)) {
      VisitLongBitmap(element, type.details->element_bitmap, visit);
    }
    VisitBitmap(element, type.element_bitmap, visit);
  }
}

}  // namespace Atoll

#endif  // ATOLL_GC_STRONG_SLOTS_H_
