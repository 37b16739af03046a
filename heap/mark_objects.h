#ifndef ATOLL_HEAP_MARK_OBJECTS_H_
#define ATOLL_HEAP_MARK_OBJECTS_H_

#include <cstdint>

namespace Atoll {

struct HeapState;

/// Marks the objects that lie side by side in [first, end): blocks of Old and Shared are walked by
/// mark bits. Their block is the caller's. Fillers between them stay unmarked.
void MarkObjects(const HeapState& heap, uintptr_t first, uintptr_t end);

}  // namespace Atoll

#endif  // ATOLL_HEAP_MARK_OBJECTS_H_
