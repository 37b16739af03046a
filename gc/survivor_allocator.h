#ifndef ATOLL_GC_SURVIVOR_ALLOCATOR_H_
#define ATOLL_GC_SURVIVOR_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>

#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {

/// Bump allocation of survivors into young blocks. One per collecting thread.
class SurvivorAllocator {
 public:
  uintptr_t Allocate(RegionState& region, size_t size) {
    const uintptr_t at = cursor_;
    if (ATOLL_UNLIKELY(limit_ - at < size)) return AllocateSlow(region, size);
    cursor_ = at + size;
    return at;
  }
  void Undo(uintptr_t at, size_t size) {
    if (cursor_ == at + size) cursor_ = at;
  }
  /// Makes the block at hand parsable, for a walk over all.
  void Flush(const AddressSpace& space) {
    if (!blocks_.empty()) {
      space.info(blocks_.head()).top =
          static_cast<uint32_t>(cursor_ - space.AddressOf(blocks_.head()));
    }
  }
  BlockList TakeBlocks(const AddressSpace& space) {
    Flush(space);
    cursor_ = limit_ = 0;
    return blocks_.TakeAll();
  }
  const BlockList& blocks() const { return blocks_; }

 private:
  uintptr_t AllocateSlow(RegionState& region, size_t size);

  uintptr_t cursor_ = 0;
  uintptr_t limit_ = 0;
  BlockList blocks_;  // the head is allocated into
};

}  // namespace Atoll

#endif  // ATOLL_GC_SURVIVOR_ALLOCATOR_H_
