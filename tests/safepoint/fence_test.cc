#include "atoll/fence.h"

#include <gtest/gtest.h>

#include "safepoint/platform.h"

namespace Atoll {
namespace {

/// The store-then-load litmus test: with the fences, never do both sides miss the other's store.
void RunLitmus(int rounds) {
  struct alignas(128) Line {
    std::atomic<int> value{0};
  };
  Line hot;
  Line rare;
  Line hot_saw;
  Line round;
  Line done;
  platform::Thread other("hot side", [&] {
    for (int i = 1; i <= rounds; ++i) {
      while (round.value.load(std::memory_order_acquire) < i) platform::SpinPause();
      hot.value.store(i, std::memory_order_relaxed);
      platform::LightFence();
      hot_saw.value.store(rare.value.load(std::memory_order_relaxed), std::memory_order_relaxed);
      done.value.store(i, std::memory_order_release);
    }
  });
  for (int i = 1; i <= rounds; ++i) {
    round.value.store(i, std::memory_order_release);
    for (int spin = 0; spin < i % 64; ++spin) platform::SpinPause();
    rare.value.store(i, std::memory_order_relaxed);
    platform::HeavyFence();
    const int saw = hot.value.load(std::memory_order_relaxed);
    while (done.value.load(std::memory_order_acquire) < i) platform::YieldThread();
    EXPECT_TRUE(saw == i || hot_saw.value.load(std::memory_order_relaxed) == i)
        << "both sides missed the other's store in round " << i;
  }
  other.Join();
}

TEST(Fence, OneSideSeesTheOther) {
  platform::InitializeFences();
  RunLitmus(2000);
}

TEST(Fence, TheFallbackToo) {
  platform::ForceFullFencesForTesting(true);
  RunLitmus(2000);
  platform::ForceFullFencesForTesting(false);
}

}  // namespace
}  // namespace Atoll
