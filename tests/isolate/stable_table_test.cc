// Indices come and go; entries stay where they are.
#include "isolate/stable_table.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace Atoll {
namespace {

struct Entry {
  std::atomic<uint64_t> word;
  uint64_t more[7];
};
using Table = StableTable<Entry>;

class StableTableTest : public ::testing::Test {
 protected:
  ~StableTableTest() override { platform::faults::Reset(); }
};

TEST_F(StableTableTest, IndicesAreDistinctAndNeverZero) {
  Table table;
  ASSERT_TRUE(table.ok());
  std::set<uint32_t> indices;
  constexpr uint32_t kCount = 3 * Table::kPerSegment;
  for (uint32_t i = 0; i < kCount; ++i) {
    const uint32_t index = table.Take(nullptr);
    ASSERT_NE(index, 0u);
    ASSERT_TRUE(indices.insert(index).second);
    ASSERT_EQ(table.At(index)->word.load(), 0u);
    table.At(index)->word.store(index);
  }
  for (const uint32_t index : indices) ASSERT_EQ(table.At(index)->word.load(), index);
}

TEST_F(StableTableTest, NoEntryWhereNoneEverWas) {
  Table table;
  EXPECT_EQ(table.At(1), nullptr);
  EXPECT_EQ(table.At(UINT32_MAX), nullptr);
  const uint32_t index = table.Take(nullptr);
  EXPECT_NE(table.At(index), nullptr);
  EXPECT_EQ(table.At(index + 5 * Table::kPerSegment), nullptr);
}

TEST_F(StableTableTest, AGivenIndexIsTakenAgainAndItsEntryStaysWhereItWas) {
  Table table;
  const uint32_t index = table.Take(nullptr);
  Entry* entry = table.At(index);
  table.Give(index, nullptr);
  EXPECT_EQ(table.At(index), entry);
  EXPECT_EQ(table.Take(nullptr), index);
  EXPECT_EQ(table.At(index), entry);
}

TEST_F(StableTableTest, CachesTakeAndGiveWithoutTheTable) {
  Table table;
  Table::Cache cache;
  Table::Cache other;
  std::set<uint32_t> mine;
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(mine.insert(table.Take(&cache)).second);
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_FALSE(mine.contains(table.Take(&other))) << "taken, or in the other's cache";
  }
  // What one cache took another gives back.
  for (const uint32_t index : mine) table.Give(index, &other);
  table.Flush(other);
  table.Flush(cache);
  table.Flush(cache);
  size_t again = 0;
  for (int i = 0; i < 1'064; ++i) again += mine.contains(table.Take(nullptr)) ? 1 : 0;
  EXPECT_EQ(again, mine.size()) << "all that were given back are to be had";
}

TEST_F(StableTableTest, TrimZeroesSegmentsThatNothingIsTakenOf) {
  Table table;
  std::vector<uint32_t> indices;
  for (uint32_t i = 0; i < 2 * Table::kPerSegment; ++i) {
    indices.push_back(table.Take(nullptr));
    table.At(indices.back())->more[3] = 7;
  }
  uint32_t kept = indices.front();
  const uint32_t kept_segment = kept / Table::kPerSegment;
  for (const uint32_t index : indices) {
    if (index != kept) table.Give(index, nullptr);
  }
  table.Trim();
  for (const uint32_t index : indices) {
    const uint64_t expected = index / Table::kPerSegment == kept_segment ? 7u : 0u;
    ASSERT_EQ(table.At(index)->more[3], expected) << "entry " << index;
  }
  table.Give(kept, nullptr);
  table.Trim();
  EXPECT_EQ(table.At(kept)->more[3], 0u);
  // And can be used on.
  for (uint32_t i = 0; i < 2 * Table::kPerSegment; ++i) ASSERT_NE(table.Take(nullptr), 0u);
}

TEST_F(StableTableTest, CachedIndicesKeepTheirSegmentFromBeingTrimmed) {
  Table table;
  Table::Cache cache;
  const uint32_t index = table.Take(&cache);
  table.At(index)->more[0] = 9;
  table.Give(index, &cache);
  table.Trim();
  EXPECT_EQ(table.At(index)->more[0], 9u);
  table.Flush(cache);
  table.Trim();
  EXPECT_EQ(table.At(index)->more[0], 0u);
}

TEST_F(StableTableTest, RefusedMemoryIsNoIndexAndLaterThereIsOne) {
  Table table;
  Table::Cache cache;
  platform::faults::FailNth(platform::faults::Request::kMapZeroed, 1, true);
  EXPECT_EQ(table.Take(nullptr), 0u);
  EXPECT_EQ(table.Take(&cache), 0u);
  platform::faults::Reset();
  EXPECT_NE(table.Take(&cache), 0u);
  platform::faults::FailNth(platform::faults::Request::kMapZeroed, 1, true);
  uint32_t taken = 1;
  while (table.Take(&cache) != 0) ++taken;
  EXPECT_EQ(taken, Table::kPerSegment - 1) << "all of the first segment but index 0";
  platform::faults::Reset();
  EXPECT_NE(table.Take(&cache), 0u);
  platform::faults::FailNth(platform::faults::Request::kMapZeroed, 1, true);
  for (taken = 1; table.Take(&cache) != 0;) ++taken;
  EXPECT_EQ(taken, Table::kSegmentsPerSpan * Table::kPerSegment) << "all of the span";
}

TEST_F(StableTableTest, SpansAreAlignedAsHugePagesAndTrimmedWhole) {
  Table table(true);
  constexpr uint32_t kPerSpan = Table::kSegmentsPerSpan * Table::kPerSegment;
  constexpr uint32_t kSpans = 3;
  std::vector<uint32_t> indices;
  for (uint32_t i = 1; i < Table::kPerSegment + kSpans * kPerSpan; ++i) {
    indices.push_back(table.Take(nullptr));
    table.At(indices.back())->more[3] = 7;
  }
  for (uint32_t span = 0; span < kSpans; ++span) {
    const auto start = reinterpret_cast<uintptr_t>(table.At(Table::kPerSegment + span * kPerSpan));
    EXPECT_EQ(start % platform::kHugePageBytes, 0u);
  }
  // One entry in the last span keeps its segment, and no other.
  const uint32_t kept = indices.back();
  indices.pop_back();
  for (const uint32_t index : indices) table.Give(index, nullptr);
  for (int i = 0; i < 2; ++i) {
    table.Trim();
    for (const uint32_t index : indices) {
      const bool beside = index / Table::kPerSegment == kept / Table::kPerSegment;
      ASSERT_EQ(table.At(index)->more[3], beside ? 7u : 0u) << "entry " << index;
    }
    EXPECT_EQ(table.At(kept)->more[3], 7u);
  }
  uint32_t seen = 0;
  table.ForEach([&](Entry&) { ++seen; });
  EXPECT_LE(seen, Table::kPerSegment) << "memory that was given back is not looked at";
}

TEST_F(StableTableTest, ForEachSeesEachEntryOnce) {
  Table table;
  constexpr uint32_t kCount = Table::kPerSegment + 10;
  for (uint32_t i = 0; i < kCount; ++i) table.At(table.Take(nullptr))->word.store(1);
  uint64_t seen = 0;
  table.ForEach([&](Entry& entry) { seen += entry.word.load(); });
  EXPECT_EQ(seen, kCount);
}

TEST_F(StableTableTest, ForEachGoesOnWhileTheTableGrows) {
  Table table;
  constexpr uint32_t kCount = 20 * Table::kSegmentsPerSpan * Table::kPerSegment;
  std::atomic<bool> grown{false};
  std::thread grower([&] {
    for (uint32_t i = 0; i < kCount; ++i) ASSERT_NE(table.Take(nullptr), 0u);
    grown.store(true);
  });
  const auto count = [&table] {
    uint32_t seen = 0;
    table.ForEach([&seen](Entry& entry) { seen += entry.word.load() == 0 ? 1 : 0; });
    return seen;
  };
  for (uint32_t last = 0; !grown.load();) {
    const uint32_t seen = count();
    EXPECT_GE(seen, last);
    last = seen;
  }
  grower.join();
  EXPECT_EQ(count(), kCount);
}

TEST_F(StableTableTest, ThreadsNeverHaveTheSameIndex) {
  Table table;
  constexpr int kThreads = 4;
  constexpr int kRounds = 3'000;
  std::vector<std::thread> threads;
  std::atomic<bool> ended{false};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Table::Cache cache;
      for (int round = 0; round < kRounds; ++round) {
        uint32_t indices[20];
        for (uint32_t& index : indices) {
          index = table.Take(&cache);
          EXPECT_EQ(table.At(index)->word.exchange(1), 0u);
        }
        for (const uint32_t index : indices) {
          EXPECT_EQ(table.At(index)->word.exchange(0), 1u);
          table.Give(index, &cache);
        }
        if (round % 100 == 0) table.Flush(cache);
      }
      table.Flush(cache);
    });
  }
  std::thread trimmer([&] {
    while (!ended.load()) {
      table.Trim();
      platform::YieldThread();
    }
  });
  for (std::thread& thread : threads) thread.join();
  ended.store(true);
  trimmer.join();
  table.ForEach([](Entry& entry) { EXPECT_EQ(entry.word.load(), 0u); });
}

}  // namespace
}  // namespace Atoll
