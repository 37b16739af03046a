// The stress suite: random graphs against a model in plain C++, in many scenarios.
//
//   ATOLL_SEED=n        another seed (every failure prints the one it had)
//   ATOLL_STRESS_OPS=n  operations in all scenarios together; from ten million on, the totals are
//                       checked too: enough collections of each kind, and enough adoptions
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "tests/stress/check.h"
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

class Stress : public ::testing::TestWithParam<const Scenario*> {};

TEST_P(Stress, MatchesTheModel) {
  const Scenario& scenario = *GetParam();
  const uint64_t operations =
      (OperationsFromEnvironment() * scenario.weight + TotalWeight() - 1) / TotalWeight();
  const Totals totals = RunScenario(scenario, SeedFromEnvironment(), operations);
  totals.Print(scenario.name);
  AllTotals().Add(totals);
  EXPECT_GE(totals.minors, 1u);
  EXPECT_GE(totals.majors, 1u);
  EXPECT_GE(totals.groups, 1u);
  EXPECT_GE(totals.adoptions, 1u);
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

class Summary : public ::testing::Environment {
 public:
  void SetUp() override {
    std::printf("stress: ATOLL_SEED=%llu ATOLL_STRESS_OPS=%llu\n",
                static_cast<unsigned long long>(SeedFromEnvironment()),
                static_cast<unsigned long long>(OperationsFromEnvironment()));
  }
  void TearDown() override {
    const Totals& totals = AllTotals();
    if (totals.operations == 0) return;
    totals.Print("TOTAL");
    const auto& unit = *::testing::UnitTest::GetInstance();
    const bool all_ran = unit.test_to_run_count() == unit.total_test_count();
    if (!all_ran || OperationsFromEnvironment() < kLongRun) return;
    EXPECT_GE(totals.minors, 100u);
    EXPECT_GE(totals.majors, 100u);
    EXPECT_GE(totals.groups, 100u);
    EXPECT_GE(totals.adoptions, 1'000u);
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
