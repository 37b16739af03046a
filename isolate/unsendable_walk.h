// Does a graph that is to be handed over whole hold something that must stay?
#ifndef ATOLL_ISOLATE_UNSENDABLE_WALK_H_
#define ATOLL_ISOLATE_UNSENDABLE_WALK_H_

#include "atoll/heap.h"

namespace Atoll {

/// Walks all that `root` refers to, weak references included, and nothing of what is shared. Error:
/// an instance of a type declared unsendable (kInvalidArgument; type and path from the root); no
/// memory for the walk. Managed state of `source`, whose region has no other mutator; polls, and
/// nothing moves meanwhile. O(objects reached); source: depth-first search with a bit per object.
Status CheckSendable(Mutator& source, Ref root);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_UNSENDABLE_WALK_H_
