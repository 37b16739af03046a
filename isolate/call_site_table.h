#ifndef ATOLL_ISOLATE_CALL_SITE_TABLE_H_
#define ATOLL_ISOLATE_CALL_SITE_TABLE_H_

#include <cstdint>
#include <unordered_map>

#include "atoll/call_site.h"
#include "atoll/safepoint.h"
#include "isolate/published_set.h"

namespace Atoll {

/// The records of all call sites of a group, and which sites each selector has.
///
/// A record that no site refers to any more is *retired*. A mutator may still be in it, but not at
/// a safepoint: so they are freed in the next stop for a change of the program. Until then a site
/// retires at most kMaxEntries of them.
class CallSiteTable {
 public:
  explicit CallSiteTable(GroupAllocator& allocator);
  ~CallSiteTable();
  CallSiteTable(const CallSiteTable&) = delete;
  CallSiteTable& operator=(const CallSiteTable&) = delete;

  void NoteFoundByOthers();
  void NoteNotFound();
  /// A miss that ends with making the site know that `key` calls `target`; if it knows
  /// the key already, by another's doing, returns what it calls. The caller shares the program's
  /// lock, so what it has looked up holds.
  const void* Link(CallSite& site, uintptr_t key, const void* target);

  /// Makes all sites of the selector unlinked, and forgets what megamorphic sites knew. Returns
  /// their number.
  size_t Reset(const StoppedScope& stopped, uintptr_t selector);
  /// Frees what is retired.
  void FreeRetired(const StoppedScope& stopped);

  CallSiteStats stats() const;
  size_t native_bytes() const;

  static uint64_t HashOf(uintptr_t selector, uintptr_t key);

 private:
  CallRecord* NewRecord(uintptr_t selector);
  void Free(CallRecord* record);
  void Retire(const CallRecord& record);
  void Publish(CallSite& site, const CallRecord& record);
  bool AddGlobal(uintptr_t selector, uintptr_t key, const void* target);

  GroupAllocator& allocator_;
  mutable SafepointMutex mutex_;  // guards what follows, and all sites' words against other writers
  std::unordered_map<uintptr_t, CallSite*> sites_;  // the first of each selector
  CallRecord* records_ = nullptr;                   // all there are
  PublishedSet global_;                             // of records: what megamorphic sites call
  CallSiteStats stats_;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_CALL_SITE_TABLE_H_
