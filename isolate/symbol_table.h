#ifndef ATOLL_ISOLATE_SYMBOL_TABLE_H_
#define ATOLL_ISOLATE_SYMBOL_TABLE_H_

#include <atomic>
#include <cstdint>
#include <string_view>

#include "atoll/heap.h"
#include "atoll/safepoint_mutex.h"
#include "atoll/status.h"
#include "isolate/published_set.h"

namespace Atoll {

/// The symbols of a group: one Shared object for each text, which the table keeps weakly. Look-ups
/// take no lock; whoever does not find its text looks again under the lock, and makes it.
///
/// Look-ups and additions come from managed code alone, which is stopped when a group collection
/// clears what it has found dead: none of them sees a symbol that goes, and there is no safepoint
/// between finding one and returning it.
class SymbolTable {
 public:
  explicit SymbolTable(Heap& heap);

  Status SetType(const Type& type);
  Result<Ref> Intern(std::string_view text);
  Ref Find(std::string_view text) const;

  /// All mutators being stopped: forgets the symbols that the visitor clears, or replaces.
  void VisitWeakRoots(RootVisitor& visitor);

  size_t count() const { return symbols_.count(); }
  size_t native_bytes() const { return symbols_.native_bytes(); }

 private:
  uintptr_t FindObject(uint64_t hash, std::string_view text, const Type& type) const;
  Result<Ref> InternSlow(uint64_t hash, std::string_view text, const Type& type);
  uintptr_t Allocate(std::string_view text, const Type& type);

  Heap& heap_;
  // Set once, before the first symbol. Release and acquire: a type may be registered by another
  // thread than the one that interns.
  std::atomic<const Type*> type_{nullptr};
  SafepointMutex mutex_;  // whoever adds
  PublishedSet symbols_;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_SYMBOL_TABLE_H_
