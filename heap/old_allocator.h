#ifndef ATOLL_HEAP_OLD_ALLOCATOR_H_
#define ATOLL_HEAP_OLD_ALLOCATOR_H_

#include <cstdint>

#include "heap/address_space.h"
#include "heap/line_map.h"

namespace Atoll {

struct RegionState;

/// Bump allocation into the free lines of Old blocks (Immix: Blackburn and McKinley, PLDI 2008):
/// first the holes of recyclable blocks, then fresh blocks; an object over a line's size that does
/// not fit the hole at hand goes to a fresh block, so that big objects do not waste small holes.
///
/// One per collecting thread. Takes blocks under the region's allocation_mutex. Memory is not
/// zeroed. The caller sets the mark bit of each object it puts there.
class OldAllocator {
 public:
  /// What blocks are taken from.
  enum class Source : uint8_t {
    kHolesAndFresh,
    kFresh,      ///< while a major marks: holes are not known
    kNonMoving,  ///< blocks flagged kNonMoving, for objects that never move
  };

  /// Null (0) when no block can be had.
  uintptr_t Allocate(RegionState& region, size_t size, Source source) {
    const uintptr_t at = cursor_;
    if (ATOLL_UNLIKELY(limit_ - at < size)) return AllocateSlow(region, size, source);
    cursor_ = at + size;
    return at;
  }
  /// Takes back the last allocation.
  void Undo(uintptr_t at, size_t size) {
    if (cursor_ == at + size)
      cursor_ = at;
    else if (overflow_cursor_ == at + size)
      overflow_cursor_ = at;
  }
  /// Files the blocks at hand in the region's own part: until then they are in no list. Locks.
  void Retire(RegionState& region);

 private:
  uintptr_t AllocateSlow(RegionState& region, size_t size, Source source);
  uintptr_t AllocateSmallSlow(RegionState& region, size_t size, Source source);
  uintptr_t AllocateMediumSlow(RegionState& region, size_t size, Source source);
  bool NextHole(const AddressSpace& space);
  static BlockIndex FreshBlock(RegionState& region, Source source);

  uintptr_t cursor_ = 0;
  uintptr_t limit_ = 0;
  BlockIndex block_ = kNoBlock;  // of cursor_; its holes from next_line_ on are still unused
  int next_line_ = kLinesPerBlock;
  LineMap used_{};
  uintptr_t overflow_cursor_ = 0;
  uintptr_t overflow_limit_ = 0;
  BlockIndex overflow_block_ = kNoBlock;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_OLD_ALLOCATOR_H_
