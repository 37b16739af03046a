#ifndef ATOLL_HEAP_LARGE_OBJECTS_H_
#define ATOLL_HEAP_LARGE_OBJECTS_H_

#include <cstdint>

#include "heap/remembered_set.h"

namespace Atoll {

struct RegionState;

/// Notes that `slot` of the large object at `object` refers to a young object: as a slot, or, once
/// `set` holds many, by dirtying its card (tested before it is marked, so that mutators that store
/// side by side do not fight for the cache line). Called by mutators of the region, and by its
/// collectors while it is stopped.
void RememberSlotOfLarge(RegionState& region, RememberedSet& set, uintptr_t object, uintptr_t slot);

}  // namespace Atoll

#endif  // ATOLL_HEAP_LARGE_OBJECTS_H_
