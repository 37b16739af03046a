#ifndef ATOLL_ISOLATE_COPY_PATH_H_
#define ATOLL_ISOLATE_COPY_PATH_H_

#include <span>
#include <string>

#include "atoll/heap.h"
#include "isolate/copied_objects.h"

namespace Atoll {

/// How many objects a walk over a graph that is not being copied looks at from one poll to the
/// next.
inline constexpr size_t kObjectsPerPoll = 1000;

/// A shortest path from the roots of a copy that was refused to the object that was the reason,
/// through objects that had been copied: `root -> "Table" element 2 -> "Socket"`. Of several roots
/// the number is named, from 0; of a long path its two ends. If another mutator has cut all paths
/// since: `none left`. Polls; nothing may move meanwhile.
std::string PathOfCopy(Mutator& source, std::span<const Ref> roots, uintptr_t goal,
                       const CopiedObjects& copied);

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_COPY_PATH_H_
