#include "atoll/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "safepoint/schedule.h"

namespace Atoll::platform {

namespace fence_internal {

std::atomic<FenceMode> mode{FenceMode::kFull};
std::atomic<uint32_t> tsan_word{0};

}  // namespace fence_internal

namespace {

long Membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

bool RegisterWithKernel() {
  const long supported = Membarrier(MEMBARRIER_CMD_QUERY);
  return supported > 0 && (supported & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
         Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

bool Registered() {
  // A function's static: the first caller registers, the others wait for it.
  static const bool registered = RegisterWithKernel();
  return registered;
}

void SetMode(FenceMode mode) {
  // seq_cst by default: not hot.
  fence_internal::mode.store(mode);
}

}  // namespace

void InitializeFences() {
  static const bool done = [] {
    SetMode(Registered() ? FenceMode::kAsymmetric : FenceMode::kFull);
    return true;
  }();
  static_cast<void>(done);
}

void ForceFullFencesForTesting(bool force) {
  SetMode(!force && Registered() ? FenceMode::kAsymmetric : FenceMode::kFull);
}

void HeavyFence() {
  ATOLL_SCHEDULE_POINT("heavy fence");
  if (UnderSeededScheduler()) return;  // sequentially consistent already
#if ATOLL_TSAN
  fence_internal::tsan_word.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // Relaxed: see the declaration.
  if (fence_internal::mode.load(std::memory_order_relaxed) == FenceMode::kAsymmetric) {
    ATOLL_CHECK(Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0,
                "membarrier was granted at start-up and is refused now");
  }
#endif
}

}  // namespace Atoll::platform
