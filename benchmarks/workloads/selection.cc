#include "benchmarks/workloads/selection.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace bench {

Selection Selection::FromCommandLine(int argc, char** argv, const char* about) {
  CLI::App app(about);
  Selection selection;
  app.add_option("workload", selection.workload,
                 "alloc-1, alloc-2, binary_trees-1, binary_trees-2, gcbench-1, gcbench-2, "
                 "lru_latency")
      ->required();
  selection.AddSizesTo(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return selection;
}

void Selection::AddSizesTo(CLI::App& app) {
  app.add_option("--objects", alloc.objects, "alloc: objects in all")->capture_default_str();
  app.add_option("--depth", binary_trees.depth, "binary_trees, gcbench: depth of the largest tree")
      ->check(CLI::Range(4, 26))
      ->capture_default_str();
  app.add_option("--doubles", gcbench.doubles, "gcbench: length of the long-lived array")
      ->check(CLI::Range(4000, 1 << 30))
      ->capture_default_str();
  app.add_option("--bits", lru.bits, "lru_latency: the table has 2^bits entries")
      ->check(CLI::Range(4, 26))
      ->capture_default_str();
  app.add_option("--operations", lru.operations, "lru_latency: operations timed")
      ->capture_default_str();
}

}  // namespace bench
