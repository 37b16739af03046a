// The workloads on Boehm's collector.

#include "benchmarks/workloads/boehm_heap.h"
// First, since it changes how threads start.
#include <sys/resource.h>

#include "benchmarks/workloads/selection.h"

namespace {

// How long the world is stopped. Written by whichever thread collects, under the collector's lock.
uint64_t stopped_at = 0;
bench::LatencyHistogram& Pauses() {
  static bench::LatencyHistogram pauses;
  return pauses;
}

void OnCollectionEvent(GC_EventType event) {
  if (event == GC_EVENT_PRE_STOP_WORLD) stopped_at = bench::NowNanos();
  if (event == GC_EVENT_POST_START_WORLD) Pauses().Add(bench::NowNanos() - stopped_at);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Selection selection = bench::Selection::FromCommandLine(
      argc, argv,
      "The workloads of atoll-bench on Boehm's collector, built from the same sources.");

  GC_INIT();
  GC_allow_register_threads();
  GC_start_mark_threads();
  Pauses();
  GC_set_on_collection_event(OnCollectionEvent);

  bench::BoehmHeap::World world;
  const bench::Report report{"boehm", selection.workload};
  if (!selection.Run<bench::BoehmHeap>(world, report)) {
    std::fprintf(stderr, "peer-boehm: unknown workload %s\n", selection.workload.c_str());
    return 2;
  }
  report.Figure("gc.count", static_cast<double>(Pauses().count()), "count");
  report.Figure("pause_p50", static_cast<double>(Pauses().Quantile(0.5)) / 1e3, "us");
  report.Figure("pause_p99", static_cast<double>(Pauses().Quantile(0.99)) / 1e3, "us");
  report.Figure("pause_max", static_cast<double>(Pauses().max()) / 1e3, "us");
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  report.Figure("peak_rss", static_cast<double>(usage.ru_maxrss) / 1024, "MiB");
  return 0;
}
