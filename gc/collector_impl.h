#ifndef ATOLL_GC_COLLECTOR_IMPL_H_
#define ATOLL_GC_COLLECTOR_IMPL_H_

#include <vector>

#include "atoll/function_ref.h"
#include "gc/shared_collection.h"
#include "heap/collector.h"
#include "heap/heap_state.h"
#include "heap/part.h"

namespace Atoll {

/// The collectors of one heap: decides what is collected when, stops whom it must, and does the
/// phases in order. What a phase does is in minor_collection.h and major_collection.h.
class CollectorImpl final : public Collector {
 public:
  explicit CollectorImpl(HeapState& heap) : heap_(heap) {}

  void CollectForAllocation(Mutator& mutator, Urgency urgency) override;
  Status Collect(Mutator& mutator, Mutator::Collection kind) override;
  Status CollectAll() override;
  Status Verify() override;
  Status Become(const StoppedScope& stopped, std::span<const Ref> before,
                std::span<const Ref> after) override;

 private:
  enum class Kind : uint8_t { kMinor, kMajor, kGroup };
  static const char* ToString(Kind kind);

  /// Runs fn with the region's collection_mutex held and its other mutators stopped; then runs
  /// what finalizers became due. `wanted` is asked before the others are stopped, and when they
  /// are: waiting for either, somebody else's collection may have done what is needed.
  void WithRegionStopped(Mutator& mutator, FunctionRef<bool()> wanted,
                         FunctionRef<void(RegionState&, std::vector<Finalizer>&)> fn);
  /// One collection of one stopped region, with statistics, log and the verifier's knob.
  /// `group_workers`: how many a group collection gives this region, which holds the regions_mutex
  /// that choosing free ones takes; 0 in a private collection, which chooses.
  void CollectStopped(RegionState& region, Kind kind, int group_workers,
                      std::vector<Finalizer>& due, bool compact = false);
  void RunMinor(RegionState& region, Kind kind, int group_workers, std::vector<Finalizer>& due);
  /// What a group collection does once the regions are collected; regions_mutex is held.
  SharedCounters CollectShared(const StoppedScope& stopped);
  /// Under the knob `verify`; what they find is fatal. CheckRegion: the stopped region against
  /// what VerifyRegion checks. CheckStops: that it is stopped, all but the mutator `own`.
  void CheckRegion(RegionState& region, const char* when);
  void CheckStops(const RegionState& region, const MutatorThread* own);
  static void CheckCollected(const RegionState& region, const char* when, const Status& verified);
  /// All that a collection can be checked against while everybody is stopped; regions_mutex is
  /// held.
  Status VerifyAll(const StoppedScope& stopped);
  void Dispatch(const std::vector<Finalizer>& due, RegionState& region);

  HeapState& heap_;
};

}  // namespace Atoll

#endif  // ATOLL_GC_COLLECTOR_IMPL_H_
