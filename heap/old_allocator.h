#ifndef ATOLL_HEAP_OLD_ALLOCATOR_H_
#define ATOLL_HEAP_OLD_ALLOCATOR_H_

#include <cstdint>

#include "heap/address_space.h"
#include "heap/block_pool.h"
#include "heap/line_map.h"

namespace Atoll {

struct RegionState;

/// Bump allocation into the free lines of Old blocks (Immix: Blackburn and McKinley, PLDI 2008):
/// first the holes of recyclable blocks, then fresh blocks; an object over a line's size that does
/// not fit the hole at hand goes to a fresh block, so that big objects do not waste small holes,
/// or, where it can never move, to a hole that takes it.
///
/// One per collecting thread. Takes blocks under the region's allocation_mutex. Memory is not
/// zeroed. The caller sets the mark bit of each object it puts there.
class OldAllocator {
 public:
  /// What blocks are taken from.
  enum class Source : uint8_t {
    kHolesAndFresh,
    kFresh,      ///< while a major marks: holes are not known
    kNonMoving,  ///< holes and fresh, of blocks flagged kNonMoving: for objects that never move
  };

  /// Null (0) when no block can be had.
  uintptr_t Allocate(RegionState& region, size_t size, Source source,
                     BlockPool::Allowance allowance = BlockPool::Allowance::kReserve) {
    const uintptr_t at = cursor_;
    if (ATOLL_UNLIKELY(limit_ - at < size)) return AllocateSlow(region, size, source, allowance);
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

  /// A stretch of free lines that the caller fills from its start; no line has more than one taker.
  struct Hole {
    uintptr_t start = 0;  ///< null: there was none
    uintptr_t end = 0;
  };
  /// The next hole of the block at hand, at most kMostHole long, for objects of `size` bytes and
  /// others. None where it has no more, or `size` is over a line's. Does not lock.
  Hole TakeHole(const AddressSpace& space, size_t size);
  /// The same from another block: none when no block can be had. allocation_mutex held.
  Hole TakeHoleElsewhere(RegionState& region, size_t size, BlockPool::Allowance allowance);
  /// Retire, with allocation_mutex held or the region stopped.
  void RetireLocked(RegionState& region);

 private:
  uintptr_t AllocateSlow(RegionState& region, size_t size, Source source,
                         BlockPool::Allowance allowance);
  uintptr_t AllocateSmallSlow(RegionState& region, size_t size, Source source,
                              BlockPool::Allowance allowance);
  uintptr_t AllocateMediumSlow(RegionState& region, size_t size, Source source,
                               BlockPool::Allowance allowance);
  bool NextHole(const AddressSpace& space);
  bool NextBlock(RegionState& region, Source source, BlockPool::Allowance allowance);
  bool NextOverflowBlock(RegionState& region, Source source, size_t size,
                         BlockPool::Allowance allowance);
  bool NextOverflowHole(RegionState& region, size_t size, size_t most_looks);

  // Whoever takes a hole walks it when it is full, in the cache and, at times, in a pause.
  static constexpr size_t kMostHole = 16 * kLineSize;

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
