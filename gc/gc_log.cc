#include "gc/gc_log.h"

#include <nlohmann/json.hpp>

#include "heap/heap_state.h"

namespace Atoll {
namespace {

nlohmann::ordered_json Begin(const char* event, const char* part_of, const RegionState& region,
                             uint64_t nanos) {
  return {{"event", event},
          {"part_of", part_of},
          {"time", platform::NowNanos()},
          {"heap", region.heap.options.name},
          {"region", region.options.name},
          {"nanos", nanos}};
}

void Emit(const HeapOptions& options, const nlohmann::ordered_json& line) {
  // Names are the embedder's: what is not UTF-8 in them is replaced.
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  options.gc_log(text.c_str(), options.gc_log_data);
}

}  // namespace

void LogMinor(const RegionState& region, const char* part_of, const MinorCollection::Plan& plan,
              const MinorCollection& minor, uint64_t nanos) {
  auto line = Begin("minor", part_of, region, nanos);
  line["workers"] = plan.workers;
  line["promote_all"] = plan.promote_all;
  line["in_place"] = plan.in_place;
  line["young_bytes"] = minor.young_bytes_before();
  line["survived_bytes"] = minor.counters().survivor_bytes;
  line["promoted_bytes"] = minor.counters().old_bytes;
  line["objects"] = minor.counters().objects;
  line["births_old"] = region.births_old;
  line["born_old_bytes"] = region.born_old_bytes;
  line["nursery_bytes"] = region.nursery_blocks * kBlockSize;
  line["old_bytes"] = region.OldBytes();
  line["block_bytes"] = region.BytesUsed();
  Emit(region.heap.options, line);
}

void LogMajor(const RegionState& region, const char* part_of, const MajorCollection& major,
              uint64_t nanos) {
  auto line = Begin("major", part_of, region, nanos);
  line["workers"] = major.workers();
  line["live_bytes"] = major.counters().old_bytes;
  line["objects"] = major.counters().objects;
  line["candidate_blocks"] = major.candidate_blocks();
  line["evacuated_adopted_bytes"] = major.evacuated_adopted_bytes();
  line["freed_blocks"] = major.freed_blocks();
  line["old_limit_bytes"] = region.OldLimit();
  line["block_bytes"] = region.BytesUsed();
  Emit(region.heap.options, line);
}

void LogGroup(const HeapState& heap, size_t regions, const SharedCounters& shared, uint64_t nanos) {
  Emit(heap.options, {{"event", "group"},
                      {"part_of", "group"},
                      {"time", platform::NowNanos()},
                      {"heap", heap.options.name},
                      {"nanos", nanos},
                      {"regions", regions},
                      {"shared_nanos", shared.nanos},
                      {"shared_live_bytes", shared.live_bytes},
                      {"shared_objects", shared.objects},
                      {"shared_freed_blocks", shared.freed_blocks},
                      {"shared_bytes", heap.shared.block_count() * kBlockSize},
                      {"used_bytes", heap.pool.used_bytes()}});
}

}  // namespace Atoll
