#ifndef ATOLL_HEAP_COLLECTOR_H_
#define ATOLL_HEAP_COLLECTOR_H_

#include <cstddef>
#include <span>

#include "atoll/mutator.h"
#include "atoll/status.h"

namespace Atoll {

struct RegionState;

/// What allocation needs of the collectors; implemented by the gc layer.
class Collector {
 public:
  virtual ~Collector() = default;

  /// How hard an allocation has tried already.
  enum class Urgency : uint8_t {
    kNurseryFull,  ///< collect as pacing says
    kMemoryShort,  ///< memory was refused: a major collection at least
  };
  /// Collects the mutator's region, its other mutators stopped. May find that another mutator has
  /// just done so, or that a NoCollectScope forbids it: the caller looks again at what is free.
  virtual void CollectForAllocation(Mutator& mutator, Urgency urgency) = 0;
  virtual Status Collect(Mutator& mutator, Mutator::Collection kind) = 0;
  /// All regions, with all mutators stopped.
  virtual Status CollectAll() = 0;
  virtual Status Verify() = 0;
  /// See include/atoll/become.h; the stop is one of this heap, for it.
  virtual Status Become(const StoppedScope& stopped, std::span<const Ref> before,
                        std::span<const Ref> after) = 0;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_COLLECTOR_H_
