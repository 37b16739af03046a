#ifndef ATOLL_ISOLATE_INITIAL_FIELDS_H_
#define ATOLL_ISOLATE_INITIAL_FIELDS_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "atoll/heap.h"
#include "atoll/status.h"
#include "safepoint/platform.h"

namespace Atoll {

class GroupAllocator;

/// The values that the program's fields have in isolates that have not written them. Entries are
/// added while isolates run, and do not move: so whoever has read the count may read all below it.
/// In segments, each as long as all before it and kFirst more.
class InitialFields {
 public:
  explicit InitialFields(GroupAllocator& allocator) : allocator_(allocator) {}
  ~InitialFields();
  InitialFields(const InitialFields&) = delete;
  InitialFields& operator=(const InitialFields&) = delete;

  /// Adds entries; the first one's index. Error: no memory, or too many; nothing is added. A lock.
  Result<size_t> Add(std::span<const Ref> values);
  /// No lock; null beyond the last.
  Ref Get(size_t index) const {
    // Acquire: the entries below the count, and their segments.
    if (index >= count_.load(std::memory_order_acquire)) return Ref{};
    // Acquire: see Set.
    return SlotOf(index).LoadAcquire();
  }
  /// Replaces an entry. No lock.
  void Set(size_t index, Ref value) {
    // Release: what refers to the value sees what it refers to as it was written before.
    SlotOf(index).StoreRawRelease(value);
  }
  size_t count() const { return count_.load(std::memory_order_acquire); }
  /// Any thread, no lock.
  void VisitRoots(RootVisitor& visitor) const;
  size_t native_bytes() const;

 private:
  static constexpr size_t kFirst = 64;
  static constexpr int kSegments = 18;
  static constexpr size_t kMaximum = kFirst * ((size_t{1} << kSegments) - 1);

  static int SegmentOf(size_t index) { return std::bit_width((index + kFirst) / kFirst) - 1; }
  static size_t SizeOfSegment(int segment) { return kFirst << segment; }
  Slot SlotOf(size_t index) const {
    const int segment = SegmentOf(index);
    return Slot(segments_[segment] + (index + kFirst - SizeOfSegment(segment)));
  }

  GroupAllocator& allocator_;
  mutable platform::Mutex mutex_;  // whoever adds
  // An entry is written before the first count that covers it is published; then only by Set.
  Word* segments_[kSegments] = {};
  // Publishes the entries below it.
  std::atomic<size_t> count_{0};
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_INITIAL_FIELDS_H_
