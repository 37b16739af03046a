#include "isolate/published_set.h"

#include <utility>

#include "atoll/schedule_point.h"

namespace Atoll {

// Everything relaxed below: written by one thread at a time, which has seen its own writes and,
// through the lock that lets it in, those of whoever added before.

bool PublishedSet::Reserve() {
  Table* old = table_.load(std::memory_order_relaxed);
  const size_t capacity = old == nullptr ? 0 : old->mask + 1;
  if ((count() + 1) * 2 <= capacity) return true;
  const size_t wanted = capacity == 0 ? kFirstEntries : capacity * 2;
  auto* table = static_cast<Table*>(allocator_.AllocateZeroed(BytesOf(wanted)));
  if (table == nullptr) return false;
  bytes_.fetch_add(BytesOf(wanted), std::memory_order_relaxed);
  table->mask = wanted - 1;
  table->older = old;
  for (size_t at = 0; at < capacity; ++at) {
    const Entry& entry = old->entries[at];
    const uintptr_t item = entry.item.load(std::memory_order_relaxed);
    if (item != 0) Put(*table, entry.hash, item);
  }
  ATOLL_SCHEDULE_POINT("published set: before the larger table");
  // Release: see Find.
  table_.store(table, std::memory_order_release);
  return true;
}

void PublishedSet::Add(uint64_t hash, uintptr_t item) {
  Put(*table_.load(std::memory_order_relaxed), hash, item);
  count_.store(count() + 1, std::memory_order_relaxed);
}

void PublishedSet::Put(Table& table, uint64_t hash, uintptr_t item) {
  size_t at = hash & table.mask;
  while (table.entries[at].item.load(std::memory_order_relaxed) != 0) at = (at + 1) & table.mask;
  table.entries[at].hash = hash;
  ATOLL_SCHEDULE_POINT("published set: before the item");
  // Release: see Find.
  table.entries[at].item.store(item, std::memory_order_release);
}

void PublishedSet::Clear() {
  FreeTables();
  table_.store(nullptr, std::memory_order_relaxed);
  count_.store(0, std::memory_order_relaxed);
}

void PublishedSet::FreeOlderThan(Table& table) {
  for (Table* old = std::exchange(table.older, nullptr); old != nullptr;) {
    Table* older = old->older;
    allocator_.Free(old, BytesOf(old->mask + 1));
    old = older;
  }
  bytes_.store(BytesOf(table.mask + 1), std::memory_order_relaxed);
}

void PublishedSet::FreeTables() {
  Table* table = table_.load(std::memory_order_relaxed);
  if (table == nullptr) return;
  FreeOlderThan(*table);
  allocator_.Free(table, BytesOf(table->mask + 1));
  bytes_.store(0, std::memory_order_relaxed);
}

}  // namespace Atoll
