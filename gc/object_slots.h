#ifndef ATOLL_GC_OBJECT_SLOTS_H_
#define ATOLL_GC_OBJECT_SLOTS_H_

#include "atoll/function_ref.h"
#include "heap/heap_state.h"

namespace Atoll {

/// Calls fn for every slot of an object, weak ones too. For tools (verifier, snapshots): it reads
/// the type the slow way round. At a safepoint.
void ForEachSlotOf(const HeapState& heap, uintptr_t object, FunctionRef<void(Slot)> fn);

}  // namespace Atoll

#endif  // ATOLL_GC_OBJECT_SLOTS_H_
