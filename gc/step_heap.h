#ifndef ATOLL_GC_STEP_HEAP_H_
#define ATOLL_GC_STEP_HEAP_H_

#include <memory>
#include <string>
#include <vector>

#include "atoll/heap.h"
#include "gc/major_collection.h"
#include "gc/minor_collection.h"

namespace Atoll::testing {

/// Drives one collection of a region phase by phase, so that a test can look between them. The
/// region's mutators are native, or the region has none, for as long as a StepHeap stands; nothing
/// else collects it. The phases are those that CollectorImpl runs, in the same order:
///
///   minor:  kPrepare, kTrace, kWeak, kReclaim
///   major:  the four of a minor that promotes everything, then kPrepareMajor, kTraceMajor,
///           kWeakMajor, kSweep, kEvacuateAdopted
class StepHeap {
 public:
  enum class Phase : uint8_t {
    kPrepare,
    kTrace,
    kWeak,
    kReclaim,
    kPrepareMajor,
    kTraceMajor,
    kWeakMajor,
    kSweep,
    kEvacuateAdopted,
    kDone,
  };

  /// A minor collection by `plan`, or a major one (which ignores all but plan.workers).
  StepHeap(Region& region, bool major, const MinorCollection::Plan& plan);
  /// Finishes the collection, and runs the finalizers that became due.
  ~StepHeap();
  StepHeap(const StepHeap&) = delete;
  StepHeap& operator=(const StepHeap&) = delete;

  /// The phase that Step will run.
  Phase next() const { return next_; }
  /// Runs one phase; false when there was none left.
  bool Step();
  /// Runs phases until `phase` is next.
  void StepTo(Phase phase);

  const MinorCollection& minor() const { return *minor_; }
  const MajorCollection& major() const { return *major_; }
  const std::vector<Finalizer>& due_finalizers() const { return due_; }

 private:
  RegionState& region_;
  const bool is_major_;
  std::unique_ptr<MinorCollection> minor_;
  std::unique_ptr<MajorCollection> major_;
  std::vector<Finalizer> due_;
  Phase next_ = Phase::kPrepare;
};

}  // namespace Atoll::testing

#endif  // ATOLL_GC_STEP_HEAP_H_
