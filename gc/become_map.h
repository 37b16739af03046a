#ifndef ATOLL_GC_BECOME_MAP_H_
#define ATOLL_GC_BECOME_MAP_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "heap/group_allocator.h"

namespace Atoll {

struct RegionState;

/// Addresses, with what a Become knows of each: a hash table with open addressing, at most half
/// full, made once. Not synchronized; any number of threads may Find.
class BecomeMap {
 public:
  struct Entry {
    uintptr_t address;             // 0: free
    uintptr_t target = 0;          // what it becomes; 0: it is only an `after`
    RegionState* owner = nullptr;  // null: the group, or not known
    size_t index = 0;              // of the pair that it is `before` in, or the last `after`
    bool is_after = false;
    bool is_there = false;  // an object starts there
  };

  explicit BecomeMap(GroupAllocator& allocator) : allocator_(allocator) {}
  ~BecomeMap() {
    if (entries_ != nullptr) allocator_.Free(entries_, (mask_ + 1) * sizeof(Entry));
  }
  BecomeMap(const BecomeMap&) = delete;
  BecomeMap& operator=(const BecomeMap&) = delete;

  /// For so many addresses; once. False: memory is refused.
  [[nodiscard]] bool Reserve(size_t addresses) {
    const size_t capacity = std::bit_ceil(2 * addresses + 2);
    entries_ = static_cast<Entry*>(allocator_.AllocateZeroed(capacity * sizeof(Entry)));
    mask_ = capacity - 1;
    return entries_ != nullptr;
  }
  Entry* Find(uintptr_t address) const {
    for (size_t at = Home(address);; at = (at + 1) & mask_) {
      if (entries_[at].address == address) return &entries_[at];
      if (entries_[at].address == 0) return nullptr;
    }
  }
  /// The entry of the address, zero but for that if it is new.
  Entry& FindOrAdd(uintptr_t address) {
    size_t at = Home(address);
    while (entries_[at].address != 0 && entries_[at].address != address) at = (at + 1) & mask_;
    entries_[at].address = address;
    return entries_[at];
  }
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (size_t at = 0; at <= mask_; ++at) {
      if (entries_[at].address != 0) fn(entries_[at]);
    }
  }

 private:
  // By the golden ratio: addresses are multiples of 8, and lie side by side.
  size_t Home(uintptr_t address) const { return address * 0x9E3779B97F4A7C15u >> 20 & mask_; }

  GroupAllocator& allocator_;
  Entry* entries_ = nullptr;
  size_t mask_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_GC_BECOME_MAP_H_
