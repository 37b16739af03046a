#ifndef ATOLL_HEAP_OBJECT_SLOTS_H_
#define ATOLL_HEAP_OBJECT_SLOTS_H_

#include "atoll/function_ref.h"
#include "heap/heap_state.h"

namespace Atoll {

/// Calls fn for every slot of an object, weak ones too. For what is rare (verifier, snapshots): it
/// reads the type the slow way round. At a safepoint, or of an object that nobody writes any more.
void ForEachSlotOf(const HeapState& heap, uintptr_t object, FunctionRef<void(Slot)> fn);

}  // namespace Atoll

#endif  // ATOLL_HEAP_OBJECT_SLOTS_H_
