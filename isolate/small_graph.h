// Whether what a root reaches is little: asked before it is copied instead of handed over.
#ifndef ATOLL_ISOLATE_SMALL_GRAPH_H_
#define ATOLL_ISOLATE_SMALL_GRAPH_H_

#include <cstddef>

#include "atoll/mutator.h"

namespace Atoll {

inline constexpr size_t kSmallGraphObjects = 32;

/// Whether `root` reaches at most kSmallGraphObjects private objects, by any slots, and those take
/// at most `max_bytes`. Managed state. Looks at no more objects than that, at later slots first:
/// what they refer to is newer, most often, and lies in the cache when the rest of a large graph
/// does not.
bool IsSmallGraph(Mutator& source, Ref root, size_t max_bytes);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_SMALL_GRAPH_H_
