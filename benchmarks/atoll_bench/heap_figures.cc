#include "benchmarks/atoll_bench/heap_figures.h"

#include <string>

#include "heap/heap_state.h"

namespace bench {
namespace {

void PrintPauses(const std::string& prefix, uint64_t p50, uint64_t p99, uint64_t max,
                 const Report& report) {
  report.Figure(prefix + "pause_p50", static_cast<double>(p50) / 1e3, "us");
  report.Figure(prefix + "pause_p99", static_cast<double>(p99) / 1e3, "us");
  report.Figure(prefix + "pause_max", static_cast<double>(max) / 1e3, "us");
}

void PrintKind(const std::string& kind, const Atoll::PauseStats& pauses, const Report& report) {
  report.Figure("gc." + kind + "_count", static_cast<double>(pauses.count), "count");
  if (pauses.count == 0) return;
  PrintPauses(kind + "_", pauses.p50_nanos, pauses.p99_nanos, pauses.max_nanos, report);
}

}  // namespace

void PrintHeapFigures(const Atoll::Heap& heap, double seconds, const Report& report) {
  const Atoll::HeapStats stats = heap.stats();
  Atoll::Histogram all;
  {
    Atoll::HeapState& state = heap.state();
    const Atoll::platform::MutexLock lock(state.stats_mutex);
    all.Merge(state.minor_pauses);
    all.Merge(state.major_pauses);
    all.Merge(state.group_pauses);
  }
  PrintPauses("", all.Quantile(0.5), all.Quantile(0.99), all.Max(), report);
  PrintKind("minor", stats.minor, report);
  PrintKind("major", stats.major, report);
  if (stats.group.count != 0) PrintKind("group", stats.group, report);
  report.Figure("gc_time", Seconds(all.Sum()), "s");
  report.Figure("gc_share", 100 * Seconds(all.Sum()) / seconds, "%");
  report.Figure("promoted", static_cast<double>(stats.promoted_bytes) / 1048576, "MiB");
}

}  // namespace bench
