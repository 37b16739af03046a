#include "isolate/call_site_table.h"

#include <new>

#include "isolate/program_ranks.h"

namespace Atoll {

constinit const CallRecord CallSite::kUnlinked{};

namespace {

const void* TargetIn(const CallRecord& record, uintptr_t key) {
  if (record.first.key == key) return record.first.target;
  for (uint32_t i = 1; i < record.count; ++i) {
    if (record.more[i - 1].key == key) return record.more[i - 1].target;
  }
  return nullptr;
}

const void* TargetIn(const PublishedSet& global, uintptr_t selector, uintptr_t key) {
  const uintptr_t found = global.Find(CallSiteTable::HashOf(selector, key), [&](uintptr_t at) {
    const auto& record = *reinterpret_cast<const CallRecord*>(at);
    return record.selector == selector && record.first.key == key;
  });
  return found == 0 ? nullptr : reinterpret_cast<const CallRecord*>(found)->first.target;
}

}  // namespace

// ---- CallSite

const void* CallSite::LookupSlow(const CallRecord& record, uintptr_t key) const {
  if (const void* target = TargetIn(record, key)) return target;
  return record.global == nullptr ? nullptr : TargetIn(*record.global, selector_, key);
}

CallSiteState CallSite::state() const {
  const CallRecord& now = record();
  if (now.count == 0) return CallSiteState::kUnlinked;
  if (now.global != nullptr) return CallSiteState::kMegamorphic;
  return now.count == 1 ? CallSiteState::kMonomorphic : CallSiteState::kPolymorphic;
}

// ---- CallSiteTable

uint64_t CallSiteTable::HashOf(uintptr_t selector, uintptr_t key) {
  uint64_t hash = (selector * 0x9E3779B97F4A7C15u) ^ key;
  hash *= 0xD6E8FEB86659FD93u;
  return hash ^ hash >> 32;
}

CallSiteTable::CallSiteTable(GroupAllocator& allocator)
    : allocator_(allocator), mutex_(kCallSiteMutexRank, "call sites"), global_(allocator) {}

CallSiteTable::~CallSiteTable() {
  // The sites may be gone already.
  while (records_ != nullptr) {
    CallRecord* next = records_->next;
    Free(records_);
    records_ = next;
  }
}

void CallSiteTable::NoteFoundByOthers() {
  SafepointMutexLock lock(mutex_);
  ++stats_.misses;
  ++stats_.found_by_others;
}
void CallSiteTable::NoteNotFound() {
  SafepointMutexLock lock(mutex_);
  ++stats_.misses;
  ++stats_.not_found;
}

const void* CallSiteTable::Link(CallSite& site, uintptr_t key, const void* target) {
  SafepointMutexLock lock(mutex_);
  ++stats_.misses;
  // Relaxed: written under this lock.
  const CallRecord& old = *site.record_.load(std::memory_order_relaxed);
  if (const void* known = site.LookupSlow(old, key)) {
    ++stats_.found_by_others;
    return known;
  }
  if (old.global != nullptr) {
    if (!AddGlobal(site.selector_, key, target)) ++stats_.uncached;
    return target;
  }
  const bool is_full = old.count == CallRecord::kMaxEntries;
  CallRecord* record = NewRecord(site.selector_);
  if (record == nullptr || (is_full && !AddGlobal(site.selector_, key, target))) {
    if (record != nullptr) record->is_retired = true;  // no site has it
    if (record != nullptr) ++stats_.retired_records;
    ++stats_.uncached;
    return target;
  }
  if (old.count == 0) {
    record->first = {key, target};
    record->count = 1;
    ++stats_.to_monomorphic;
  } else {
    record->first = old.first;
    record->count = old.count;
    for (uint32_t i = 1; i < old.count; ++i) record->more[i - 1] = old.more[i - 1];
    if (is_full) {
      record->global = &global_;
      ++stats_.to_megamorphic;
    } else {
      record->more[record->count++ - 1] = {key, target};
      ++stats_.to_polymorphic;
    }
  }
  Publish(site, *record);
  return target;
}

void CallSiteTable::Publish(CallSite& site, const CallRecord& record) {
  Retire(*site.record_.load(std::memory_order_relaxed));  // as in Link
  ATOLL_SCHEDULE_POINT("call site: before its record");
  // Release: see Lookup.
  site.record_.store(&record, std::memory_order_release);
  if (site.is_listed_) return;
  site.is_listed_ = true;
  CallSite*& first = sites_[site.selector_];
  site.next_ = first;
  first = &site;
}

bool CallSiteTable::AddGlobal(uintptr_t selector, uintptr_t key, const void* target) {
  if (TargetIn(global_, selector, key) != nullptr) return true;  // by another site
  if (!global_.Reserve()) return false;
  CallRecord* record = NewRecord(selector);
  if (record == nullptr) return false;
  record->first = {key, target};
  record->count = 1;
  global_.Add(HashOf(selector, key), reinterpret_cast<uintptr_t>(record));
  ++stats_.global_entries;
  return true;
}

CallRecord* CallSiteTable::NewRecord(uintptr_t selector) {
  void* memory = allocator_.Allocate(sizeof(CallRecord));
  if (memory == nullptr) return nullptr;
  auto* record = new (memory) CallRecord{};
  record->selector = selector;
  record->next = records_;
  records_ = record;
  ++stats_.records;
  return record;
}

void CallSiteTable::Free(CallRecord* record) { allocator_.Free(record, sizeof(CallRecord)); }

void CallSiteTable::Retire(const CallRecord& record) {
  if (record.count == 0) return;  // CallSite::kUnlinked
  // All others are this table's own. Only the table looks at this flag.
  const_cast<CallRecord&>(record).is_retired = true;
  ++stats_.retired_records;
}

size_t CallSiteTable::Reset(const StoppedScope&, uintptr_t selector) {
  SafepointMutexLock lock(mutex_);
  size_t count = 0;
  const auto found = sites_.find(selector);
  for (CallSite* site = found == sites_.end() ? nullptr : found->second; site != nullptr;
       site = site->next_) {
    // Relaxed, both: nobody reads now, and the end of the stop publishes it.
    const CallRecord& old = *site->record_.load(std::memory_order_relaxed);
    if (old.count == 0) continue;
    Retire(old);
    site->record_.store(&CallSite::kUnlinked, std::memory_order_relaxed);
    ++count;
  }
  global_.ForEach(
      [this](uintptr_t record) { Retire(*reinterpret_cast<const CallRecord*>(record)); });
  global_.Clear();
  stats_.resets += count;
  return count;
}

void CallSiteTable::FreeRetired(const StoppedScope&) {
  SafepointMutexLock lock(mutex_);
  ++stats_.stops;
  if (stats_.retired_records == 0) return;
  for (CallRecord** link = &records_; *link != nullptr;) {
    CallRecord* record = *link;
    if (!record->is_retired) {
      link = &record->next;
      continue;
    }
    *link = record->next;
    Free(record);
    --stats_.records;
  }
  stats_.retired_records = 0;
}

CallSiteStats CallSiteTable::stats() const {
  SafepointMutexLock lock(mutex_);
  return stats_;
}

size_t CallSiteTable::native_bytes() const {
  SafepointMutexLock lock(mutex_);
  return stats_.records * sizeof(CallRecord) + global_.native_bytes();
}

}  // namespace Atoll
