// Layer: isolate
#ifndef ATOLL_CALL_SITE_H_
#define ATOLL_CALL_SITE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "atoll/config.h"

/// Switchable calls: the inline caches of code that all isolates of a group run.
///
///   unlinked --miss--> monomorphic --miss--> polymorphic (2 to 4 keys) --miss--> megamorphic
///      ^                                                                              |
///      +--------------------- Program::ResetCallSites, in a stop ---------------------+
///
/// A site is one word: the address of a *record*, which says for which keys (the receivers'
/// classes) to call what, and never changes. A miss makes another record and publishes it by one
/// store. So a reader, which takes no lock, never sees the key of one and the target of another.
/// What readers may be in is freed only when all mutators are stopped.

namespace Atoll {

class CallSiteTable;
class PublishedSet;

/// What a site refers to. Immutable once published. Code generators may read it.
struct CallRecord {
  struct Entry {
    uintptr_t key;
    const void* target;
  };
  static constexpr uint32_t kMaxEntries = 4;

  Entry first;  ///< compared inline; key 0: of an unlinked site
  uint32_t count;
  bool is_retired;             ///< the table's: no site refers to it any more
  const PublishedSet* global;  ///< of a megamorphic site: where all else is; else null
  uintptr_t selector;
  CallRecord* next;  ///< the table's
  Entry more[kMaxEntries - 1];
};

enum class CallSiteState : uint8_t { kUnlinked, kMonomorphic, kPolymorphic, kMegamorphic };

/// A place in code that calls what depends on a key. Part of the program: it stays where it is, and
/// stays as long as the group, once Program::Miss has been called for it.
class CallSite {
 public:
  /// `selector`: what is called, in the embedder's own words, say the symbol's address.
  explicit constexpr CallSite(uintptr_t selector) : record_(&kUnlinked), selector_(selector) {}
  CallSite(const CallSite&) = delete;
  CallSite& operator=(const CallSite&) = delete;

  /// What to call for `key` (not 0); null: Program::Miss says. Managed state: not to be kept across
  /// a safepoint at which the program may change. No lock. Cost: two loads and a compare; for a
  /// megamorphic site a look-up in a hash table.
  ATOLL_ALWAYS_INLINE const void* Lookup(uintptr_t key) const {
    // Acquire: what the record says.
    const CallRecord* record = record_.load(std::memory_order_acquire);
    if (ATOLL_LIKELY(record->first.key == key)) return record->first.target;
    return LookupSlow(*record, key);
  }

  uintptr_t selector() const { return selector_; }
  /// Managed state, or with the program's lock.
  CallSiteState state() const;
  /// The record, to be read as Lookup says; with the program's lock also by threads that are no
  /// mutators, as compilers that want to know what has been called.
  const CallRecord& record() const { return *record_.load(std::memory_order_acquire); }

 private:
  friend class CallSiteTable;
  const void* LookupSlow(const CallRecord& record, uintptr_t key) const;

  static const CallRecord kUnlinked;

  // Publishes a record. Written under the table's lock, or in a stop.
  std::atomic<const CallRecord*> record_;
  const uintptr_t selector_;
  CallSite* next_ = nullptr;  // in the table's list of its selector
  bool is_listed_ = false;    // all under the table's lock
};

/// How often what happened, over all sites of a group.
struct CallSiteStats {
  uint64_t misses = 0;           ///< calls of Miss
  uint64_t found_by_others = 0;  ///< of those: another isolate had linked it meanwhile
  uint64_t not_found = 0;        ///< of those: the look-up said null
  uint64_t uncached = 0;         ///< of those: no memory to remember it
  uint64_t to_monomorphic = 0;
  uint64_t to_polymorphic = 0;  ///< a key more, too
  uint64_t to_megamorphic = 0;
  uint64_t global_entries = 0;   ///< added for megamorphic sites
  uint64_t resets = 0;           ///< sites that became unlinked again
  uint64_t stops = 0;            ///< Program::Change
  uint64_t records = 0;          ///< that there are now
  uint64_t retired_records = 0;  ///< of those: to be freed in the next stop
};

}  // namespace Atoll

#endif  // ATOLL_CALL_SITE_H_
