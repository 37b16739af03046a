// What is still to be scanned, and how collecting threads share it.
#ifndef ATOLL_GC_MARK_STACK_H_
#define ATOLL_GC_MARK_STACK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "atoll/config.h"
#include "heap/group_allocator.h"
#include "safepoint/platform.h"

namespace Atoll {

/// What waits to be traced: an address in the low 48 bits, whose last three say what it is (see
/// Tracer), and above it a number that stands for a piece of a large array.
using MarkEntry = uint64_t;

/// A last-in-first-out stack in segments, one per collecting thread. The first segment is its own,
/// so that tracing gets on even when all memory is refused; TryPush beyond it may be refused.
class MarkStack {
 public:
  struct Segment {
    static constexpr size_t kEntries = 510;
    Segment* next;
    size_t count;  // while it is not the one at hand
    MarkEntry entries[kEntries];
  };
  /// The segment at hand. A loop that pushes and pops much borrows it, to have it in registers.
  struct Top {
    MarkEntry* next;
    MarkEntry* begin;
    MarkEntry* end;

    ATOLL_ALWAYS_INLINE bool Push(MarkEntry entry) {
      if (ATOLL_UNLIKELY(next == end)) return false;
      *next++ = entry;
      return true;
    }
    ATOLL_ALWAYS_INLINE bool Pop(MarkEntry* entry) {
      if (ATOLL_UNLIKELY(next == begin)) return false;
      *entry = *--next;
      return true;
    }
  };

  explicit MarkStack(GroupAllocator& allocator) : allocator_(allocator) {
    first_.next = nullptr;
    Enter(&first_, 0);
  }
  ~MarkStack() {
    while (head_ != &first_) {
      Segment* segment = head_;
      head_ = segment->next;
      allocator_.Free(segment, sizeof(Segment));
    }
    if (spare_ != nullptr) allocator_.Free(spare_, sizeof(Segment));
  }
  MarkStack(const MarkStack&) = delete;
  MarkStack& operator=(const MarkStack&) = delete;

  bool TryPush(MarkEntry entry) {
    return ATOLL_LIKELY(top_.Push(entry)) || (AddSegment() && top_.Push(entry));
  }
  bool Pop(MarkEntry* entry) {
    return ATOLL_LIKELY(top_.Pop(entry)) || (DropSegment() && top_.Pop(entry));
  }

  /// Until it is returned, nothing else is called.
  Top Borrow() const { return top_; }
  void Return(const Top& top) { top_ = top; }

  /// Work for another thread: a whole segment, or the older half of the only one, which stands for
  /// the larger subgraphs. Null when there is too little, or no memory.
  Segment* Split();
  void Take(Segment* segment);

 private:
  bool AddSegment();
  /// From an empty segment to one that is not; false if there is none.
  bool DropSegment();
  void Enter(Segment* segment, size_t count) {
    head_ = segment;
    top_ = {segment->entries + count, segment->entries, segment->entries + Segment::kEntries};
  }
  size_t Count() const { return static_cast<size_t>(top_.next - top_.begin); }

  GroupAllocator& allocator_;
  Segment* head_ = &first_;
  Top top_;  // of head_
  Segment* spare_ = nullptr;
  Segment first_;  // always the last of the list; its entries are not initialized
};

/// The meeting place of one collection's threads: work to be had, and who has none. Threads may
/// join late, or not at all: the work ends when all that have joined are idle and none is left.
class WorkSharing {
 public:
  /// Called by a thread before its first GetWork.
  void Join();
  /// True: `stack` has work. False: all is done. Spins for a short while, then waits.
  bool GetWork(MarkStack& stack);
  /// Somebody waits: give, if there is something to give.
  // Relaxed: a hint.
  bool IsWanted() const { return idle_hint_.load(std::memory_order_relaxed) > available_hint(); }
  void Give(MarkStack& stack);
  /// Begins again, when all threads have left.
  void Reset();

 private:
  int available_hint() const { return available_.load(std::memory_order_relaxed); }

  platform::Mutex mutex_;
  platform::ConditionVariable changed_;
  MarkStack::Segment* list_ = nullptr;
  int joined_ = 0;
  int idle_ = 0;
  bool done_ = false;
  std::atomic<int> idle_hint_{0};  // idle_, for those who do not hold the mutex
  std::atomic<int> available_{0};  // segments in list_; the same
};

}  // namespace Atoll

#endif  // ATOLL_GC_MARK_STACK_H_
