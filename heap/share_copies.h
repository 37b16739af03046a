#ifndef ATOLL_HEAP_SHARE_COPIES_H_
#define ATOLL_HEAP_SHARE_COPIES_H_

#include "atoll/function_ref.h"
#include "atoll/heap.h"

namespace Atoll {

/// Makes what is being copied into a region (its filling_young and filling_large) shared where it
/// is. The copies are complete, refer to each other and to shared objects alone, and none is a weak
/// reference or an ephemeron.
///
/// Managed state of the calling thread's mutator, which keeps alive what the copies refer to.
/// `poll` is called now and then, and may let others stop the caller: no collection sees the copies
/// yet. If it returns false, then so does this, and the copies are what they were: what they refer
/// to may have been replaced (Become). After its last call nothing polls: whoever needs the objects
/// holds on to one of them then.
///
/// Cost: O(objects) to mark them, with polls; O(blocks) for the change itself.
[[nodiscard]] bool ShareCopies(RegionState& region, FunctionRef<bool()> poll);

}  // namespace Atoll

#endif  // ATOLL_HEAP_SHARE_COPIES_H_
