#ifndef ATOLL_HEAP_TESTING_H_
#define ATOLL_HEAP_TESTING_H_

#include "atoll/mutator.h"

namespace Atoll::testing {

/// Makes a large leaf object of the mutator's region shared, as publishing does: its blocks go to
/// the group, its head block's tag says shared. Managed state. Error: not a large leaf object of
/// this region's own part.
Status MakeLargeShared(Mutator& mutator, ObjectPtr object);

}  // namespace Atoll::testing

#endif  // ATOLL_HEAP_TESTING_H_
