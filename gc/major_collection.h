#ifndef ATOLL_GC_MAJOR_COLLECTION_H_
#define ATOLL_GC_MAJOR_COLLECTION_H_

#include <memory>
#include <vector>

#include "gc/cycle.h"

namespace Atoll {

/// A major collection of one region, its mutators stopped and its nursery just emptied by a minor
/// collection that promoted everything: so there is no young object, and no remembered one.
///
/// Marks from the roots, evacuating on the way the blocks chosen beforehand; then sweeps, which
/// reads side tables alone. Adopted parts become part of the region's own; what their blocks hold
/// is known when they have been swept, and if it is little, they are emptied then. The phases are
/// called in this order, once each.
class MajorCollection {
 public:
  struct Plan {
    /// Evacuate every block that may be, not just the sparse ones.
    bool compact = false;
    int workers = 1;
  };

  MajorCollection(RegionState& region, const Plan& plan) : region_(region), plan_(plan) {}

  void Prepare();
  void Trace() { cycle_->Trace(); }
  void ProcessWeak(std::vector<Finalizer>& due) { cycle_->ProcessWeak(due); }
  void Sweep();
  /// Does nothing where no part was merged. Moves into holes, and looks through all that is live.
  void EvacuateAdopted(std::vector<Finalizer>& due);

  const TraceCounters& counters() const { return counters_; }
  int workers() const { return plan_.workers; }
  size_t candidate_blocks() const { return candidate_blocks_; }
  /// Moved by EvacuateAdopted; counted in counters(), too, once.
  size_t evacuated_adopted_bytes() const { return evacuated_adopted_bytes_; }
  size_t freed_blocks() const { return freed_blocks_; }

 private:
  void MergeAdoptedParts();
  void ForgetRemembered(RememberedSet& set);
  /// What the limits leave for copies.
  size_t RoomInLines() const;
  void ChooseCandidate(BlockIndex block);
  void ChooseCandidates();
  void SweepBlock(BlockIndex block);
  void WeighAdopted(BlockInfo& info);
  size_t ChooseAdopted();

  RegionState& region_;
  const Plan plan_;
  std::unique_ptr<Cycle> cycle_;
  TraceCounters counters_;
  size_t candidate_blocks_ = 0;
  size_t freed_blocks_ = 0;
  // Of adopted parts, swept, to be emptied if that is worthwhile: flagged kAdopted.
  size_t sparse_adopted_blocks_ = 0;
  size_t sparse_adopted_lines_ = 0;  // in use
  size_t evacuated_adopted_bytes_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_GC_MAJOR_COLLECTION_H_
