// Layer: gc
#ifndef ATOLL_GC_H_
#define ATOLL_GC_H_

#include <memory>

#include "atoll/heap.h"

namespace Atoll {

/// Creates a heap with its collectors. Errors: an encoding that can never work (named), a
/// reservation that the system refuses even at its smallest. Any thread.
Result<std::unique_ptr<Heap>> CreateHeap(const HeapOptions& options);

}  // namespace Atoll

#endif  // ATOLL_GC_H_
