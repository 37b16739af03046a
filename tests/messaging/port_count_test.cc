// How much waits at a port, of that port alone.
#include "messaging/port_count.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace Atoll {
namespace {

using Added = PortCount::Added;

class PortCountTest : public ::testing::Test {
 protected:
  PortCountTest() { count_.Begin(kKey); }
  Added Add(size_t bytes, uint32_t max_messages, size_t max_bytes, uint64_t key = kKey) {
    return count_.Add(key, bytes, max_messages, max_bytes, &found_);
  }

  static constexpr uint64_t kKey = 77;
  static constexpr uint64_t kOther = 78;
  PortCount count_{};
  PortCount::Waiting found_;
};

TEST_F(PortCountTest, BoundsOfMessages) {
  EXPECT_EQ(Add(0, 2, 0), Added::kYes);
  EXPECT_EQ(Add(0, 2, 0), Added::kYes);
  EXPECT_EQ(Add(0, 2, 0), Added::kFull);
  EXPECT_EQ(found_.messages, 2u);
  count_.Subtract(kKey, 0);
  EXPECT_EQ(Add(0, 2, 0), Added::kYes);
  EXPECT_EQ(Add(0, 2, 0), Added::kFull);
}

TEST_F(PortCountTest, BoundsOfBytesThatAreNoWords) {
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(Add(13, 0, 13), Added::kYes);
    EXPECT_EQ(Add(1, 0, 13), Added::kFull);
    EXPECT_EQ(found_.bytes, 16u);
    count_.Subtract(kKey, 13);
  }
  EXPECT_EQ(Add(PortCount::kMaxBytes, 0, SIZE_MAX), Added::kYes);
  EXPECT_EQ(Add(8, 5, 0), Added::kFull) << "what waits has an end, bounded or not";
  EXPECT_EQ(found_.messages, 1u);
  count_.Subtract(kKey, PortCount::kMaxBytes);
  EXPECT_EQ(Add(8, 5, 0), Added::kYes);
  EXPECT_EQ(found_.messages, 0u);
  EXPECT_EQ(found_.bytes, 0u);
}

TEST_F(PortCountTest, AnotherPortsMessagesChangeNothing) {
  EXPECT_EQ(Add(8, 2, 0), Added::kYes);
  EXPECT_TRUE(count_.Differs(kOther));
  EXPECT_FALSE(count_.Differs(kKey));
  count_.Begin(kOther);
  EXPECT_EQ(Add(8, 2, 0), Added::kOtherPort);
  EXPECT_EQ(Add(8, 2, 0, kOther), Added::kYes);
  count_.Subtract(kKey, 8);
  EXPECT_EQ(Add(8, 2, 0, kOther), Added::kYes);
  EXPECT_EQ(found_.messages, 1u);
}

TEST_F(PortCountTest, MemoryGivenBackIsNobodys) {
  PortCount zero{};
  PortCount::Waiting found;
  EXPECT_EQ(zero.Add(kKey, 8, 1, 0, &found), Added::kOtherPort);
  zero.Subtract(kKey, 8);
  zero.Begin(kKey);
  EXPECT_EQ(zero.Add(kKey, 8, 1, 0, &found), Added::kYes);
  EXPECT_EQ(found.messages, 0u);
}

TEST_F(PortCountTest, ManyThreads) {
  constexpr int kThreads = 4;
  constexpr uint32_t kBound = 3;
  std::atomic<uint32_t> inside{0};
  std::atomic<int> added{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      PortCount::Waiting found;
      for (int i = 0; i < 20'000; ++i) {
        if (count_.Add(kKey, 24, kBound, 0, &found) != Added::kYes) continue;
        EXPECT_LE(inside.fetch_add(1), kBound - 1);
        added.fetch_add(1);
        inside.fetch_sub(1);
        count_.Subtract(kKey, 24);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(added.load(), 0);
  EXPECT_EQ(Add(0, 1, 0), Added::kYes);
  EXPECT_EQ(found_.bytes, 0u);
}

}  // namespace
}  // namespace Atoll
