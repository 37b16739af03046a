// Layer: safepoint
#ifndef ATOLL_FENCE_H_
#define ATOLL_FENCE_H_

#include <atomic>
#include <cstdint>

#include "atoll/config.h"
#include "atoll/schedule_point.h"

/// A pair of fences for store-then-load protocols of which one side is hot and the other rare.
///
///   hot side:   store A; LightFence(); load B        rare side:  store B; HeavyFence(); load A
///
/// At least one side sees the other's store. The light side costs a compiler barrier and one load
/// of a flag; the heavy side runs a barrier on every core that runs a thread of this process (the
/// membarrier system call, PRIVATE_EXPEDITED: 0.3 us with the other cores idle, about 20 us else).
/// Where the kernel refuses membarrier, and under ThreadSanitizer (which understands neither
/// membarrier nor fences), both sides pay a full barrier. Which it is, is settled once, before
/// the first SafepointManager is constructed.
///
/// Source: asymmetric Dekker synchronisation (Dice, Huang, Yang 2001), sys_membarrier(2).

namespace Atoll::platform {

/// How LightFence() is done in this process.
enum class FenceMode : uint8_t {
  kFull,        ///< both sides fence for themselves: the safe state before start-up, and fallback
  kAsymmetric,  ///< the heavy side does it for both
};

namespace fence_internal {
/// Read by every light fence. Relaxed: written once, before any thread uses a protocol.
extern std::atomic<FenceMode> mode;
/// The word that both sides modify under ThreadSanitizer, so that one is ordered after the other.
extern std::atomic<uint32_t> tsan_word;
}  // namespace fence_internal

/// Chooses the mode and registers the process with the kernel. Idempotent, any thread.
/// SafepointManager's constructor calls it.
void InitializeFences();

/// For tests: forces the fallback (or the mode that InitializeFences found). No protocol may be
/// running.
void ForceFullFencesForTesting(bool force);

/// The rare side. After it returns, every other thread either has its earlier stores visible to
/// the caller, or will see the caller's earlier stores at its next light fence.
void HeavyFence();

/// The hot side.
ATOLL_ALWAYS_INLINE void LightFence() {
#if ATOLL_TSAN
  fence_internal::tsan_word.fetch_add(1, std::memory_order_seq_cst);
#else
  if (ATOLL_LIKELY(fence_internal::mode.load(std::memory_order_relaxed) ==
                   FenceMode::kAsymmetric)) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
#endif
}

}  // namespace Atoll::platform

#endif  // ATOLL_FENCE_H_
