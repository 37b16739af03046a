// Which objects have been copied, and where to? Kept beside the objects: their headers stay as they
// are, so that a stop in the middle of a copy finds a heap that can be verified, and a copy that
// fails has nothing to undo.
//
// The first few objects are a list that is searched. From then on each block that holds objects of
// the graph has a BlockMap, found through a hash table by block number:
//
//   copied        512 B   a bit per 8 bytes: an object that starts there has been copied
//   destinations  8 KiB   where to, one per 16 bytes; only read where the bit is set, so only the
//                         bits are cleared before a map is used again
//
// What lies side by side is mostly copied soon after each other, but back and forth, which is no
// pattern for the processor: the first object of an area of 2 KiB has all of the area prefetched.
//
// Of two objects that start within the same 16 bytes (the first is a header and nothing else), the
// one that comes second is in a table of its own.
#ifndef ATOLL_ISOLATE_COPIED_OBJECTS_H_
#define ATOLL_ISOLATE_COPIED_OBJECTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "atoll/config.h"
#include "atoll/layout.h"
#include "heap/address_space.h"
#include "heap/group_allocator.h"

namespace Atoll {

/// Objects by address, with a 32-bit number each that says where the copy is. Reusable: keeps some
/// memory from one copy to the next. Not synchronized.
class CopiedObjects {
 public:
  struct BlockMap {
    static constexpr int kUnitShift = 4;
    uint64_t copied[kBlockSize / kGranule / 64];
    uint32_t destinations[kBlockSize >> kUnitShift];
  };
  enum class Answer : uint8_t {
    kNew,      ///< not copied yet: `place` is for Insert
    kCopied,   ///< place->destination says where
    kShared,   ///< in the Shared or Program space
    kRefused,  ///< no memory to look it up in
  };
  struct Place {
    BlockMap* map = nullptr;
    uint32_t granule = 0;
    uint32_t destination = 0;
  };

  CopiedObjects(const AddressSpace& space, GroupAllocator& allocator)
      : tags_(space.biased_tags()), allocator_(allocator) {}
  ~CopiedObjects();
  CopiedObjects(const CopiedObjects&) = delete;
  CopiedObjects& operator=(const CopiedObjects&) = delete;

  /// Forgets everything; keeps the table and the maps up to some size. O(1) after a small copy.
  void Clear();

  /// `object` lies in the reservation.
  ATOLL_ALWAYS_INLINE Answer Find(uintptr_t object, Place* place) {
    if (few_count_ <= kFew) return FindAmongFew(object, place);
    const uint64_t key = epoch_ | object >> kBlockShift;
    const Entry* entry = &table_[Home(object >> kBlockShift)];
    if (ATOLL_UNLIKELY(entry->key != key)) {
      entry = FindSlow(key);
      if (entry == nullptr) return Answer::kRefused;
    }
    BlockMap* const map = entry->map;
    if (ATOLL_UNLIKELY(map == nullptr)) return Answer::kShared;
    const auto granule = static_cast<uint32_t>((object & (kBlockSize - 1)) / kGranule);
    place->map = map;
    place->granule = granule;
    const uint64_t copied = map->copied[granule / 64];
    if ((copied >> (granule % 64) & 1) == 0) {
      if (ATOLL_UNLIKELY(copied == 0)) PrefetchAreaOf(object, *map);
      return Answer::kNew;
    }
    place->destination = map->destinations[granule / 2];
    if (ATOLL_UNLIKELY(NeighbourIsCopied(*map, granule))) place->destination = FindSecond(object);
    return Answer::kCopied;
  }
  /// After Find has said kNew of `object`, and before it is asked again. False: no memory.
  [[nodiscard]] ATOLL_ALWAYS_INLINE bool Insert(uintptr_t object, const Place& place,
                                                uint32_t destination) {
    if (few_count_ <= kFew) return InsertAmongFew(object, destination);
    InsertInto(object, *place.map, place.granule, destination);
    return true;
  }
  /// Whether it has been copied; takes no memory.
  bool Contains(uintptr_t object) const;

 private:
  static constexpr uint32_t kFew = 16;
  static constexpr uint32_t kMany = kFew + 1;  // few_count_ once maps are used
  static constexpr size_t kFirstSlab = 16;
  static constexpr size_t kMostKeptMaps = 128;
  static constexpr size_t kFirstCapacity = 64;
  static constexpr size_t kMostKeptCapacity = 4096;

  // Maps come in slabs, each twice as large as the one before it: one by one, most would be memory
  // that the system has to map anew for each copy.
  struct Slab {
    Slab* next;
    size_t capacity;

    BlockMap* maps() { return reinterpret_cast<BlockMap*>(this + 1); }
    static size_t Bytes(size_t capacity) { return sizeof(Slab) + capacity * sizeof(BlockMap); }
  };

  // An entry whose epoch is not the current one is empty.
  struct Entry {
    uint64_t key;   // epoch in the high half, address >> kBlockShift in the low
    BlockMap* map;  // null: the block is shared
  };

  // By the golden ratio: blocks in a row do not meet, nor do several rows pile up.
  ATOLL_ALWAYS_INLINE size_t Home(uint64_t key) const {
    return static_cast<uint32_t>(key) * uint32_t{0x9E3779B1} >> home_shift_;
  }
  ATOLL_ALWAYS_INLINE Answer FindAmongFew(uintptr_t object, Place* place) {
    for (uint32_t i = 0; i < few_count_; ++i) {
      if (few_[i] != object) continue;
      place->destination = few_destinations_[i];
      return Answer::kCopied;
    }
    return IsShared(object >> kBlockShift) ? Answer::kShared : Answer::kNew;
  }
  // A large object, which has its block to itself, may become shared at any time; then it is either
  // copied or referred to, and stays what it was found to be, for the copies agree with each other.
  ATOLL_ALWAYS_INLINE bool IsShared(uintptr_t biased_block) const {
    // Relaxed: nothing of the object is read that was written when it became shared.
    const uint32_t tag =
        std::atomic_ref<uint32_t>(tags_[biased_block]).load(std::memory_order_relaxed);
    return (tag & tag::kShared) != 0;
  }
  ATOLL_ALWAYS_INLINE bool InsertAmongFew(uintptr_t object, uint32_t destination) {
    if (ATOLL_UNLIKELY(few_count_ == kFew)) return InsertFirstOfMany(object, destination);
    few_[few_count_] = object;
    few_destinations_[few_count_] = destination;
    ++few_count_;
    return true;
  }
  ATOLL_ALWAYS_INLINE void InsertInto(uintptr_t object, BlockMap& map, uint32_t granule,
                                      uint32_t destination) {
    map.copied[granule / 64] |= uint64_t{1} << (granule % 64);
    if (ATOLL_UNLIKELY(NeighbourIsCopied(map, granule))) {
      second_in_unit_[object] = destination;
    } else {
      map.destinations[granule / 2] = destination;
    }
  }
  // Whether an object that starts in the other half of the same 16 bytes has been copied.
  static bool NeighbourIsCopied(const BlockMap& map, uint32_t granule) {
    return (map.copied[granule / 64] >> ((granule ^ 1) % 64) & 1) != 0;
  }

  static void PrefetchAreaOf(uintptr_t object, const BlockMap& map);
  ATOLL_COLD bool InsertFirstOfMany(uintptr_t object, uint32_t destination);
  ATOLL_COLD const Entry* FindSlow(uint64_t key);
  const Entry* FindOrAdd(uint64_t key, bool is_shared);
  ATOLL_COLD uint32_t FindSecond(uintptr_t object) const;
  const Entry* Look(uint64_t key) const;
  Entry* Probe(uint64_t key) const;
  bool Grow(size_t capacity);
  BlockMap* TakeMap();
  bool EnterNextSlab();
  void FreeSlabs(Slab* first);

  uint32_t* const tags_;  // biased, as in AddressSpace
  GroupAllocator& allocator_;
  uint32_t few_count_ = 0;  // kMany: maps are used instead
  uintptr_t few_[kFew];
  uint32_t few_destinations_[kFew];

  uint64_t epoch_ = uint64_t{1} << 32;
  uint64_t mask_ = 0;
  int home_shift_ = 0;      // 32 - log2(capacity_)
  Entry* table_ = nullptr;  // linear probing, at most half full
  size_t capacity_ = 0;
  size_t entries_ = 0;
  Slab* slabs_ = nullptr;    // the oldest, and smallest, first
  Slab* slab_ = nullptr;     // that maps are taken from
  size_t maps_in_slab_ = 0;  // those taken
  std::unordered_map<uintptr_t, uint32_t> second_in_unit_;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_COPIED_OBJECTS_H_
