#ifndef ATOLL_GC_CYCLE_H_
#define ATOLL_GC_CYCLE_H_

#include <memory>
#include <vector>

#include "gc/tracer.h"
#include "heap/part.h"
#include "heap/region_state.h"

namespace Atoll {

/// What a tracing is for.
enum class CycleKind : uint8_t {
  kMinor,
  kMajor,
  /// Right after a major, whose marks say what is live: moves that out of the blocks tagged `move`
  /// and `trace`, as a minor promotes; all else stays, and its slots follow. Their marks and covers
  /// are zero when it begins. By one thread.
  kEvacuation,
};

/// One tracing of one region: what reaches what, by a team of tracers. What does not depend on the
/// encoding (preparing, reclaiming) is outside, in gc/minor_collection.h and major_collection.h.
class Cycle {
 public:
  virtual ~Cycle() = default;

  /// From roots and (minor) remembered sets to everything reachable.
  virtual void Trace() = 0;
  /// Weak references, ephemerons and finalizers, in the order that gc/weak_processing.h gives.
  /// Finalizers to be run are appended to `due`.
  virtual void ProcessWeak(std::vector<Finalizer>& due) = 0;
  /// Hands what the tracers have to the region: remembered sets, allocators' blocks. Returns the
  /// sums. Survivor blocks are appended to `survivors`.
  virtual TraceCounters Finish(BlockList& survivors) = 0;

  /// Instantiated for the region's encoding, and for one thread or several.
  static std::unique_ptr<Cycle> Create(RegionState& region, CycleKind kind, int workers);
};

/// The instantiations for one encoding; each lies in a file of its own, so that they compile side
/// by side.
template <typename E>
std::unique_ptr<Cycle> CreateCycle(RegionState& region, CycleKind kind, int workers,
                                   bool scan_all_old);

}  // namespace Atoll

#endif  // ATOLL_GC_CYCLE_H_
