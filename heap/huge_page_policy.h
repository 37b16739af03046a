#ifndef ATOLL_HEAP_HUGE_PAGE_POLICY_H_
#define ATOLL_HEAP_HUGE_PAGE_POLICY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace Atoll {

/// Shall the next chunk of a heap be a huge page? Its first touch takes about 0.2 ms where the
/// system has free ones, and 0.8 ms by small pages; but where the host of a virtual machine takes
/// free huge pages away, 4.6 ms. So a slow one is followed by small ones for a while, longer each
/// time.
///
/// Not synchronized.
class HugePagePolicy {
 public:
  static constexpr size_t kFromBytes = size_t{16} << 20;
  static constexpr uint64_t kSlowNanos = 1'000'000;
  static constexpr uint32_t kFirstPause = 32;  // chunks
  static constexpr uint32_t kLongestPause = 1024;

  /// For one more chunk of a heap of `mapped_bytes`.
  bool Wants(size_t mapped_bytes) {
    if (mapped_bytes < kFromBytes) return false;
    if (left_out_ == 0) return true;
    --left_out_;
    return false;
  }
  /// How long the first touch of a chunk took that was wanted huge.
  void NoteFirstTouch(uint64_t nanos) {
    if (nanos < kSlowNanos) {
      pause_ = kFirstPause;
      return;
    }
    left_out_ = pause_;
    pause_ = std::min(2 * pause_, kLongestPause);
  }

 private:
  uint32_t pause_ = kFirstPause;  // after the next slow one
  uint32_t left_out_ = 0;         // chunks that are still to be of small pages
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_HUGE_PAGE_POLICY_H_
