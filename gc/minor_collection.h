#ifndef ATOLL_GC_MINOR_COLLECTION_H_
#define ATOLL_GC_MINOR_COLLECTION_H_

#include <memory>
#include <vector>

#include "gc/cycle.h"

namespace Atoll {

/// A minor collection of one region, its mutators stopped: young survivors are copied once within
/// the young generation, then promoted; or all are promoted at once, by copying or in place.
///
///   from-space  --age 0-->  survivor blocks (young, age 1)  --next minor-->  Old
///               --promote_all-->  Old, into holes first
///               --in_place, pinned, or no memory-->  the block itself becomes Old
///
/// The phases are called in this order, once each.
class MinorCollection {
 public:
  struct Plan {
    bool promote_all = false;
    bool in_place = false;  ///< implies promote_all: blocks are re-tagged, nothing is copied
    int workers = 1;
  };

  MinorCollection(RegionState& region, const Plan& plan) : region_(region), plan_(plan) {}

  void Prepare();
  void Trace() { cycle_->Trace(); }
  void ProcessWeak(std::vector<Finalizer>& due) { cycle_->ProcessWeak(due); }
  void Reclaim();

  const TraceCounters& counters() const { return counters_; }
  size_t young_bytes_before() const { return young_bytes_before_; }

 private:
  void PromoteInPlace(BlockIndex block);
  void Recycle(BlockIndex block);

  RegionState& region_;
  const Plan plan_;
  std::unique_ptr<Cycle> cycle_;
  TraceCounters counters_;
  size_t young_bytes_before_ = 0;
  size_t blocks_over_limit_ = 0;  // given back by Reclaim
};

/// Clears the kept flags of a block whose objects could not all be moved.
void ClearKeptFlags(RegionState& region, BlockIndex block);

}  // namespace Atoll

#endif  // ATOLL_GC_MINOR_COLLECTION_H_
