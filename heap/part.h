#ifndef ATOLL_HEAP_PART_H_
#define ATOLL_HEAP_PART_H_

#include <array>
#include <cstdint>
#include <vector>

#include "atoll/mutator.h"
#include "heap/block.h"
#include "heap/block_list.h"
#include "heap/line_map.h"
#include "heap/remembered_set.h"
#include "heap/weak_entries.h"

namespace Atoll {

/// An object's finalizer: what Mutator::AddFinalizer was told.
struct Finalizer {
  uintptr_t object;
  FinalizerFn fn;
  void* data;
  size_t external_bytes;
  Mutator* owner;  ///< kThreadAffine: whose thread runs it; null once that mutator is gone
  FinalizerKind kind;
};

/// Blocks with one raw id, and everything that goes with them. A region allocates into its own
/// part; each adopted region adds its parts as they are, until the next major merges them.
struct Part {
  Part(GroupAllocator& allocator, uint32_t id) : raw_id(id), remembered(allocator) {}

  uint32_t young_tag() const { return (raw_id << tag::kPartShift) | tag::kYoung; }
  uint32_t old_tag() const { return raw_id << tag::kPartShift; }
  size_t block_count() const {
    return young.block_count() + old.block_count() + recyclable.block_count() +
           recyclable_non_moving.block_count() + young_large.block_count() + large.block_count();
  }
  /// Where a block of kOld belongs that is not being allocated into.
  BlockList& OldListOf(const BlockInfo& info) {
    return info.free_lines < kRecyclableLines            ? old
           : (info.flags & block_flags::kNonMoving) != 0 ? recyclable_non_moving
                                                         : recyclable;
  }
  /// Those of kOld.
  std::array<BlockList*, 3> OldLists() { return {&old, &recyclable, &recyclable_non_moving}; }

  const uint32_t raw_id;
  BlockList young;                  ///< kNew
  BlockList old;                    ///< kOld without usable free lines, or being allocated into
  BlockList recyclable;             ///< kOld with free lines
  BlockList recyclable_non_moving;  ///< the same, flagged kNonMoving
  BlockList young_large;            ///< kLarge, young tag
  BlockList large;                  ///< kLarge
  RememberedSet remembered;
  std::vector<Finalizer> young_finalizers;  ///< of objects that were young when last looked at
  std::vector<Finalizer> finalizers;
  /// Instances of types declared unsendable, in the same way.
  std::vector<uintptr_t> young_unsendable;
  std::vector<uintptr_t> unsendable;
  WeakEntries young_weak_entries;  ///< likewise
  WeakEntries weak_entries;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_PART_H_
