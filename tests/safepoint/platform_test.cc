// The seam to the operating system, and the faults injected at it.

#include "safepoint/platform.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "atoll/function_ref.h"

namespace Atoll {
namespace {

constexpr size_t kMiB = 1024 * 1024;

TEST(Platform, TimeGoesForward) {
  const uint64_t a = platform::NowNanos();
  const uint64_t b = platform::NowNanos();
  EXPECT_LE(a, b);
}

TEST(Platform, KnowsTheMachine) {
  EXPECT_GE(platform::ProcessorCount(), 1);
  EXPECT_GE(platform::MemoryLimitBytes(), 64 * kMiB);
  EXPECT_GE(platform::L2CacheBytes(), 64u * 1024);
  EXPECT_LE(platform::L2CacheBytes(), 1024 * kMiB);
}

TEST(Platform, ReserveAligns) {
  for (const size_t alignment : {size_t{4096}, 2 * kMiB, 64 * kMiB}) {
    void* memory = platform::Reserve(8 * kMiB, alignment);
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % alignment, 0u);
    platform::Unmap(memory, 8 * kMiB);
  }
}

TEST(Platform, RefusesWhatCannotBeReserved) {
  EXPECT_EQ(platform::Reserve(SIZE_MAX - 4096, 2 * kMiB), nullptr);
  EXPECT_EQ(platform::Reserve(size_t{1} << 60, 2 * kMiB), nullptr);
}

TEST(Platform, CommitDiscardDecommit) {
  char* memory = static_cast<char*>(platform::Reserve(4 * kMiB, 2 * kMiB));
  ASSERT_NE(memory, nullptr);
  ASSERT_TRUE(platform::Commit(memory, 2 * kMiB));
  platform::AdviseHugePages(memory, 2 * kMiB);
  EXPECT_EQ(memory[0], 0);
  std::memset(memory, 7, 2 * kMiB);
  EXPECT_TRUE(platform::Discard(memory, 4096));
  EXPECT_EQ(memory[0], 0);
  EXPECT_EQ(memory[4096], 7);
  EXPECT_TRUE(platform::Decommit(memory, 2 * kMiB));
  ASSERT_TRUE(platform::Commit(memory, 2 * kMiB));
  EXPECT_EQ(memory[4096], 0);
  platform::Unmap(memory, 4 * kMiB);
}

TEST(Platform, MapsZeroedTables) {
  char* memory = static_cast<char*>(platform::MapZeroed(64 * kMiB));
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(memory[64 * kMiB - 1], 0);
  memory[12345] = 1;
  platform::Unmap(memory, 64 * kMiB);
}

TEST(Platform, ThreadsRunAndMove) {
  int value = 0;
  platform::Thread thread("a thread with a long name", [&] { value = 1; });
  platform::Thread moved = std::move(thread);
  EXPECT_FALSE(thread.joinable());
  EXPECT_TRUE(moved.joinable());
  moved.Join();
  EXPECT_EQ(value, 1);
  thread = platform::Thread("again", [&] { value = 2; });
  thread.Join();
  EXPECT_EQ(value, 2);
}

TEST(Platform, ConditionVariables) {
  platform::Mutex mutex;
  platform::ConditionVariable condition;
  int turn = 0;
  platform::Thread other("other", [&] {
    platform::MutexLock lock(mutex);
    while (turn != 1) condition.Wait(mutex);
    turn = 2;
    condition.NotifyAll();
  });
  {
    platform::MutexLock lock(mutex);
    turn = 1;
    condition.NotifyOne();
    while (turn != 2) condition.Wait(mutex);
    const uint64_t start = platform::NowNanos();
    EXPECT_FALSE(condition.WaitFor(mutex, 2'000'000));
    EXPECT_GE(platform::NowNanos() - start, 2'000'000u);
    EXPECT_FALSE(platform::Thread().joinable());
  }
  other.Join();
  EXPECT_TRUE(mutex.TryLock());
  mutex.Unlock();
}

// ---- Faults

class Faults : public ::testing::Test {
 protected:
  void SetUp() override { platform::faults::Reset(); }
  void TearDown() override { platform::faults::Reset(); }
};

using platform::faults::FailNth;
using platform::faults::Request;

TEST_F(Faults, RefuseTheNthRequestOnly) {
  FailNth(Request::kRaw, 2, false);
  void* first = platform::AllocateRaw(16);
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(platform::AllocateRaw(16), nullptr);
  void* third = platform::AllocateRaw(16);
  EXPECT_NE(third, nullptr);
  EXPECT_EQ(platform::faults::Count(Request::kRaw), 3u);
  platform::FreeRaw(first);
  platform::FreeRaw(third);
}

TEST_F(Faults, RefuseAllAfter) {
  FailNth(Request::kMapZeroed, 1, true);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(platform::MapZeroed(4096), nullptr);
  platform::faults::Reset();
  void* memory = platform::MapZeroed(4096);
  EXPECT_NE(memory, nullptr);
  platform::Unmap(memory, 4096);
  EXPECT_EQ(platform::faults::Count(Request::kMapZeroed), 0u);
}

TEST_F(Faults, EachKindIsItsOwn) {
  FailNth(Request::kReserve, 1, false);
  FailNth(Request::kCommit, 1, false);
  EXPECT_EQ(platform::Reserve(kMiB, 4096), nullptr);
  void* memory = platform::Reserve(kMiB, 4096);
  ASSERT_NE(memory, nullptr);
  EXPECT_FALSE(platform::Commit(memory, kMiB));
  EXPECT_TRUE(platform::Commit(memory, kMiB));
  void* raw = platform::AllocateRaw(1);
  EXPECT_NE(raw, nullptr);
  platform::FreeRaw(raw);
  platform::Unmap(memory, kMiB);
}

TEST_F(Faults, CountWithoutRefusing) {
  FailNth(Request::kRaw, UINT64_MAX, false);
  for (int i = 0; i < 5; ++i) platform::FreeRaw(platform::AllocateRaw(8));
  EXPECT_EQ(platform::faults::Count(Request::kRaw), 5u);
}

// ---- FunctionRef

int Twice(int x) { return 2 * x; }

int Apply(FunctionRef<int(int)> fn, int x) { return fn(x); }

TEST(FunctionRef, RefersToWhateverCanBeCalled) {
  int calls = 0;
  EXPECT_EQ(Apply([&](int x) { return ++calls, x + 1; }, 1), 2);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(Apply(Twice, 4), 8);
  const auto constant = [](int) { return 5; };
  EXPECT_EQ(Apply(constant, 0), 5);
  FunctionRef<int(int)> copy = constant;
  FunctionRef<int(int)> again = copy;
  EXPECT_EQ(again(0), 5);
}

using PlatformDeathTest = ::testing::Test;

TEST(PlatformDeathTest, FatalSaysWhy) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Fatal("the %s is %d", "answer", 42), "atoll: the answer is 42");
  EXPECT_DEATH(ATOLL_CHECK(1 == 2, "no"), "atoll: no");
}

}  // namespace
}  // namespace Atoll
