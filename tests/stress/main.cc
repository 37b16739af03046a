// The stress suite: random graphs against a model in plain C++, in many scenarios.
//
//   ATOLL_SEED=n        another seed (every failure prints the one it had)
//   ATOLL_STRESS_OPS=n  operations in all scenarios of graphs together, to which those of isolates
//                       add some; from ten million on, the totals are checked too: as many
//                       operations, enough collections of each kind, enough adoptions; and of
//                       isolates enough messages, hand-overs, parkings and kills
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "tests/stress/check.h"
#include "tests/stress/community_scenario.h"
#include "tests/stress/scenario.h"

namespace Atoll::stress {
namespace {

constexpr uint64_t kLongRun = 10'000'000;

Totals& AllTotals() {
  static Totals totals;
  return totals;
}

uint64_t TotalWeight() {
  uint64_t weight = 0;
  for (const Scenario& scenario : AllScenarios()) weight += scenario.weight;
  return weight;
}
uint64_t ShareOf(uint32_t weight) {
  return (OperationsFromEnvironment() * weight + TotalWeight() - 1) / TotalWeight();
}

class Stress : public ::testing::TestWithParam<const Scenario*> {};

TEST_P(Stress, MatchesTheModel) {
  const Scenario& scenario = *GetParam();
  const uint64_t operations = ShareOf(scenario.weight);
  const Totals totals = RunScenario(scenario, SeedFromEnvironment(), operations);
  totals.Print(scenario.name);
  AllTotals().Add(totals);
  EXPECT_GE(totals.minors, 1u);
  EXPECT_GE(totals.majors, 1u);
  EXPECT_GE(totals.groups, 1u);
  EXPECT_GE(totals.adoptions, 1u);
  if (operations >= 100'000) {
    EXPECT_GE(totals.replaced, 1u);
  }
  if (scenario.region_limit != 0 && operations >= 100'000) {
    EXPECT_GE(totals.refused_allocations, 1u);
  }
}

std::vector<const Scenario*> Pointers() {
  std::vector<const Scenario*> pointers;
  for (const Scenario& scenario : AllScenarios()) pointers.push_back(&scenario);
  return pointers;
}

INSTANTIATE_TEST_SUITE_P(All, Stress, ::testing::ValuesIn(Pointers()),
                         [](const ::testing::TestParamInfo<const Scenario*>& info) {
                           return std::string(info.param->name);
                         });

CommunityTotals& AllCommunityTotals() {
  static CommunityTotals totals;
  return totals;
}

// A port that is closed discards what has not been received, and so does an isolate that is killed:
// of this many messages, for sure not most.
constexpr uint64_t kManyMessages = 2'000;

class IsolateStress : public ::testing::TestWithParam<const CommunityScenario*> {};

TEST_P(IsolateStress, MatchesTheModel) {
  // Too few say nothing: collections and kills come at their ticks.
  constexpr uint64_t kFewest = 24 * 400;
  const CommunityScenario& scenario = *GetParam();
  const uint64_t operations = std::max(kFewest, ShareOf(scenario.weight));
  const CommunityTotals totals = RunCommunity(scenario, SeedFromEnvironment(), operations);
  totals.Print(scenario.name);
  AllCommunityTotals().Add(totals);
  EXPECT_GE(totals.groups, 2u);
  EXPECT_GE(totals.replaced, 1u);
  EXPECT_GE(totals.sent, operations / 200);
  EXPECT_GE(totals.received, 1u);
  if (totals.sent >= kManyMessages) {
    EXPECT_GE(totals.received, totals.sent / 4);
  }
  EXPECT_GE(totals.handed_over, 1u);
  EXPECT_GE(totals.killed, scenario.seats / 2);  // at the end, if not before
  EXPECT_GE(totals.frozen + totals.not_frozen, operations / 500);
  EXPECT_GE(totals.frozen, std::min<uint64_t>(operations / 500, 1'000));
  EXPECT_GE(totals.refused + totals.closed + totals.full, 1u);
}

std::vector<const CommunityScenario*> CommunityPointers() {
  std::vector<const CommunityScenario*> pointers;
  for (const CommunityScenario& scenario : AllCommunityScenarios()) pointers.push_back(&scenario);
  return pointers;
}

INSTANTIATE_TEST_SUITE_P(All, IsolateStress, ::testing::ValuesIn(CommunityPointers()),
                         [](const ::testing::TestParamInfo<const CommunityScenario*>& info) {
                           return std::string(info.param->name);
                         });

class Summary : public ::testing::Environment {
 public:
  void SetUp() override {
    std::printf("stress: ATOLL_SEED=%llu ATOLL_STRESS_OPS=%llu\n",
                static_cast<unsigned long long>(SeedFromEnvironment()),
                static_cast<unsigned long long>(OperationsFromEnvironment()));
  }
  void TearDown() override {
    const Totals& totals = AllTotals();
    const CommunityTotals& isolates = AllCommunityTotals();
    if (totals.operations != 0) totals.Print("TOTAL");
    if (isolates.operations != 0) isolates.Print("TOTAL");
    if (isolates.sent >= kManyMessages) {
      EXPECT_GE(isolates.received, isolates.sent / 4);
    }
    const auto& unit = *::testing::UnitTest::GetInstance();
    const bool all_ran = unit.test_to_run_count() == unit.total_test_count();
    if (!all_ran || OperationsFromEnvironment() < kLongRun) return;
    EXPECT_GE(totals.operations, OperationsFromEnvironment());
    EXPECT_GE(totals.minors, 100u);
    EXPECT_GE(totals.majors, 100u);
    EXPECT_GE(totals.groups, 100u);
    EXPECT_GE(totals.adoptions, 1'000u);
    EXPECT_GE(isolates.minors, 1'000u);
    EXPECT_GE(isolates.majors, 1'000u);
    EXPECT_GE(isolates.groups, 100u);
    EXPECT_GE(isolates.sent, 10'000u);
    EXPECT_GE(isolates.frozen, 1'000u);
    EXPECT_GE(isolates.handed_over, 500u);
    EXPECT_GE(isolates.adoptions, 500u);
    EXPECT_GE(isolates.parked, 1'000u);
    EXPECT_GE(isolates.killed, 500u);
  }
};

}  // namespace
}  // namespace Atoll::stress

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ::testing::AddGlobalTestEnvironment(new Atoll::stress::Summary);
  Atoll::stress::InstallCrashHandler();
  return RUN_ALL_TESTS();
}
