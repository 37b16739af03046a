#ifndef ATOLL_GC_PACING_H_
#define ATOLL_GC_PACING_H_

#include <cstdint>

#include "gc/minor_collection.h"
#include "heap/region_state.h"

namespace Atoll {

/// When is a region collected, and how? Called with the region stopped.
namespace pacing {

/// Threads that a collection of this region may use: those of the heap's options, less the mutators
/// of other regions that run managed code, so that collecting one does not take the others' cores.
int FreeWorkers(const RegionState& region);

/// True if the next collection of the region should be a major one.
bool MajorIsDue(const RegionState& region);

/// How to do the next minor collection, from predicted survival, holes and memory at hand.
/// `group_workers`: the threads that a group collection gives the region; 0 in a private one.
MinorCollection::Plan PlanMinor(const RegionState& region, int group_workers);

/// After a minor collection: predicts survival and sizes the nursery. It grows only when much
/// survives, since then fewer, larger collections copy less; and stays small enough for the
/// predicted survivors to fit the pause target.
void AfterMinor(RegionState& region, const MinorCollection& minor, uint64_t nanos);

/// After a major collection: sets the size of Old at which the next is due, by MemBalancer's
/// square-root rule (Kirisame, Shenoy and Panchekha, OOPSLA 2022): the extra memory of a region
/// grows with the square root of its live size times its allocation rate over its marking speed.
void AfterMajor(RegionState& region, uint64_t mark_nanos, uint64_t now);

}  // namespace pacing
}  // namespace Atoll

#endif  // ATOLL_GC_PACING_H_
