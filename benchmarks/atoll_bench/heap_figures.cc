#include "benchmarks/atoll_bench/heap_figures.h"

#include <string>

namespace bench {
namespace {

void PrintPauses(const std::string& kind, const Atoll::PauseStats& pauses, const Report& report) {
  report.Figure("gc." + kind + "_count", static_cast<double>(pauses.count), "count");
  if (pauses.count == 0) return;
  report.Figure(kind + "_pause_p50", static_cast<double>(pauses.p50_nanos) / 1e3, "us");
  report.Figure(kind + "_pause_p99", static_cast<double>(pauses.p99_nanos) / 1e3, "us");
  report.Figure(kind + "_pause_max", static_cast<double>(pauses.max_nanos) / 1e3, "us");
}

}  // namespace

void PrintHeapFigures(const Atoll::Heap& heap, double seconds, const Report& report) {
  const Atoll::HeapStats stats = heap.stats();
  PrintPauses("minor", stats.minor, report);
  PrintPauses("major", stats.major, report);
  if (stats.group.count != 0) PrintPauses("group", stats.group, report);
  const uint64_t nanos =
      stats.minor.total_nanos + stats.major.total_nanos + stats.group.total_nanos;
  report.Figure("gc_time", Seconds(nanos), "s");
  report.Figure("gc_share", 100 * Seconds(nanos) / seconds, "%");
  report.Figure("promoted", static_cast<double>(stats.promoted_bytes) / 1048576, "MiB");
}

}  // namespace bench
