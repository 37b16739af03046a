// One heap under stress: which encoding, how many mutators in how many regions, which knobs.
#ifndef ATOLL_TESTS_STRESS_SCENARIO_H_
#define ATOLL_TESTS_STRESS_SCENARIO_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "atoll/heap.h"
#include "tests/stress/barriers.h"
#include "tests/stress/worker.h"

namespace Atoll::stress {

struct Scenario {
  const char* name;
  const EncodingCase* encoding = &kPlainCase;
  int mutators = 1;
  bool one_region = false;  ///< all mutators in one region, else a region for each
  int gc_workers = 1;
  size_t nursery_bytes = 128 * 1024;
  size_t region_limit = 0;
  uint32_t most_live = 2'500;  ///< nodes of each worker, about
  uint64_t decay_nanos = 1'000'000'000;
  StressOptions knobs = {};
  Rates rates = {};
  uint32_t weight = 100;  ///< its share of all operations; less where operations are slow
};

/// What happened, summed over scenarios.
struct Totals {
  uint64_t operations = 0;
  uint64_t minors = 0;
  uint64_t majors = 0;
  uint64_t groups = 0;
  uint64_t adoptions = 0;
  uint64_t replaced = 0;
  uint64_t refused_allocations = 0;
  uint64_t exchanged = 0;
  uint64_t walks = 0;
  uint64_t walked_objects = 0;

  void Add(const Totals& other);
  void Print(const char* name) const;
};

const std::vector<Scenario>& AllScenarios();

/// ATOLL_SEED, else a fixed one.
uint64_t SeedFromEnvironment();
/// ATOLL_STRESS_OPS, the operations of all scenarios together, else a number for every day.
uint64_t OperationsFromEnvironment();

/// Runs `operations` in all, and aborts at the first difference between heap and model.
Totals RunScenario(const Scenario& scenario, uint64_t seed, uint64_t operations);

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_SCENARIO_H_
