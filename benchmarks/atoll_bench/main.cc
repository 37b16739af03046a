// atoll-bench WORKLOAD: one line `atoll WORKLOAD METRIC VALUE UNIT` per figure.

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/atoll_bench/heap_figures.h"
#include "benchmarks/atoll_bench/isolates.h"
#include "benchmarks/atoll_bench/lru_bystander.h"
#include "benchmarks/atoll_bench/repetitions.h"
#include "benchmarks/atoll_bench/safepoint_latency.h"
#include "benchmarks/workloads/atoll_heap.h"
#include "benchmarks/workloads/selection.h"

namespace {

constexpr const char* kWorkloads[] = {"alloc-1",
                                      "alloc-2",
                                      "binary_trees-1",
                                      "binary_trees-2",
                                      "binary_trees-2m",
                                      "gcbench-1",
                                      "gcbench-2",
                                      "gcbench-2m",
                                      "lru_latency",
                                      "lru_latency-by",
                                      "safepoint",
                                      "ping_pong",
                                      "ring",
                                      "send_throughput-1",
                                      "send_throughput-8",
                                      "spawn",
                                      "spawn_program",
                                      "idle",
                                      "skynet",
                                      "churn-1",
                                      "churn-2",
                                      "churn-4",
                                      "churn-8",
                                      "transfer_tree",
                                      "transfer_shared",
                                      "transfer_tree-exit",
                                      "transfer_tree-adopt",
                                      "bystander-17",
                                      "bystander-67",
                                      "bystander-268",
                                      "exit_matrix",
                                      "exit_matrix-scattered",
                                      "call_sites",
                                      "installation"};

bool IsKnown(const std::string& workload) {
  for (const char* known : kWorkloads) {
    if (workload == known) return true;
  }
  return false;
}

// One of those that AtollHeapOf is for, whatever the encoding.
bool IsOfHeap(const std::string& workload) {
  return workload.starts_with("alloc-") || workload.starts_with("binary_trees-") ||
         workload.starts_with("gcbench-") || workload == "lru_latency";
}

double MiB(double kib) { return kib / 1024; }

void RunHere(bench::Selection& selection, const bench::SafepointLatencyOptions& safepoint,
             const bench::IsolateOptions& isolates) {
  const bench::Report report{"atoll", selection.workload};
  if (bench::RunMessages(selection.workload, isolates, report) ||
      bench::RunLifecycle(selection.workload, isolates, report) ||
      bench::RunTransfers(selection.workload, isolates, report) ||
      bench::RunBystander(selection.workload, isolates, report) ||
      bench::RunExitMatrix(selection.workload, isolates, report) ||
      bench::RunSharedProgram(selection.workload, report)) {
    return;
  }
  const uint64_t began = bench::NowNanos();
  double bystander_seconds = 0;
  {
    bench::AtollWorld world;
    if (selection.workload == "safepoint") {
      bench::RunSafepointLatency(world, safepoint, report);
    } else if (selection.workload == "lru_latency-by") {
      bystander_seconds = bench::RunLruBystander(world, selection.lru, report);
    } else {
      bench::Selection same = selection;
      if (same.workload.ends_with('m')) same.workload.pop_back();
      if (world.is_compressed()) {
        same.Run<bench::AtollHeapOf<Atoll::CompressedPointers>>(world, report);
      } else {
        same.Run<bench::AtollHeap>(world, report);
      }
    }
    const double seconds = bench::Seconds(bench::NowNanos() - began);
    bench::PrintHeapFigures(world.heap(), seconds, report);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  report.Figure("peak_rss", MiB(static_cast<double>(usage.ru_maxrss)), "MiB");
  if (bystander_seconds != 0) {
    bench::RunBystanderControl(selection.lru, bystander_seconds, report);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures Atoll: one line `atoll WORKLOAD METRIC VALUE UNIT` per figure.");
  bench::Selection selection;
  bench::SafepointLatencyOptions safepoint;
  bench::IsolateOptions isolates;
  bench::AtollWorld::Options& world = bench::AtollWorld::Defaults();
  int repetitions = 1;
  size_t nursery_kib = 0;
  size_t max_nursery_kib = 0;
  size_t initial_mib = 0;
  bool no_huge_pages = false;
  std::string encoding = "compressed";
  app.add_option("workload", selection.workload, "A workload, or `list`")->required();
  app.add_option("--reps", repetitions,
                 "Repetitions, each in a fresh process; median and best are printed if more than 1")
      ->check(CLI::Range(1, 1000));
  selection.AddSizesTo(app);
  app.add_option("--stops", safepoint.stops, "safepoint: stops of each kind")
      ->capture_default_str();
  app.add_option("--rounds", isolates.rounds, "ping_pong: round trips")->capture_default_str();
  app.add_option("--hops", isolates.hops, "ring: messages passed on")->capture_default_str();
  app.add_option("--units", isolates.units, "ring: isolates")->capture_default_str();
  app.add_option("--messages", isolates.messages, "send_throughput: messages in all")
      ->capture_default_str();
  app.add_option("--spawns", isolates.spawns, "spawn: isolates")->capture_default_str();
  app.add_option("--idle", isolates.idle, "idle: isolates")->capture_default_str();
  app.add_option("--nodes", isolates.nodes, "transfer: sizes of the trees")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--transfers", isolates.transfers,
                 "transfer: trees of each size; 0: 100, or 10 of the largest");
  app.add_option("--isolate-workers", isolates.workers,
                 "Threads that run isolates at the same time; 0: one per processor");
  app.add_option("--isolate-nursery-kib", isolates.nursery_kib,
                 "churn: size that the nursery of an isolate may grow to; 0: Atoll's default");
  app.add_option("--workers", world.heap.workers, "Threads of one collection; 0: one per processor")
      ->capture_default_str();
  app.add_option("--nursery-kib", nursery_kib, "Size that a nursery starts at; 0: Atoll's default");
  app.add_option("--max-nursery-kib", max_nursery_kib,
                 "Size that a nursery may grow to; 0: Atoll's default");
  app.add_option("--initial-mib", initial_mib,
                 "Memory for objects that is touched when a heap is made, and kept");
  app.add_option("--encoding", encoding,
                 "alloc, binary_trees, gcbench, lru_latency: references of 4 bytes in objects, as "
                 "Java's, or of 8; all others: 8")
      ->check(CLI::IsMember({"compressed", "plain"}))
      ->capture_default_str();
  app.add_flag("--in-isolates", world.isolates,
               "Run the workloads of threads as isolates of a group, each on its own thread");
  app.add_flag("--no-huge-pages", no_huge_pages, "Ask for no huge pages");
  CLI11_PARSE(app, argc, argv);

  if (selection.workload == "list") {
    for (const char* workload : kWorkloads) std::printf("%s\n", workload);
    return 0;
  }
  if (!IsKnown(selection.workload)) {
    std::fprintf(stderr, "atoll-bench: unknown workload %s; see `atoll-bench list`\n",
                 selection.workload.c_str());
    return 2;
  }
  if (repetitions > 1) {
    std::vector<std::string> arguments;
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (argument == "--reps") {
        ++i;
      } else if (!argument.starts_with("--reps=")) {
        arguments.push_back(argument);
      }
    }
    return bench::RunRepetitions("atoll", selection.workload, repetitions, arguments);
  }
  world.heap.nursery_bytes = nursery_kib * 1024;
  world.heap.max_nursery_bytes = max_nursery_kib * 1024;
  world.heap.initial_bytes = initial_mib << 20;
  world.heap.huge_pages = !no_huge_pages;
  if (encoding == "compressed" && IsOfHeap(selection.workload)) {
    world.heap.encoding = Atoll::CompressedPointers::kEncoding;
  }
  world.one_region = selection.workload.ends_with("-2m");
  RunHere(selection, safepoint, isolates);
  return 0;
}
