// atoll-micro: the micro-benchmarks; options as of every google-benchmark program.

#include <benchmark/benchmark.h>

BENCHMARK_MAIN();
