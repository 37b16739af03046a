// Layer: heap
//
// The layout facts: every size, shift and bit that collectors, barriers and a JIT must agree on.
//
// Block tag, one 32-bit word per block, indexed by address >> kBlockShift:
//
//   31                          4   3       2      1       0
//   +----------------------------+-------+------+--------+-------+
//   |        raw part id         | trace | move | shared | young |
//   +----------------------------+-------+------+--------+-------+
//
//   young   the block belongs to the young generation of the part
//   shared  Shared or Program space: owned by the group, never private to a region
//   move    while a collection runs: objects here are moved (from-space, evacuation candidate)
//   trace   while a minor collection runs: with move, survivors are promoted; without, objects are
//           marked and stay (promotion in place)
//
// Object header, the 8 bytes that a Ref decodes to:
//
//   63                        32 31      28 27             8 7            0
//   +---------------------------+----------+----------------+--------------+
//   |  identity hash (0: none)  | embedder |    type id     |   GC flags   |
//   +---------------------------+----------+----------------+--------------+
//   or, while a collection runs and GC flag 0 is set: the address of the moved object, plus 1.
#ifndef ATOLL_LAYOUT_H_
#define ATOLL_LAYOUT_H_

#include <cstddef>
#include <cstdint>

namespace Atoll {

inline constexpr int kBlockShift = 15;
inline constexpr size_t kBlockSize = size_t{1} << kBlockShift;
inline constexpr int kLineShift = 7;
inline constexpr size_t kLineSize = size_t{1} << kLineShift;
inline constexpr int kLinesPerBlock = static_cast<int>(kBlockSize / kLineSize);
inline constexpr int kChunkShift = 21;
inline constexpr size_t kChunkSize = size_t{1} << kChunkShift;
inline constexpr int kBlocksPerChunk = static_cast<int>(kChunkSize / kBlockSize);
/// Objects are aligned to this, and their sizes are multiples of it.
inline constexpr size_t kGranule = 8;
inline constexpr size_t kHeaderSize = 8;
/// Objects of more than this many bytes (header included) get whole blocks of their own.
inline constexpr size_t kLargeObjectThreshold = 8 * 1024;
/// Bytes of a large reference array that share one card.
inline constexpr size_t kCardSize = 64;

/// A compressed reference is an address shifted by this, without its upper bits.
inline constexpr int kCompressionShift = 3;
/// Those are the same for all heaps with compressed references, which lie in one range of this
/// size, aligned to it: the first part of the reservation.
inline constexpr size_t kCompressedRange = size_t{1} << (32 + kCompressionShift);

static_assert(kLinesPerBlock == 256);
static_assert(kBlocksPerChunk == 64, "a chunk's free blocks are one 64-bit mask");
static_assert(kLargeObjectThreshold <= kBlockSize / 4);

namespace tag {
inline constexpr uint32_t kYoung = 1;
inline constexpr uint32_t kShared = 2;
inline constexpr uint32_t kMove = 4;
inline constexpr uint32_t kTrace = 8;
inline constexpr int kPartShift = 4;
inline constexpr uint32_t kMaxPartId = (uint32_t{1} << (32 - kPartShift)) - 1;
}  // namespace tag

namespace header {
// GC flags, byte 0.
inline constexpr uint8_t kForwarded = 1;   ///< the word is a forwarding address (collections only)
inline constexpr uint8_t kRemembered = 2;  ///< old, and in a remembered set
inline constexpr uint8_t kLarge = 4;       ///< in Large: remembers slots and cards, or as a whole
inline constexpr uint8_t kKept = 8;        ///< was to be moved and stays (collections only)
inline constexpr uint8_t kFiller = 16;     ///< a gap made parsable; bits 32..63 hold its size
inline constexpr int kTypeShift = 8;
inline constexpr uint32_t kTypeBits = 20;
inline constexpr uint32_t kMaxTypeId = (uint32_t{1} << kTypeBits) - 1;
inline constexpr int kEmbedderShift = 28;
inline constexpr int kHashShift = 32;
static_assert(kTypeShift + kTypeBits == kEmbedderShift);
}  // namespace header

}  // namespace Atoll

#endif  // ATOLL_LAYOUT_H_
