#ifndef ATOLL_HEAP_WEAK_ENTRIES_H_
#define ATOLL_HEAP_WEAK_ENTRIES_H_

#include <cstdint>
#include <unordered_map>

#include "atoll/ref.h"

namespace Atoll {

/// An object's word in one weak table.
struct WeakEntry {
  uintptr_t object;
  Word word;
};

/// The entries of all weak tables, of one part's objects, by table (high half) and identity hash.
/// Neither changes when an object moves, so collections change entries where they are.
using WeakEntries = std::unordered_multimap<uint64_t, WeakEntry>;

inline WeakEntries::iterator FindWeakEntry(WeakEntries& entries, uint64_t key, uintptr_t object) {
  auto [at, end] = entries.equal_range(key);
  while (at != end && at->second.object != object) ++at;
  return at == end ? entries.end() : at;
}

}  // namespace Atoll

#endif  // ATOLL_HEAP_WEAK_ENTRIES_H_
