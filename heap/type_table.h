#ifndef ATOLL_HEAP_TYPE_TABLE_H_
#define ATOLL_HEAP_TYPE_TABLE_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "atoll/status.h"
#include "atoll/type.h"
#include "safepoint/platform.h"

namespace Atoll {

/// The part of a type that trace loops seldom need.
struct TypeDetails {
  std::string name;
  std::vector<uint64_t> bitmap;          ///< of fixed parts over 64 slots: all its slots
  std::vector<uint64_t> element_bitmap;  ///< the same of elements
  void (*trace)(ObjectPtr object, SlotVisitor& visitor);
  void (*moved)(ObjectPtr object, uintptr_t from);
  void (*transfer)(ObjectPtr from, ObjectPtr to);
};

/// The types of one heap. Registering locks; reading does not: a type is complete before its id
/// can be in any header, and never moves.
class TypeTable {
 public:
  explicit TypeTable(const RefEncoding& encoding);
  ~TypeTable();
  TypeTable(const TypeTable&) = delete;
  TypeTable& operator=(const TypeTable&) = delete;

  bool ok() const { return types_ != nullptr; }
  Result<const Type*> Register(const TypeInfo& info);
  const Type* types() const { return types_; }
  const Type& OfHeader(Word header_word) const {
    return types_[(header_word >> header::kTypeShift) & header::kMaxTypeId];
  }
  uint32_t count() const;

 private:
  mutable platform::Mutex mutex_;
  const bool has_compressed_slots_;
  Type* types_ = nullptr;  // an array for all ids, backed as it is touched; id 0 is no type
  uint32_t count_ = 1;
  std::deque<TypeDetails> details_;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_TYPE_TABLE_H_
