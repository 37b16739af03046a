#ifndef ATOLL_GC_GC_LOG_H_
#define ATOLL_GC_GC_LOG_H_

#include <cstdint>

#include "gc/major_collection.h"
#include "gc/minor_collection.h"
#include "gc/shared_collection.h"

namespace Atoll {

/// One JSON object per collection, to HeapOptions::gc_log; a major one is preceded by its minor, a
/// group collection by those of its regions. Keys: event ("minor", "major", "group"), part_of
/// (which of these it was done for), heap, region, nanos, and bytes as named. Called only when a
/// log is asked for.
void LogMinor(const RegionState& region, const char* part_of, const MinorCollection::Plan& plan,
              const MinorCollection& minor, uint64_t nanos);
void LogMajor(const RegionState& region, const char* part_of, const MajorCollection& major,
              uint64_t nanos);
void LogGroup(const HeapState& heap, size_t regions, const SharedCounters& shared, uint64_t nanos);

}  // namespace Atoll

#endif  // ATOLL_GC_GC_LOG_H_
