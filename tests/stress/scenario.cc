#include "tests/stress/scenario.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "atoll/gc.h"
#include "safepoint/platform.h"
#include "tests/stress/check.h"

namespace Atoll::stress {
namespace {

uint64_t NumberFromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 10);
}

std::vector<Scenario> MakeScenarios() {
  std::vector<Scenario> all;
  auto add = [&](Scenario scenario) { all.push_back(scenario); };
  // Each encoding: alone, several regions at once, several mutators in one region.
  add({.name = "plain_1"});
  add({.name = "low_tag_1", .encoding = &kLowTagCase});
  add({.name = "nan_box_1", .encoding = &kNanBoxCase});
  add({.name = "header_before_1", .encoding = &kHeaderBeforeCase});
  add({.name = "runtime_1", .encoding = &kRuntimeCase});
  add({.name = "compressed_1", .encoding = &kCompressedCase});
  add({.name = "plain_4", .mutators = 4, .gc_workers = 2});
  add({.name = "compressed_3", .encoding = &kCompressedCase, .mutators = 3, .gc_workers = 2});
  add({.name = "low_tag_2", .encoding = &kLowTagCase, .mutators = 2});
  add({.name = "nan_box_3", .encoding = &kNanBoxCase, .mutators = 3});
  add({.name = "header_before_2", .encoding = &kHeaderBeforeCase, .mutators = 2, .gc_workers = 4});
  add({.name = "runtime_2", .encoding = &kRuntimeCase, .mutators = 2});
  add({.name = "plain_2m", .mutators = 2, .one_region = true, .gc_workers = 2});
  add({.name = "plain_4m", .mutators = 4, .one_region = true, .gc_workers = 4});
  add({.name = "low_tag_3m",
       .encoding = &kLowTagCase,
       .mutators = 3,
       .one_region = true,
       .gc_workers = 2});
  add({.name = "nan_box_2m", .encoding = &kNanBoxCase, .mutators = 2, .one_region = true});
  add({.name = "header_before_2m",
       .encoding = &kHeaderBeforeCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2});
  add({.name = "runtime_4m",
       .encoding = &kRuntimeCase,
       .mutators = 4,
       .one_region = true,
       .gc_workers = 2});
  add({.name = "compressed_3m",
       .encoding = &kCompressedCase,
       .mutators = 3,
       .one_region = true,
       .gc_workers = 2});
  // Sizes: a nursery that is always full, and one that seldom is; a graph of some megabytes.
  const Rates seldom{.minor = 100'000, .major = 40'000};
  add({.name = "tiny_nursery", .nursery_bytes = 2 * kBlockSize, .rates = seldom});
  add({.name = "big_nursery", .gc_workers = 2, .nursery_bytes = 8 << 20, .rates = seldom});
  add({.name = "big_nursery_2m",
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .nursery_bytes = 8 << 20,
       .rates = seldom});
  add({.name = "many_live",
       .gc_workers = 2,
       .most_live = 100'000,
       .rates = {.minor = 10'000, .major = 100'000, .verify = 50'000}});
  add({.name = "many_live_2m",
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .most_live = 50'000,
       .rates = {.minor = 10'000, .major = 100'000, .verify = 50'000}});
  // All collections by several threads.
  const StressOptions parallel{.parallel = true};
  add({.name = "parallel", .gc_workers = 4, .knobs = parallel});
  add({.name = "parallel_2",
       .encoding = &kLowTagCase,
       .mutators = 2,
       .gc_workers = 2,
       .knobs = parallel});
  add({.name = "parallel_2m",
       .encoding = &kRuntimeCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .knobs = parallel});
  add({.name = "parallel_verify",
       .encoding = &kNanBoxCase,
       .gc_workers = 3,
       .knobs = {.verify = true, .parallel = true},
       .weight = 20});
  // The knobs, each and all.
  const StressOptions every{.collect_every = 3};
  const StressOptions allocation{.collect_every = 50, .every_allocation = true};
  const StressOptions move{.move_everything = true};
  const StressOptions poison{.poison = true};
  const StressOptions verify{.verify = true};
  const StressOptions everything{.collect_every = 20,
                                 .every_allocation = true,
                                 .move_everything = true,
                                 .poison = true,
                                 .verify = true,
                                 .parallel = true};
  const StressOptions old{.collect_every = 3, .born_old = true};
  StressOptions everything_old = everything;
  everything_old.born_old = true;
  add({.name = "collect_every", .knobs = every, .weight = 20});
  add({.name = "born_old", .knobs = old, .weight = 20});
  add({.name = "born_old_2m",
       .encoding = &kLowTagCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .knobs = old,
       .weight = 20});
  add({.name = "born_old_adopt",
       .encoding = &kCompressedCase,
       .mutators = 2,
       .knobs = old,
       .rates = {.side_world = 500},
       .weight = 20});
  add({.name = "all_knobs_old", .gc_workers = 2, .knobs = everything_old, .weight = 3});
  add({.name = "every_allocation", .knobs = allocation, .weight = 10});
  add({.name = "every_allocation_2m",
       .encoding = &kLowTagCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .knobs = allocation,
       .weight = 5});
  add({.name = "move_everything",
       .encoding = &kRuntimeCase,
       .gc_workers = 2,
       .knobs = move,
       .rates = {.major = 10'000}});
  add({.name = "move_everything_2m",
       .encoding = &kHeaderBeforeCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .knobs = move,
       .rates = {.major = 10'000},
       .weight = 50});
  add({.name = "poison", .encoding = &kNanBoxCase, .knobs = poison, .weight = 50});
  add({.name = "verify", .knobs = verify, .weight = 20});
  add({.name = "verify_2m",
       .encoding = &kNanBoxCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .knobs = verify,
       .weight = 20});
  add({.name = "all_knobs", .knobs = everything, .weight = 3});
  add({.name = "all_knobs_3",
       .encoding = &kRuntimeCase,
       .mutators = 3,
       .gc_workers = 2,
       .knobs = everything,
       .weight = 3});
  add({.name = "all_knobs_2m",
       .encoding = &kHeaderBeforeCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .knobs = everything,
       .weight = 3});
  add({.name = "all_knobs_compressed",
       .encoding = &kCompressedCase,
       .gc_workers = 2,
       .knobs = everything,
       .weight = 3});
  // Adoption all the time, group collections all the time.
  add({.name = "adopt_often", .mutators = 2, .rates = {.side_world = 500}, .weight = 50});
  add({.name = "adopt_often_2m",
       .encoding = &kLowTagCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .rates = {.side_world = 500},
       .weight = 50});
  add({.name = "adopt_often_compressed",
       .encoding = &kCompressedCase,
       .mutators = 2,
       .rates = {.side_world = 500},
       .weight = 50});
  add({.name = "group_often",
       .mutators = 3,
       .gc_workers = 2,
       .rates = {.group = 5'000},
       .weight = 50});
  add({.name = "group_often_2m",
       .encoding = &kRuntimeCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .rates = {.group = 5'000},
       .weight = 50});
  // Memory is refused: by the limit of the region, by the system.
  add({.name = "region_limit", .region_limit = 288 * 1024, .weight = 20});
  add({.name = "region_limit_2m",
       .encoding = &kLowTagCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .region_limit = 448 * 1024,
       .weight = 20});
  add({.name = "refused_parallel",
       .gc_workers = 3,
       .nursery_bytes = 1 << 20,
       .decay_nanos = 1,
       .knobs = parallel,
       .rates = {.refuse_memory = 1'000},
       .weight = 20});
  add({.name = "refused_compressed",
       .encoding = &kCompressedCase,
       .nursery_bytes = 1 << 20,
       .decay_nanos = 1,
       .rates = {.refuse_memory = 1'000},
       .weight = 20});
  add({.name = "refused",
       .nursery_bytes = 1 << 20,
       .decay_nanos = 1,
       .rates = {.refuse_memory = 1'000},
       .weight = 20});
  add({.name = "refused_2m",
       .encoding = &kNanBoxCase,
       .mutators = 2,
       .one_region = true,
       .gc_workers = 2,
       .nursery_bytes = 1 << 20,
       .decay_nanos = 1,
       .rates = {.refuse_memory = 1'000},
       .weight = 20});
  return all;
}

Totals CountsOf(const Heap& heap) {
  const HeapStats stats = heap.stats();
  Totals totals;
  totals.minors = stats.minor.count;
  totals.majors = stats.major.count;
  totals.groups = stats.group.count;
  totals.adoptions = stats.adoptions;
  return totals;
}

void CheckNothingLeft(Heap& heap) {
  Status status = heap.Verify();
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  status = heap.CollectAll();
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  const HeapStats stats = heap.stats();
  STRESS_CHECK(stats.regions == 0 && stats.region_bytes == 0 && stats.external_bytes == 0,
               "all regions are gone, but %zu are counted, with %zu bytes and %zu external ones",
               static_cast<size_t>(stats.regions), static_cast<size_t>(stats.region_bytes),
               static_cast<size_t>(stats.external_bytes));
  STRESS_CHECK(stats.mapped_bytes == stats.free_bytes + stats.program_bytes,
               "of %zu bytes mapped, %zu are free and %zu Program's",
               static_cast<size_t>(stats.mapped_bytes), static_cast<size_t>(stats.free_bytes),
               static_cast<size_t>(stats.program_bytes));
}

}  // namespace

void Totals::Add(const Totals& other) {
  operations += other.operations;
  minors += other.minors;
  majors += other.majors;
  groups += other.groups;
  adoptions += other.adoptions;
  replaced += other.replaced;
  refused_allocations += other.refused_allocations;
  exchanged += other.exchanged;
  walks += other.walks;
  walked_objects += other.walked_objects;
}

void Totals::Print(const char* name) const {
  auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "stress: %-20s %11llu operations, collections: %8llu minor %7llu major %6llu group, "
      "%7llu adoptions, %llu replaced, %llu allocations refused, %llu exchanges, %llu live objects "
      "on average\n",
      name, number(operations), number(minors), number(majors), number(groups), number(adoptions),
      number(replaced), number(refused_allocations), number(exchanged),
      number(walks == 0 ? 0 : walked_objects / walks));
  std::fflush(stdout);
}

const std::vector<Scenario>& AllScenarios() {
  static const std::vector<Scenario> all = MakeScenarios();
  return all;
}

uint64_t SeedFromEnvironment() { return NumberFromEnvironment("ATOLL_SEED", 20'240'229); }

uint64_t OperationsFromEnvironment() {
  return NumberFromEnvironment("ATOLL_STRESS_OPS",
                               ATOLL_TSAN || ATOLL_ASAN ? 1'300'000 : 4'400'000);
}

Totals RunScenario(const Scenario& scenario, uint64_t seed, uint64_t operations) {
  SetCurrentScenario(scenario.name, seed);
  platform::faults::Reset();
  HeapOptions options;
  options.name = scenario.name;
  options.encoding = scenario.encoding->encoding;
  options.nursery_bytes = scenario.nursery_bytes;
  options.max_nursery_bytes = scenario.nursery_bytes * 8;
  options.workers = scenario.gc_workers;
  options.decay_nanos = scenario.decay_nanos;
  options.stress = scenario.knobs;
  options.seed = seed;
  options.safepoint.watchdog_nanos = 60'000'000'000;
  Result<std::unique_ptr<Heap>> created = CreateHeap(options);
  STRESS_CHECK(created.ok(), "%s", created.status().message().c_str());
  std::unique_ptr<Heap> heap = std::move(created).value();

  Setting setting;
  setting.heap = heap.get();
  setting.weak_table.emplace(*heap);
  setting.encoding = scenario.encoding;
  setting.types = RegisterKinds(*heap);
  setting.memory_is_refused = scenario.region_limit != 0 || scenario.rates.refuse_memory != 0;
  setting.guardians = !scenario.one_region;
  setting.most_live = scenario.most_live;
  std::unique_ptr<Words> words;
  {
    std::unique_ptr<Region> region = heap->CreateRegion({}).value();
    std::unique_ptr<Mutator> mutator = region->AttachMutator("words").value();
    words = std::make_unique<Words>(options.encoding, *mutator);
    STRESS_CHECK(mutator->Detach().ok(), "a fresh mutator cannot be detached");
  }
  setting.words = words.get();

  Totals totals;
  {
    Post post;
    Board board;
    std::vector<std::unique_ptr<World>> worlds;
    std::shared_ptr<RegionHost> common;
    for (int i = 0; i < scenario.mutators; ++i) {
      if (common == nullptr || !scenario.one_region) {
        common = std::make_shared<RegionHost>(setting, "stress-" + std::to_string(i),
                                              scenario.region_limit);
      }
      worlds.push_back(
          std::make_unique<World>(setting, common, !scenario.one_region, scenario.most_live / 25));
    }
    common.reset();
    if (scenario.one_region) {
      worlds[0]->Enter("board");
      board.Create(*worlds[0]);
      worlds[0]->Leave(false);
    }
    std::vector<std::unique_ptr<Worker>> workers;
    std::vector<std::thread> threads;
    for (int i = 0; i < scenario.mutators; ++i) {
      workers.push_back(std::make_unique<Worker>(i, setting, scenario.rates, seed, post,
                                                 scenario.one_region ? &board : nullptr));
    }
    const auto mutators = static_cast<uint64_t>(scenario.mutators);
    const uint64_t each = (operations + mutators - 1) / mutators;
    for (int i = 0; i < scenario.mutators; ++i) {
      threads.emplace_back(
          [&, i] { workers[static_cast<size_t>(i)]->Run(*worlds[static_cast<size_t>(i)], each); });
    }
    for (std::thread& thread : threads) thread.join();
    platform::faults::Reset();
    const Status status = heap->Verify();
    STRESS_CHECK(status.ok(), "%s", status.message().c_str());

    totals = CountsOf(*heap);
    totals.operations = each * mutators;
    totals.exchanged = board.exchanged.load();
    for (auto& worker : workers) {
      totals.refused_allocations += worker->refused_allocations();
      totals.replaced += worker->replaced();
      totals.walks += worker->walks();
      totals.walked_objects += worker->walked_objects();
    }
    while (std::unique_ptr<World> left = post.Receive()) {
      left->ReleaseHost();
      left->CheckAllFinalizersFired();
    }
    for (auto& world : worlds) world->ReleaseHost();
    for (auto& world : worlds) world->CheckAllFinalizersFired();
  }
  CheckNothingLeft(*heap);
  return totals;
}

}  // namespace Atoll::stress
