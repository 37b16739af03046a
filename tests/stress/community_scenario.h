// One group of isolates under stress: which encoding, how many isolates and workers, which knobs.
#ifndef ATOLL_TESTS_STRESS_COMMUNITY_SCENARIO_H_
#define ATOLL_TESTS_STRESS_COMMUNITY_SCENARIO_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/stress/barriers.h"
#include "tests/stress/world.h"

namespace Atoll::stress {

struct CommunityScenario {
  const char* name;
  const EncodingCase* encoding = &kPlainCase;
  uint32_t seats = 12;
  int workers = 2;
  int gc_workers = 1;
  uint32_t residents = 2;  ///< isolates per worker that are not parked although they could be
  size_t nursery_bytes = 128 * 1024;
  size_t limit_bytes = 0;      ///< of each isolate
  uint32_t most_live = 400;    ///< nodes of an isolate that is not parked
  uint32_t refuse_memory = 0;  ///< one in so many ticks: the system refuses a request soon
  StressOptions knobs = {};
  uint32_t weight = 60;  ///< its share of all operations, as Scenario::weight
};

const std::vector<CommunityScenario>& AllCommunityScenarios();

struct CommunityTotals {
  uint64_t operations = 0;
  uint64_t minors = 0;
  uint64_t majors = 0;
  uint64_t groups = 0;
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t discarded = 0;
  uint64_t refused = 0;
  uint64_t full = 0;
  uint64_t closed = 0;
  uint64_t frozen = 0;
  uint64_t not_frozen = 0;
  uint64_t replaced = 0;
  uint64_t handed_over = 0;
  uint64_t adoptions = 0;
  uint64_t voided = 0;
  uint64_t parked = 0;
  uint64_t spawned = 0;
  uint64_t killed = 0;
  uint64_t failed = 0;
  uint64_t refused_memory = 0;

  void Add(const CommunityTotals& other);
  void Print(const char* name) const;
};

/// Runs about `operations` in all, and aborts at the first difference between heap and model.
CommunityTotals RunCommunity(const CommunityScenario& scenario, uint64_t seed, uint64_t operations);

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_COMMUNITY_SCENARIO_H_
