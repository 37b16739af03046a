#ifndef ATOLL_ISOLATE_OWN_FIELDS_H_
#define ATOLL_ISOLATE_OWN_FIELDS_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "atoll/ref.h"
#include "heap/group_allocator.h"

namespace Atoll {

/// The values that an isolate has written to its fields beyond the first kFieldsPerChunk: a chunk
/// for each kFieldsPerChunk fields of which one has been written, found by its number. So what an
/// isolate costs follows what it has written, and not how many fields the program has.
///
///   entries[number & mask], or the next free one: { number, chunk }
///
/// A chunk's bit says whether the isolate has written the field; what it has not is the group's
/// initial value. Made by the isolate's thread, and visited while that is stopped.
class OwnFields {
 public:
  static constexpr size_t kFieldsPerChunk = 64;

  struct Chunk {
    uint64_t written = 0;
    Word values[kFieldsPerChunk] = {};
  };

  /// Null when memory is refused.
  static OwnFields* New(GroupAllocator& allocator);
  static void Delete(OwnFields* fields, GroupAllocator& allocator);

  /// The chunk of the field, or null.
  Chunk* Find(size_t index) const {
    const size_t number = index / kFieldsPerChunk;
    for (size_t at = number & mask_;; at = (at + 1) & mask_) {
      const Entry& entry = entries_[at];
      if (entry.chunk == nullptr || entry.number == number) return entry.chunk;
    }
  }
  /// The same, made if there is none. Null, and nothing has changed, when memory is refused.
  Chunk* FindOrMake(size_t index, GroupAllocator& allocator);

  /// Calls fn(Slot) for each value written, in an order that only a write changes.
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (size_t at = 0; at <= mask_; ++at) {
      if (Chunk* chunk = entries_[at].chunk) ForEachWritten(chunk->written, chunk->values, fn);
    }
  }
  template <typename Fn>
  static void ForEachWritten(uint64_t written, Word* values, Fn fn) {
    for (; written != 0; written &= written - 1) fn(Slot(values + std::countr_zero(written)));
  }

 private:
  struct Entry {
    size_t number;
    Chunk* chunk;  // null: free
  };

  bool Grow(GroupAllocator& allocator);

  Entry* entries_ = nullptr;
  size_t mask_ = 0;  // at least one entry is free, always
  size_t count_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_OWN_FIELDS_H_
