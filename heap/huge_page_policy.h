#ifndef ATOLL_HEAP_HUGE_PAGE_POLICY_H_
#define ATOLL_HEAP_HUGE_PAGE_POLICY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace Atoll {

/// Shall the next chunk of a heap be a huge page? What the first touch of one costs differs by a
/// factor of fifty: it is cheap where the system has free ones, and dear where the host of a
/// virtual machine has to find memory for them first; small pages differ by six. So both are timed,
/// and a huge page that took much longer than small ones is followed by these for a while, longer
/// each time. The figures are in docs/decisions.md.
///
/// Not synchronized.
class HugePagePolicy {
 public:
  static constexpr size_t kFromBytes = size_t{4} << 20;
  static constexpr uint64_t kSlowFactor = 2;
  static constexpr int kSlowInARow = 2;        // one may have been interrupted
  static constexpr uint32_t kFirstPause = 32;  // chunks
  static constexpr uint32_t kLongestPause = 1024;

  /// Is one more chunk of a heap of `mapped_bytes` worth timing? If not, small pages will do.
  static bool Matters(size_t mapped_bytes) { return mapped_bytes >= kFromBytes; }
  /// For one more chunk that matters.
  bool Wants() {
    if (small_nanos_ == 0) return false;  // the first tells what small pages cost
    if (left_out_ == 0) return true;
    --left_out_;
    return false;
  }
  /// How long the first touch of all of a chunk's small pages took.
  void NoteSmallPages(uint64_t nanos) { small_nanos_ = std::max<uint64_t>(nanos, 1); }
  /// How long the first touch of a chunk took that was wanted huge.
  void NoteHugePage(uint64_t nanos) {
    if (nanos <= kSlowFactor * small_nanos_) {
      slow_ = 0;
      pause_ = kFirstPause;
      return;
    }
    if (++slow_ < kSlowInARow) return;
    left_out_ = pause_;
    pause_ = std::min(2 * pause_, kLongestPause);
  }

 private:
  uint64_t small_nanos_ = 0;      // a chunk of small pages; 0: not known
  int slow_ = 0;                  // in a row
  uint32_t pause_ = kFirstPause;  // after the next slow ones
  uint32_t left_out_ = 0;         // chunks that are still to be of small pages
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_HUGE_PAGE_POLICY_H_
