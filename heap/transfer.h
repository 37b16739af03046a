#ifndef ATOLL_HEAP_TRANSFER_H_
#define ATOLL_HEAP_TRANSFER_H_

#include <cstdint>
#include <vector>

#include "atoll/heap.h"

namespace Atoll {

/// An object of a type with a `transfer` hook, and its copy in another region.
struct Transfer {
  uintptr_t object;
  uintptr_t copy;
  bool is_done = false;  ///< there was something to give, and the copy has it
};

/// What objects of a mutator's region own becomes their copies': native finalizers with their
/// external bytes, and by the hooks whatever the objects say of it. The copies' region is nobody
/// else's yet. Managed state; not a safepoint. O(transfers) and a look through the finalizers of
/// the mutator's region, under its lock.
void TransferToCopies(Mutator& mutator, RegionState& copies, std::vector<Transfer>& transfers);

/// Undoes that, before the next safepoint of the mutator. `transfers` are empty afterwards.
void TransferBack(Mutator& mutator, RegionState& copies, std::vector<Transfer>& transfers);

}  // namespace Atoll

#endif  // ATOLL_HEAP_TRANSFER_H_
