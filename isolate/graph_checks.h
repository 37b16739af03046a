// Does a graph hold something that must stay where it is? Asked before it is handed over or
// published.
#ifndef ATOLL_ISOLATE_GRAPH_CHECKS_H_
#define ATOLL_ISOLATE_GRAPH_CHECKS_H_

#include "atoll/heap.h"

namespace Atoll {

/// Each walks all that `root` refers to, weak references included, and nothing of what is shared;
/// the error (kInvalidArgument) names type, reason and path from the root. Another error: no memory
/// for the walk. Managed state of `source`; polls, and nothing moves meanwhile. O(objects reached);
/// depth-first, with a bit per object.

/// Error: an instance of a type declared unsendable. The region has no other mutator.
Status CheckSendable(Mutator& source, Ref root);

/// Error: an object that is not deeply immutable, or one with an identity that cannot become shared
/// where it is.
Status CheckPublishable(Mutator& source, Ref root);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_GRAPH_CHECKS_H_
