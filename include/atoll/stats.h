// Layer: heap
#ifndef ATOLL_STATS_H_
#define ATOLL_STATS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "atoll/histogram.h"
#include "atoll/safepoint.h"

namespace Atoll {

/// Quantiles of the pauses of one kind of collection, in nanoseconds.
struct PauseStats {
  uint64_t count = 0;
  uint64_t total_nanos = 0;
  uint64_t p50_nanos = 0;
  uint64_t p99_nanos = 0;
  uint64_t max_nanos = 0;
};

/// A region, as counted at its last collection; bytes.
struct RegionStats {
  uint64_t minors = 0;
  uint64_t majors = 0;  ///< with the region's share in group collections
  uint64_t adoptions = 0;
  uint64_t promoted_bytes = 0;  ///< by minors, since the region began
  uint64_t born_old_bytes = 0;  ///< allocated straight into Old, since the region began
  uint64_t survived_bytes = 0;  ///< copied within the young generation, since the region began
  uint64_t live_bytes = 0;      ///< found by the last major collection
  uint64_t block_bytes = 0;     ///< blocks the region owns now
  uint64_t external_bytes = 0;
  uint64_t nursery_bytes = 0;     ///< the size the next minor collection is at
  uint64_t old_limit_bytes = 0;   ///< the size of Old and Large the next major collection is at
  uint64_t collection_nanos = 0;  ///< in collections, since the region began
};

/// A heap: sums over its regions, living and gone.
struct HeapStats {
  uint64_t mapped_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t region_bytes = 0;
  uint64_t program_bytes = 0;
  uint64_t shared_bytes = 0;  ///< blocks of the Shared space
  uint64_t external_bytes = 0;
  uint64_t regions = 0;
  PauseStats minor;
  PauseStats major;
  PauseStats group;
  uint64_t promoted_bytes = 0;
  uint64_t adoptions = 0;
  TimeToSafepointStats safepoints;
};

}  // namespace Atoll

#endif  // ATOLL_STATS_H_
