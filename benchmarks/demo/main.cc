// atoll-demo DEMO: what `./run demo` shows.

#include <CLI/CLI.hpp>
#include <string>

#include "benchmarks/demo/demos.h"

int main(int argc, char** argv) {
  CLI::App app("Shows Atoll at work.");
  app.require_subcommand(1);
  const CLI::App* heap =
      app.add_subcommand("heap", "Programs on Atoll, beside malloc and Boehm's collector");
  CLI::App* transfers =
      app.add_subcommand("transfers", "Trees passed from one isolate to another, in three ways");
  std::string data_file;
  transfers->add_option("--data", data_file, "Where the figures go, for a plot")->required();
  CLI11_PARSE(app, argc, argv);
  return heap->parsed() ? bench::ShowHeap() : bench::ShowTransfers(data_file);
}
