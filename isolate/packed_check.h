#ifndef ATOLL_ISOLATE_PACKED_CHECK_H_
#define ATOLL_ISOLATE_PACKED_CHECK_H_

#include <string>

#include "atoll/status.h"
#include "heap/heap_state.h"
#include "isolate/image.h"

namespace Atoll {

/// Checks a packed graph for Heap::Verify, whose invariants it may break as a region may:
///  - I6: it is objects of known types one behind the other, to the end of its data;
///  - I1: what refers to private objects refers to starts of objects of the graph itself;
///  - I2: what refers to shared ones is marked as such, for a collection of these to find. (That
///    they are where it says, whoever visits the roots of the group checks.)
/// `whose` it is begins the error. All mutators of the heap are stopped.
Status CheckPacked(const HeapState& heap, const PackedGraph& graph, const std::string& whose);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_PACKED_CHECK_H_
