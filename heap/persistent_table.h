#ifndef ATOLL_HEAP_PERSISTENT_TABLE_H_
#define ATOLL_HEAP_PERSISTENT_TABLE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "atoll/ref.h"
#include "safepoint/platform.h"

namespace Atoll {

/// The persistent handles of one region, strong and weak. Shared with the handles, so that they
/// may outlive the region. Making, reading and ending handles locks.
class PersistentTable {
 public:
  struct Entry {
    Word word = 0;
    bool used = false;
    bool weak = false;
  };

  uint32_t Add(Ref value, bool weak) {
    platform::MutexLock lock(mutex_);
    uint32_t index;
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else {
      if (!entries_) entries_.emplace();
      index = static_cast<uint32_t>(entries_->size());
      entries_->emplace_back();
    }
    (*entries_)[index] = Entry{closed_ ? 0 : value.word, true, weak};
    used_.fetch_add(1, std::memory_order_relaxed);  // see any_used
    return index;
  }
  void Remove(uint32_t index) {
    platform::MutexLock lock(mutex_);
    (*entries_)[index] = Entry{};
    free_.push_back(index);
    used_.fetch_sub(1, std::memory_order_relaxed);  // see any_used
  }
  /// A deque's elements stay where they are, but its index must be read under the lock.
  Entry& at(uint32_t index) {
    platform::MutexLock lock(mutex_);
    return (*entries_)[index];
  }
  /// Whether there are handles. Relaxed: who makes and ends one tells the asker in his own way.
  bool any_used() const { return used_.load(std::memory_order_relaxed) != 0; }
  /// Calls fn(Slot) for each strong (or weak) entry. At a safepoint of the region.
  template <typename Fn>
  void ForEach(bool weak, Fn fn) {
    platform::MutexLock lock(mutex_);
    if (!entries_) return;
    for (Entry& entry : *entries_) {
      if (entry.used && entry.weak == weak) fn(Slot(&entry.word));
    }
  }
  /// The region is gone, or given away: all handles hold the zero word from now on.
  void Clear(bool close) {
    platform::MutexLock lock(mutex_);
    closed_ |= close;
    if (!entries_) return;
    for (Entry& entry : *entries_) entry.word = 0;
  }

 private:
  platform::Mutex mutex_;
  std::optional<std::deque<Entry>> entries_;  // from the first handle on: most regions have none
  std::vector<uint32_t> free_;
  std::atomic<uint32_t> used_{0};
  bool closed_ = false;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_PERSISTENT_TABLE_H_
