#ifndef ATOLL_ISOLATE_PUBLISHED_SET_H_
#define ATOLL_ISOLATE_PUBLISHED_SET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/group_allocator.h"

namespace Atoll {

/// A hash set of addresses that is read without a lock while one thread adds to it: open
/// addressing, at most half full. What is published by an entry, as the item it points to, never
/// changes afterwards.
///
/// **An entry** is free until its item is stored, with release, behind its hash; then it stays. **A
/// full table** is copied into one of twice the size, which then takes its place; who reads the old
/// one finds all that was there, and misses what was added since: as if it had looked earlier. (Who
/// has been told of an item has been told of the table that holds it.) Old tables, at most as much
/// memory as the new one in all, are kept until nobody reads: RemoveUnless, Clear, or the end.
class PublishedSet {
 public:
  explicit PublishedSet(GroupAllocator& allocator) : allocator_(allocator) {}
  ~PublishedSet() { FreeTables(); }
  PublishedSet(const PublishedSet&) = delete;
  PublishedSet& operator=(const PublishedSet&) = delete;

  /// The item with that hash for which match(item) holds, or 0. Any thread, no lock.
  template <typename Match>
  uintptr_t Find(uint64_t hash, Match match) const {
    // Acquire: the table's entries, and through them whatever was in the one before.
    const Table* table = table_.load(std::memory_order_acquire);
    if (table == nullptr) return 0;
    for (size_t at = hash & table->mask;; at = (at + 1) & table->mask) {
      const Entry& entry = table->entries[at];
      // Acquire: the hash, and what the item points to.
      const uintptr_t item = entry.item.load(std::memory_order_acquire);
      if (item == 0) return 0;
      if (entry.hash == hash && match(item)) return item;
    }
  }

  // What follows is for one thread at a time.

  /// Makes room for one Add. False when memory is refused.
  [[nodiscard]] bool Reserve();
  /// Adds an item, not 0, that is not in it. Room has been reserved.
  void Add(uint64_t hash, uintptr_t item);
  template <typename Fn>
  void ForEach(Fn fn) const {
    // Relaxed: written by the thread that adds.
    const Table* table = table_.load(std::memory_order_relaxed);
    for (size_t at = 0; table != nullptr && at <= table->mask; ++at) {
      const uintptr_t item = table->entries[at].item.load(std::memory_order_relaxed);  // as above
      if (item != 0) fn(item);
    }
  }
  /// While nobody reads: removes each item for which stays(item) is false, and frees old tables.
  template <typename Stays>
  void RemoveUnless(Stays stays) {
    // Relaxed, all: nobody reads.
    Table* table = table_.load(std::memory_order_relaxed);
    if (table == nullptr) return;
    FreeOlderThan(*table);
    // A chain of entries begins behind a free one; there is one, as at most half are taken. Each
    // entry moves to the first free place of its chain, which is no later than where it was.
    size_t at = 0;
    while (table->entries[at].item.load(std::memory_order_relaxed) != 0) ++at;
    size_t count = 0;
    for (size_t i = 0; i <= table->mask; ++i) {
      at = (at + 1) & table->mask;
      const uintptr_t item = table->entries[at].item.load(std::memory_order_relaxed);
      if (item == 0) continue;
      table->entries[at].item.store(0, std::memory_order_relaxed);
      if (!stays(item)) continue;
      Put(*table, table->entries[at].hash, item);
      ++count;
    }
    count_.store(count, std::memory_order_relaxed);
  }
  /// Empties it, and frees all tables: while nobody reads.
  void Clear();

  // Relaxed: a statistic.
  size_t count() const { return count_.load(std::memory_order_relaxed); }
  size_t native_bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    uint64_t hash;  // written before the item
    // Publishes the hash and what it points to.
    std::atomic<uintptr_t> item;
  };
  struct Table {
    size_t mask;
    Table* older;
    Entry entries[];
  };
  static constexpr size_t kFirstEntries = 64;
  static size_t BytesOf(size_t entries) { return sizeof(Table) + entries * sizeof(Entry); }
  static void Put(Table& table, uint64_t hash, uintptr_t item);
  void FreeOlderThan(Table& table);
  void FreeTables();

  GroupAllocator& allocator_;
  // Publishes a table and all that is in it.
  std::atomic<Table*> table_{nullptr};
  // Statistics, written by the thread that adds.
  std::atomic<size_t> count_{0};
  std::atomic<size_t> bytes_{0};
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_PUBLISHED_SET_H_
