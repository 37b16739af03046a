// Blocks, their numbers and what is known of each without touching its memory.
//
//   reservation   | block 0 | block 1 | ...            (32 KiB each, given out in chunks of 64)
//   tags          | u32     | u32     | ...            what barriers and collectors test
//   infos         | 32 B    | 32 B    | ...            BlockInfo
//   marks         | 512 B   | 512 B   | ...            one bit per 8 bytes of the block
//   covers        | 32 B    | 32 B    | ...            one bit per line, see below
//
// Mark bits. In Old and Large a set bit is the start of an object that was live at the last major
// collection, or has been promoted since: so Old is parsed by mark bits. In Shared it is one that
// was live at the last group collection, or has been allocated or flipped since. Outside
// collections the mark bits of free and New blocks are all zero. New and Program are parsed from
// the start.
//
// Lines. A line is in use if an object starts in it (16 mark bits) or if its cover bit is set: an
// object that started in an earlier line reaches into it. Small objects mostly do not cross a line,
// so the covers are seldom written.
#ifndef ATOLL_HEAP_BLOCK_H_
#define ATOLL_HEAP_BLOCK_H_

#include <atomic>
#include <cstdint>

#include "atoll/layout.h"

namespace Atoll {

/// What a block is used for. kLargeTail: a block of a large object behind its first.
enum class Space : uint8_t { kUnmapped, kFree, kNew, kOld, kLarge, kLargeTail, kShared, kProgram };

/// The number of a block in the reservation. 0 is never given out: it ends lists.
using BlockIndex = uint32_t;
inline constexpr BlockIndex kNoBlock = 0;

namespace block_flags {
inline constexpr uint8_t kPinned = 1;     ///< holds pinned objects: nothing in it moves
inline constexpr uint8_t kHasKept = 2;    ///< collections only: holds objects that stayed
inline constexpr uint8_t kCandidate = 4;  ///< major collections only: chosen for evacuation
inline constexpr uint8_t kNonMoving = 8;  ///< for objects of types that never move
inline constexpr uint8_t kAdopted = 16;   ///< major collections only: of a part that they merge
}  // namespace block_flags

struct BlockInfo {
  BlockIndex next;      ///< in the BlockList that the block is in; kLargeTail: the first block
  BlockIndex previous;  ///< in the BlockList that the block is in
  uint32_t run_blocks;  ///< of a large object: its blocks; else 1
  uint32_t top;         ///< kNew, kProgram: bytes that are parsable from the start
  uint16_t free_lines;  ///< kOld, kShared: at the last sweep, less those allocated into since
  Space space;
  uint8_t age;  ///< kNew, kLarge: minor collections that the block's objects survived
  uint8_t flags;
  uint8_t unused[3];
  void* cards;  ///< kLarge: card bytes of a reference array, from the group allocator
};
static_assert(sizeof(BlockInfo) == 32);

inline constexpr size_t kMarkWordsPerBlock = kBlockSize / kGranule / 64;
inline constexpr size_t kCoverWordsPerBlock = kLinesPerBlock / 64;

}  // namespace Atoll

#endif  // ATOLL_HEAP_BLOCK_H_
