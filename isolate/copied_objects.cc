#include "isolate/copied_objects.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "gc/area_prefetch.h"

namespace Atoll {

CopiedObjects::~CopiedObjects() {
  FreeSlabs(slabs_);
  if (table_ != nullptr) allocator_.Free(table_, capacity_ * sizeof(Entry));
}

void CopiedObjects::Clear() {
  if (few_count_ <= kFew) {
    few_count_ = 0;
    return;
  }
  few_count_ = 0;
  size_t kept = 0;
  for (Slab** slab = &slabs_; *slab != nullptr; slab = &(*slab)->next) {
    kept += (*slab)->capacity;
    if (kept <= kMostKeptMaps) continue;
    FreeSlabs(*slab);
    *slab = nullptr;
    break;
  }
  slab_ = nullptr;
  if (!second_in_unit_.empty()) second_in_unit_.clear();
  entries_ = 0;
  if (capacity_ > kMostKeptCapacity) {
    allocator_.Free(table_, capacity_ * sizeof(Entry));
    table_ = nullptr;
    capacity_ = mask_ = 0;
  }
  epoch_ += uint64_t{1} << 32;
  if (epoch_ == 0) {  // all numbers were used: those in the table are, too
    epoch_ = uint64_t{1} << 32;
    std::fill_n(table_, capacity_, Entry{});
  }
}

// `object` is about to be copied, and its word of bits is empty.
void CopiedObjects::PrefetchAreaOf(uintptr_t object, const BlockMap& map) {
  const uintptr_t area = object & ~(kPrefetchArea - 1);
  const uint64_t* const words = &map.copied[(area & (kBlockSize - 1)) / kGranule / 64];
  for (size_t i = 0; i < kPrefetchArea / kGranule / 64; ++i) {
    if (words[i] != 0) return;
  }
  PrefetchArea(area);
}

void CopiedObjects::FreeSlabs(Slab* first) {
  while (first != nullptr) {
    Slab* const slab = first;
    first = slab->next;
    allocator_.Free(slab, Slab::Bytes(slab->capacity));
  }
}

bool CopiedObjects::EnterNextSlab() {
  Slab*& next = slab_ == nullptr ? slabs_ : slab_->next;
  if (next == nullptr) {
    const size_t capacity = slab_ == nullptr ? kFirstSlab : 2 * slab_->capacity;
    auto* slab = static_cast<Slab*>(allocator_.Allocate(Slab::Bytes(capacity)));
    if (slab == nullptr) return false;
    slab->next = nullptr;
    slab->capacity = capacity;
    next = slab;
  }
  slab_ = next;
  maps_in_slab_ = 0;
  return true;
}

CopiedObjects::BlockMap* CopiedObjects::TakeMap() {
  if ((slab_ == nullptr || maps_in_slab_ == slab_->capacity) && !EnterNextSlab()) return nullptr;
  BlockMap* const map = &slab_->maps()[maps_in_slab_++];
  std::memset(map->copied, 0, sizeof map->copied);
  return map;
}

// The entry of `key`, or the empty one where it belongs.
CopiedObjects::Entry* CopiedObjects::Probe(uint64_t key) const {
  uint64_t at = Home(key);
  while (table_[at].key != key && table_[at].key >> 32 == key >> 32) at = (at + 1) & mask_;
  return &table_[at];
}

const CopiedObjects::Entry* CopiedObjects::Look(uint64_t key) const {
  const Entry* entry = Probe(key);
  return entry->key == key ? entry : nullptr;
}

bool CopiedObjects::Grow(size_t capacity) {
  auto* table = static_cast<Entry*>(allocator_.AllocateZeroed(capacity * sizeof(Entry)));
  if (table == nullptr) return false;
  Entry* const old_table = table_;
  const size_t old_capacity = capacity_;
  table_ = table;
  capacity_ = capacity;
  mask_ = capacity - 1;
  home_shift_ = 32 - std::countr_zero(capacity);
  for (size_t i = 0; i < old_capacity; ++i) {
    const Entry& entry = old_table[i];
    if (entry.key >> 32 == epoch_ >> 32) *Probe(entry.key) = entry;
  }
  if (old_table != nullptr) allocator_.Free(old_table, old_capacity * sizeof(Entry));
  return true;
}

// The entry of `key`; if there is none, a new one. Null: no memory.
const CopiedObjects::Entry* CopiedObjects::FindOrAdd(uint64_t key, bool is_shared) {
  Entry* entry = Probe(key);
  if (entry->key == key) return entry;
  if (2 * (entries_ + 1) > capacity_) {
    if (!Grow(2 * capacity_)) return nullptr;
    entry = Probe(key);
  }
  BlockMap* map = nullptr;
  if (!is_shared) {
    map = TakeMap();
    if (map == nullptr) return nullptr;
  }
  *entry = {key, map};
  ++entries_;
  return entry;
}

const CopiedObjects::Entry* CopiedObjects::FindSlow(uint64_t key) {
  return FindOrAdd(key, IsShared(key & UINT32_MAX));
}

bool CopiedObjects::InsertFirstOfMany(uintptr_t object, uint32_t destination) {
  if (table_ == nullptr && !Grow(kFirstCapacity)) return false;
  auto insert = [this](uintptr_t address, uint32_t to) {
    // Not by its tag: it may have become shared since it was copied.
    const Entry* entry = FindOrAdd(epoch_ | address >> kBlockShift, /*is_shared=*/false);
    if (entry == nullptr) return false;
    InsertInto(address, *entry->map, static_cast<uint32_t>((address & (kBlockSize - 1)) / kGranule),
               to);
    return true;
  };
  few_count_ = kMany;
  for (uint32_t i = 0; i < kFew; ++i) {
    if (!insert(few_[i], few_destinations_[i])) return false;
  }
  return insert(object, destination);
}

uint32_t CopiedObjects::FindSecond(uintptr_t object) const {
  const auto found = second_in_unit_.find(object);
  if (found != second_in_unit_.end()) return found->second;
  const Entry* entry = Look(epoch_ | object >> kBlockShift);
  return entry->map->destinations[(object & (kBlockSize - 1)) >> BlockMap::kUnitShift];
}

bool CopiedObjects::Contains(uintptr_t object) const {
  if (few_count_ <= kFew) return std::count(few_, few_ + few_count_, object) != 0;
  const Entry* entry = Look(epoch_ | object >> kBlockShift);
  if (entry == nullptr || entry->map == nullptr) return false;
  const size_t granule = (object & (kBlockSize - 1)) / kGranule;
  return (entry->map->copied[granule / 64] >> (granule % 64) & 1) != 0;
}

}  // namespace Atoll
