#include "heap/mark_objects.h"

#include "heap/heap_state.h"
#include "heap/object_model.h"

namespace Atoll {

void MarkObjects(const HeapState& heap, uintptr_t first, uintptr_t end) {
  for (uintptr_t at = first; at < end;) {
    // Relaxed: nobody else has the objects yet, or only threads that change no header meanwhile.
    const Word header_word = HeaderOf(at).load(std::memory_order_relaxed);
    if (IsFiller(header_word)) {
      at += FillerSize(header_word);
      continue;
    }
    const size_t size = ObjectSize(heap.types.OfHeader(header_word), at);
    ATOLL_CHECK(size != 0,
                "at %zx stands %zx, which is no object's header: memory that was allocated was not "
                "filled, or was written over",
                static_cast<size_t>(at), static_cast<size_t>(header_word));
    MarkBornOld(*heap.space, at, size);
    at += size;
  }
}

}  // namespace Atoll
