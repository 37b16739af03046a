// Do counters and log say what happened?
#include <algorithm>
#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "heap/heap_state.h"
#include "safepoint/platform.h"
#include "tests/gc/gc_fixture.h"
#include "tests/heap/stressed.h"

namespace Atoll {
namespace {

class StatsAndLog : public GcTest {
 protected:
  StatsAndLog() {
    options().gc_log = [](const char* line, void* data) {
      static_cast<StatsAndLog*>(data)->lines_.emplace_back(line);
    };
    options().gc_log_data = this;
  }
  std::vector<std::string> lines_;
};

TEST_F(StatsAndLog, CountCollectionsOfEachKind) {
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 1'000);
  for (int i = 0; i < 3; ++i) Minor(region);
  for (int i = 0; i < 2; ++i) Major(region);
  Group();
  const HeapStats stats = heap().stats();
  EXPECT_EQ(stats.minor.count, 3u);
  EXPECT_EQ(stats.major.count, 2u);
  EXPECT_EQ(stats.group.count, 1u);
  for (const PauseStats& pauses : {stats.minor, stats.major, stats.group}) {
    EXPECT_GT(pauses.total_nanos, 0u);
    EXPECT_GE(pauses.max_nanos, pauses.p99_nanos);
    EXPECT_GE(pauses.p99_nanos, pauses.p50_nanos);
    EXPECT_GE(pauses.total_nanos, pauses.max_nanos);
  }
  EXPECT_EQ(region.region().stats().minors, 3u);
  EXPECT_EQ(region.region().stats().majors, 3u) << "the group's part in it too";
}

TEST_F(StatsAndLog, CountSurvivedAndPromotedBytes) {
  TestRegion region(heap());
  region.Enter();
  MakeList(region, 0, 1, 200);
  constexpr uint64_t kBytes = 200 * sizeof(PairObject);
  MinorAmongGarbage(region);
  EXPECT_GE(region.region().stats().survived_bytes, kBytes);
  EXPECT_EQ(region.region().stats().promoted_bytes, 0u);
  MinorAmongGarbage(region);
  EXPECT_GE(region.region().stats().promoted_bytes, kBytes);
  EXPECT_LE(region.region().stats().promoted_bytes, kBytes + kBlockSize);
  EXPECT_GE(heap().stats().promoted_bytes, kBytes);
  Major(region);
  EXPECT_EQ(region.region().stats().live_bytes, kBytes);
}

TEST_F(StatsAndLog, SumsIncludeRegionsThatAreGone) {
  {
    TestRegion receiver(heap());
    receiver.Enter();
    {
      TestRegion source(heap());
      ASSERT_TRUE(receiver.region().Adopt(source.region()).ok());
    }
    MakeList(receiver, 0, 1, 100);
    Minor(receiver);
    Minor(receiver);
  }
  EXPECT_EQ(heap().stats().adoptions, 1u);
  EXPECT_EQ(heap().stats().minor.count, 2u);
  EXPECT_GE(heap().stats().promoted_bytes, 100 * sizeof(PairObject));
}

TEST_F(StatsAndLog, ExternalBytesCountInRegionAndHeap) {
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  mutator.AdjustExternalBytes(1'000'000);
  EXPECT_EQ(region.region().stats().external_bytes, 1'000'000u);
  EXPECT_EQ(heap().stats().external_bytes, 1'000'000u);
  mutator.AdjustExternalBytes(-400'000);
  EXPECT_EQ(heap().stats().external_bytes, 600'000u);
  region.Leave();
  region.EndRegion();
  EXPECT_EQ(heap().stats().external_bytes, 0u);
}

TEST_F(StatsAndLog, ExternalBytesBringOnAMajorCollection) {
  Counter finalized;
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  for (int i = 0; i < 64; ++i) {
    mutator.AdjustExternalBytes(64 << 20);
    NewPair(mutator, 1);
    mutator.Poll();
    mutator.AdjustExternalBytes(-(64 << 20));
  }
  for (int i = 0; i < 64; ++i) {
    ASSERT_TRUE(mutator
                    .AddFinalizer(NewPair(mutator, 1), FinalizerKind::kNative, Counter::Add,
                                  &finalized, 64 << 20)
                    .ok());
    mutator.Poll();
  }
  // Four gigabytes hang on 2 KiB of dead objects.
  EXPECT_GE(finalized.calls, 1);
}

TEST_F(StatsAndLog, EachCollectionLogsLinesOfJson) {
  RegionOptions named;
  named.name = "logged";
  TestRegion region(heap(), named);
  region.Enter();
  MakeList(region, 0, 1, 1'000);
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(ToString(kind));
    lines_.clear();
    Run(region, kind);
    ASSERT_FALSE(lines_.empty());
    std::vector<std::string> events;
    for (const std::string& text : lines_) {
      SCOPED_TRACE(text);
      EXPECT_EQ(text.find('\n'), std::string::npos);
      const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
      ASSERT_TRUE(line.is_object());
      events.push_back(line.value("event", ""));
      EXPECT_EQ(line.value("heap", ""), "test-heap");
      EXPECT_EQ(line.value("part_of", ""), ToString(kind));
      EXPECT_GT(line.value("nanos", uint64_t{0}), 0u);
      if (events.back() != "group") {
        EXPECT_EQ(line.value("region", ""), "logged");
      }
    }
    // The last line is the collection; those before it are the steps that it is made of.
    EXPECT_EQ(events.back(), ToString(kind));
  }
}

TEST_F(StatsAndLog, NamesWithQuotesAndControlCharactersDoNotBreakTheLog) {
  RegionOptions named;
  named.name = "a \"quoted\" \\ name\n\twith\x01 all \xFF\xC0";
  TestRegion region(heap(), named);
  region.Enter();
  MakeList(region, 0, 1, 10);
  Minor(region);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_TRUE(nlohmann::json::parse(lines_[0], nullptr, false).is_object()) << lines_[0];
}

TEST_F(StatsAndLog, TheLogHasAsManyOfAKindAsAreCounted) {
  TestRegion region(heap());
  region.Enter();
  for (size_t i = 0; i < 20; ++i) MakeList(region, i % 4, 1, 20'000);
  for (const Kind kind : kKinds) Run(region, kind);
  const HeapStats stats = heap().stats();
  std::map<std::string, uint64_t> logged;
  for (const std::string& text : lines_) {
    const nlohmann::json line = nlohmann::json::parse(text);
    if (line["event"] == line["part_of"]) ++logged[line["event"]];
  }
  EXPECT_GT(stats.minor.count, 0u);
  EXPECT_EQ(logged["minor"], stats.minor.count);
  EXPECT_EQ(logged["major"], stats.major.count);
  EXPECT_EQ(logged["group"], stats.group.count);
}

// As many threads collect as are free, where there is enough to do for more than one.
TEST_F(StatsAndLog, MuchIsCollectedByTheFreeWorkersAndLittleByOne) {
  options().workers = 3;
  const HeapOptions& used = heap().state().options;
  if (IsStressed(heap()) || used.stress.parallel || used.stress.born_old) return;  // as they say
  std::map<std::string, int> most;
  const auto note_workers = [&] {
    most.clear();
    for (const std::string& text : lines_) {
      const nlohmann::json line = nlohmann::json::parse(text);
      int& workers = most[line["event"]];
      workers = std::max(workers, line["workers"].get<int>());
    }
    lines_.clear();
  };
  TestRegion region(heap());
  Mutator& mutator = region.Enter();
  MakeList(region, 0, 1, 100);
  Major(region);
  note_workers();
  EXPECT_EQ(most["minor"], 1);
  EXPECT_EQ(most["major"], 1);
  for (const bool beside_another : {false, true}) {
    SCOPED_TRACE(beside_another ? "beside another mutator that runs" : "alone");
    std::atomic<bool> runs{false};
    std::atomic<bool> done{!beside_another};
    std::thread other([&] {
      if (!beside_another) return;
      TestRegion others(heap());
      Mutator& running = others.Enter();
      runs.store(true);
      while (!done.load()) running.Poll();
    });
    mutator.EnterNative();
    while (runs.load() != beside_another) platform::YieldThread();
    mutator.LeaveNative();
    for (size_t i = 0; i < 4; ++i) MakeList(region, i, 1, 200'000);  // 26 MB
    Major(region);
    done.store(true);
    mutator.EnterNative();
    other.join();
    mutator.LeaveNative();
    note_workers();
    const int free = std::max(1, used.workers - (beside_another ? 1 : 0));
    EXPECT_EQ(most["minor"], free);
    EXPECT_EQ(most["major"], free);
  }
}

// What is to be marked lies in the nursery until the major's own minor collection moves it.
TEST_F(StatsAndLog, AMajorThatFindsAllInTheNurseryIsDoneByTheFreeWorkersToo) {
  options().workers = 3;
  options().nursery_bytes = 64 << 20;
  options().max_nursery_bytes = 64 << 20;
  const HeapOptions& used = heap().state().options;
  if (IsStressed(heap()) || used.stress.parallel || used.stress.born_old) return;  // as they say
  TestRegion region(heap());
  region.Enter();
  for (size_t i = 0; i < 4; ++i) MakeList(region, i, 1, 200'000);  // 26 MB
  ASSERT_TRUE(lines_.empty()) << lines_[0];
  Major(region);
  ASSERT_FALSE(lines_.empty());
  const nlohmann::json major = nlohmann::json::parse(lines_.back());
  EXPECT_EQ(major["event"], "major");
  EXPECT_EQ(major["workers"], used.workers);
}

TEST_F(StatsAndLog, AnAdaptiveNurseryGrowsWhenSurvivalAsksForItAndStaysWithinItsBound) {
  options().nursery_bytes = 256 * 1024;
  options().max_nursery_bytes = 2 << 20;
  options().pause_target_nanos = 3'600'000'000'000;  // a pause of whatever length is short enough
  TestRegion region(heap());
  region.Enter();
  const uint64_t first = region.region().stats().nursery_bytes;
  // Garbage alone does not make it grow.
  for (int i = 0; i < 200'000; ++i) NewPair(region.mutator(), 1);
  EXPECT_LE(region.region().stats().nursery_bytes, 2 * first);
  EXPECT_LE(region.region().stats().nursery_bytes, 2u << 20);
  // Half of it surviving does.
  for (size_t i = 0; i < 10; ++i) {
    MakeList(region, i, 1, 10'000);
    for (int j = 0; j < 10'000; ++j) NewPair(region.mutator(), 1);
  }
  EXPECT_LE(region.region().stats().nursery_bytes, 2u << 20);
  if (!IsStressed(heap()) && !heap().state().options.stress.born_old) {
    EXPECT_GT(region.region().stats().nursery_bytes, first);
  }
}

}  // namespace
}  // namespace Atoll
