#ifndef ATOLL_GC_VERIFIER_H_
#define ATOLL_GC_VERIFIER_H_

#include <string>
#include <utility>

#include "atoll/status.h"
#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {

/// What a check of invariants has found.
inline Status Violated(std::string message) {
  return {StatusCode::kInvariantViolated, std::move(message)};
}

/// Checks a stopped region against the invariants:
///   I1  its objects and roots refer to its own objects, or to shared ones, at their starts
///   I3  each reference from old to young is remembered; each remembered flag has its entry
///   I4  each of its blocks is in one list, tagged for it, and they add up
///   I6  each of its blocks parses into objects of registered types
/// The error names the first violation, object and slot, and the path to it from a root.
/// O(objects), and allocates ordinary memory.
/// `regions_are_held`: all mutators are stopped and the heap's regions_mutex is held, so that an
/// error can name other regions.
Status VerifyRegion(RegionState& region, bool regions_are_held = false);

/// I5: all mutators of the region but `own`, the one that runs on this thread, are held by a stop
/// whose function this thread runs. (Null where none of the heap's mutators runs here.)
/// O(mutators); a lock each.
Status VerifyStops(const RegionState& region, const MutatorThread* own);

/// With all mutators stopped: I4 over the whole heap (every block free, a region's, Shared's or
/// Program's).
Status VerifyBlocks(HeapState& heap);

/// With all mutators stopped, the heap's regions_mutex held and its regions verified:
///  - I2: objects of Shared and Program, and GroupRoots, refer to starts of such objects alone;
///  - what GroupRoots::Verify checks;
///  - I4: each block of the Shared space is in one list, tagged for it, and they add up;
///  - I6: its mark bits are starts of objects of registered types that do not overlap, and the
///    lines that these reach into are covered.
Status VerifyShared(HeapState& heap, const StoppedScope& stopped);

}  // namespace Atoll

#endif  // ATOLL_GC_VERIFIER_H_
