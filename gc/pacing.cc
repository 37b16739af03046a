#include "gc/pacing.h"

#include <algorithm>
#include <cmath>

#include "heap/heap_state.h"

namespace Atoll::pacing {
namespace {

// The extra memory lies between these shares of the live size: below, collections come too thick;
// above, they are few, and memory buys little.
constexpr double kLeastExtraShare = 0.5;
constexpr double kMostExtraShare = 1.25;
// MemBalancer's trade-off of memory against collection time: larger gives more memory.
constexpr double kBalance = 3500.0;

// The nursery grows above this survival, and shrinks below that.
constexpr double kGrowAbove = 0.10;
constexpr double kShrinkBelow = 0.03;
// With the nursery at its largest, this survival so many times shows that its size does not matter.
constexpr double kMassSurvival = 0.85;
constexpr int kMassSurvivalsInVain = 3;
constexpr size_t kVainNurseryBytes = size_t{1} << 20;
// Above this predicted survival ageing is a waste: what survives once mostly survives twice.
constexpr double kPromoteAllAbove = 0.35;
// Above this one copying is: the blocks are promoted as they are.
constexpr double kInPlaceAbove = 0.50;
// Predicted survivors that make it worth to wake another thread, which takes about 40 us.
constexpr size_t kParallelMinorBytes = size_t{1} << 19;
// What tracing a byte of survivors takes before there is a measurement.
constexpr double kNanosPerByte = 0.3;

// Mutators of the region that run managed code between collections.
size_t RunningMutators(const RegionState& region) {
  size_t running = 0;
  for (const Mutator* mutator : region.mutators) {
    running += mutator->state() == MutatorState::kNative ? 0 : 1;
  }
  return std::max<size_t>(running, 1);
}

double Smooth(double old_value, double new_value) {
  return old_value == 0 ? new_value : 0.5 * old_value + 0.5 * new_value;
}

}  // namespace

int FreeWorkers(const RegionState& region) {
  HeapState& heap = region.heap;
  if (heap.options.stress.parallel) return heap.options.workers;
  // Looking at each costs; with that many, some are running.
  if (heap.safepoints.mutator_count() > 4 * static_cast<size_t>(heap.options.workers)) return 1;
  int others = 0;
  {
    platform::MutexLock lock(heap.regions_mutex);
    for (const RegionState* other : heap.regions) {
      if (other == &region) continue;
      for (const Mutator* mutator : other->mutators) {
        others += mutator->state() == MutatorState::kManaged ? 1 : 0;
      }
    }
  }
  return std::max(1, heap.options.workers - others);
}

bool MajorIsDue(const RegionState& region) {
  return region.OldBytes() + region.young_large_bytes > region.OldLimit();
}

MinorCollection::Plan PlanMinor(const RegionState& region, int group_workers) {
  MinorCollection::Plan plan;
  plan.promote_all = region.predicted_survival > kPromoteAllAbove;
  // In place costs no copying, but leaves holes unused and takes fresh memory for the nursery.
  const bool holes = region.own->recyclable.block_count() > region.eden_blocks / 4;
  plan.in_place = region.predicted_survival > kInPlaceAbove && !holes;
  plan.promote_all |= plan.in_place;
  const double survivors =
      region.predicted_survival *
      static_cast<double>(region.eden_blocks * kBlockSize + region.survivor_bytes);
  const bool parallel =
      survivors >= static_cast<double>(kParallelMinorBytes) || region.heap.options.stress.parallel;
  plan.workers = !parallel ? 1 : group_workers != 0 ? group_workers : FreeWorkers(region);
  return plan;
}

void AfterMinor(RegionState& region, const MinorCollection& minor, uint64_t nanos) {
  if (region.births_old) {
    // Nothing was young. A small nursery shows whether all still survives.
    if (!region.heap.options.stress.born_old && region.born_old_bytes >= region.kMostBornOld) {
      region.SetBirthsOld(false);
    }
    return;
  }
  const TraceCounters& counters = minor.counters();
  const size_t survived = counters.survivor_bytes + counters.old_bytes;
  const double survival = static_cast<double>(survived) /
                          static_cast<double>(std::max<size_t>(minor.young_bytes_before(), 1));
  region.predicted_survival = Smooth(region.predicted_survival, std::min(survival, 1.0));

  if (survived >= kBlockSize) {
    region.minor_nanos_per_byte = Smooth(
        region.minor_nanos_per_byte, static_cast<double>(nanos) / static_cast<double>(survived));
  }
  const HeapOptions& options = region.heap.options;
  // Each mutator has structures of its own under construction, which survive: so each has a nursery
  // of its own, as it were.
  const size_t mutators = RunningMutators(region);
  const size_t least = mutators *
                       (mutators == 1 ? options.nursery_bytes : options.shared_nursery_bytes) /
                       kBlockSize;
  size_t most = mutators * options.max_nursery_bytes / kBlockSize;
  size_t blocks = region.nursery_blocks;
  const double predicted = region.predicted_survival;
  // Of a nursery that was hardly begun when somebody asked for a collection, most survives always.
  const bool was_full = minor.young_bytes_before() >= blocks * kBlockSize / 2;
  const bool mass = was_full && survival > kMassSurvival;
  region.mass_survivals = mass && blocks >= most / 2    ? region.mass_survivals + 1
                          : survival < kPromoteAllAbove ? 0
                                                        : region.mass_survivals;
  if (region.mass_survivals >= kMassSurvivalsInVain) {
    // No size of nursery helps: what is made here lives. The next major tries again. What comes
    // next is born old, and after a while in a small nursery, to see whether it still lives.
    blocks = std::max(least, kVainNurseryBytes / kBlockSize);
    if (mass && region.own->young.empty()) region.SetBirthsOld(true);
  } else if (predicted > kGrowAbove) {
    blocks *= 4;
    const double per_byte =
        region.minor_nanos_per_byte == 0 ? kNanosPerByte : region.minor_nanos_per_byte;
    const double pause_bytes =
        static_cast<double>(options.pause_target_nanos) / (per_byte * predicted);
    most = std::min(most, static_cast<size_t>(pause_bytes) / kBlockSize);
  } else if (predicted < kShrinkBelow) {
    blocks /= predicted < kShrinkBelow / 4 ? 4 : 2;
  }
  region.nursery_blocks = std::clamp(blocks, least, std::max(least, most));
}

void AfterMajor(RegionState& region, uint64_t mark_nanos, uint64_t now) {
  const auto live = static_cast<double>(region.OldBytes());
  const double mark_rate = live / static_cast<double>(std::max<uint64_t>(mark_nanos, 1));
  region.smoothed_mark_rate = Smooth(region.smoothed_mark_rate, mark_rate);
  double extra = kLeastExtraShare * live;
  if (region.last_major_end_nanos != 0) {
    const double elapsed =
        static_cast<double>(std::max<uint64_t>(now - region.last_major_end_nanos, 1));
    const double promoted = static_cast<double>(
        region.stats.promoted_bytes + region.stats.born_old_bytes - region.promoted_at_last_major);
    region.smoothed_allocation_rate = Smooth(region.smoothed_allocation_rate, promoted / elapsed);
    extra = std::sqrt(live * kBalance * 1e6 * region.smoothed_allocation_rate /
                      std::max(region.smoothed_mark_rate, 1e-9));
  }
  extra = std::clamp(extra, kLeastExtraShare * live, kMostExtraShare * live);
  region.old_limit_bytes =
      static_cast<size_t>(live + std::max(extra, static_cast<double>(region.LeastExtraBytes())));
  region.last_major_end_nanos = now;
  if (region.mass_survivals != 0 && region.stats.majors % 8 == 0) region.mass_survivals = 0;
  region.promoted_at_last_major = region.stats.promoted_bytes + region.stats.born_old_bytes;
}

}  // namespace Atoll::pacing
