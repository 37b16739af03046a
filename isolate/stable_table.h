// A growing table whose entries never move and whose memory is never unmapped while it stands, so
// that an index, or a pointer to an entry, which may be out of date can be followed without a lock:
// at worst it finds another entry's or zeroed memory, and the entry must be able to tell.
#ifndef ATOLL_ISOLATE_STABLE_TABLE_H_
#define ATOLL_ISOLATE_STABLE_TABLE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "safepoint/platform.h"

namespace Atoll {

/// T is valid when all zero, and has been made so again when its index is given back. Index 0 is
/// never given out.
template <typename T>
class StableTable {
 public:
  static constexpr size_t kSegmentBytes = size_t{1} << 18;
  // Behind a segment's entries: a stack of indices that were given back.
  static constexpr uint32_t kPerSegment = kSegmentBytes / (sizeof(T) + sizeof(uint16_t));
  static constexpr uint32_t kMaxSegments = 1u << 14;
  // The first segment is mapped alone, for a small table; then spans of segments, each as large and
  // as aligned as a huge page.
  static constexpr uint32_t kSegmentsPerSpan = platform::kHugePageBytes / kSegmentBytes;

  /// Free indices at hand, so that most takings and givings need no lock. One thread's at a time.
  class Cache {
   private:
    friend class StableTable;
    static constexpr uint32_t kCapacity = 64;
    uint32_t count_ = 0;
    uint32_t indices_[kCapacity];
  };

  explicit StableTable(bool huge_pages = false)
      : huge_pages_(huge_pages),
        directory_(static_cast<std::atomic<T*>*>(
            platform::MapZeroed(kMaxSegments * sizeof(std::atomic<T*>)))),
        max_segments_(directory_ == nullptr ? 0 : kMaxSegments) {}
  ~StableTable() {
    for (uint32_t i = 0; i < segments_.size(); i = SpanEnd(i)) {
      platform::Unmap(EntriesOf(i), SpanBytes(i));
    }
    if (directory_ != nullptr) {
      platform::Unmap(directory_, kMaxSegments * sizeof(std::atomic<T*>));
    }
  }
  StableTable(const StableTable&) = delete;
  StableTable& operator=(const StableTable&) = delete;

  /// False: there was no memory for the table, and there never will be an index.
  bool ok() const { return directory_ != nullptr; }

  /// The entry of an index that was taken some time, or null if there never was such an index.
  T* At(uint32_t index) const {
    const uint32_t segment = index / kPerSegment;
    if (ATOLL_UNLIKELY(segment >= max_segments_)) return nullptr;
    // Acquire: the segment is mapped.
    T* entries = directory_[segment].load(std::memory_order_acquire);
    return entries == nullptr ? nullptr : entries + index % kPerSegment;
  }

  /// An index whose entry is all zero; 0 when there is no memory. `cache` may be null.
  uint32_t Take(Cache* cache) {
    if (ATOLL_LIKELY(cache != nullptr && cache->count_ != 0)) {
      return cache->indices_[--cache->count_];
    }
    return TakeSlow(cache);
  }
  void Give(uint32_t index, Cache* cache) {
    if (ATOLL_LIKELY(cache != nullptr && cache->count_ != Cache::kCapacity)) {
      cache->indices_[cache->count_++] = index;
      return;
    }
    GiveSlow(index, cache);
  }
  /// Gives back all of a cache.
  void Flush(Cache& cache) {
    platform::MutexLock lock(mutex_);
    while (cache.count_ != 0) GiveLocked(cache.indices_[--cache.count_]);
  }

  /// Gives the memory of segments without a taken entry back to the system.
  void Trim() {
    platform::MutexLock lock(mutex_);
    const auto count = static_cast<uint32_t>(segments_.size());
    for (uint32_t first = 0; first < count; first = SpanEnd(first)) {
      const uint32_t end = std::min(SpanEnd(first), count);
      // A span at once, where that may be: in parts a huge page comes back as small ones.
      bool whole = true;
      bool any = false;
      for (uint32_t i = first; i < end; ++i) {
        whole = whole && segments_[i].taken == FirstOf(i);
        any = any || IsIdle(i);
      }
      if (whole && any) platform::Discard(EntriesOf(first), SpanBytes(first));
      for (uint32_t i = first; i < end; ++i) {
        if (!IsIdle(i)) continue;
        if (!whole) platform::Discard(EntriesOf(i), kSegmentBytes);
        segments_[i].stacked = 0;
        segments_[i].fresh = FirstOf(i);
      }
    }
  }

  /// Calls fn(T&) for each entry that was taken since its memory was fresh, without the table's
  /// lock.
  template <typename Fn>
  void ForEach(Fn fn) {
    for (uint32_t i = 0; i < max_segments_; ++i) {
      uint32_t fresh = 0;
      {
        platform::MutexLock lock(mutex_);
        if (i == segments_.size()) return;
        fresh = segments_[i].fresh;
      }
      T* entries = EntriesOf(i);
      for (uint32_t k = FirstOf(i); k < fresh; ++k) fn(entries[k]);
    }
  }

 private:
  static_assert(kPerSegment <= UINT16_MAX + 1u);
  struct Segment {
    uint16_t* stack = nullptr;
    uint32_t stacked = 0;
    uint32_t fresh = 0;  // entries from here on have not been taken since the memory was fresh
    uint32_t taken = 0;  // in caches, too
  };

  ATOLL_COLD uint32_t TakeSlow(Cache* cache) {
    platform::MutexLock lock(mutex_);
    const uint32_t index = TakeLocked();
    if (cache != nullptr && index != 0) {
      for (uint32_t i = 0; i < Cache::kCapacity / 2; ++i) {
        const uint32_t more = TakeLocked();
        if (more == 0) break;
        cache->indices_[cache->count_++] = more;
      }
    }
    return index;
  }
  ATOLL_COLD void GiveSlow(uint32_t index, Cache* cache) {
    platform::MutexLock lock(mutex_);
    GiveLocked(index);
    if (cache == nullptr) return;
    while (cache->count_ > Cache::kCapacity / 2) GiveLocked(cache->indices_[--cache->count_]);
  }

  uint32_t TakeLocked() {
    if (with_room_.empty() && !AddSegment()) return 0;
    const uint32_t number = with_room_.back();
    Segment& segment = segments_[number];
    const uint32_t entry =
        segment.stacked != 0 ? segment.stack[--segment.stacked] : segment.fresh++;
    if (++segment.taken == kPerSegment) with_room_.pop_back();
    return number * kPerSegment + entry;
  }
  void GiveLocked(uint32_t index) {
    const uint32_t number = index / kPerSegment;
    Segment& segment = segments_[number];
    if (segment.taken-- == kPerSegment) with_room_.push_back(number);
    segment.stack[segment.stacked++] = static_cast<uint16_t>(index % kPerSegment);
  }
  // Of the first, index 0 is taken for good.
  static uint32_t FirstOf(uint32_t segment) { return segment == 0 ? 1 : 0; }
  // Nothing is taken, but was.
  bool IsIdle(uint32_t i) const {
    return segments_[i].taken == FirstOf(i) && segments_[i].fresh != FirstOf(i);
  }
  // Of a segment that the caller knows to be there: it was under the lock, or is the only thread.
  // Relaxed: stored under the lock.
  T* EntriesOf(uint32_t segment) const {
    return directory_[segment].load(std::memory_order_relaxed);
  }
  bool AddSegment() {
    if (segments_.size() == max_segments_) return false;
    const auto number = static_cast<uint32_t>(segments_.size());
    void* memory = BeginsSpan(number)
                       ? MapSpan(number)
                       : reinterpret_cast<char*>(EntriesOf(number - 1)) + kSegmentBytes;
    if (memory == nullptr) return false;
    T* entries = static_cast<T*>(memory);
    Segment& segment = segments_.emplace_back();
    segment.stack = reinterpret_cast<uint16_t*>(entries + kPerSegment);
    segment.taken = segment.fresh = FirstOf(number);
    directory_[number].store(entries, std::memory_order_release);
    with_room_.push_back(number);
    return true;
  }

  // Spans: segment 0; segments 1 to kSegmentsPerSpan; and so on.
  static bool BeginsSpan(uint32_t segment) {
    return segment == 0 || segment % kSegmentsPerSpan == 1;
  }
  // Of the span that `first` begins.
  static uint32_t SpanEnd(uint32_t first) { return first == 0 ? 1 : first + kSegmentsPerSpan; }
  static size_t SpanBytes(uint32_t first) { return (SpanEnd(first) - first) * kSegmentBytes; }
  // Null when refused.
  void* MapSpan(uint32_t first) const {
    const size_t bytes = SpanBytes(first);
    void* span = platform::MapZeroed(bytes, bytes);
    if (span != nullptr && huge_pages_ && first != 0) platform::AdviseHugePages(span, bytes);
    return span;
  }

  const bool huge_pages_;
  std::atomic<T*>* const directory_;  // written under mutex_
  const uint32_t max_segments_;       // none when there was no memory for the directory
  platform::Mutex mutex_;             // guards what follows
  std::vector<Segment> segments_;
  std::vector<uint32_t> with_room_;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_STABLE_TABLE_H_
