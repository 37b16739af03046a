#ifndef ATOLL_HEAP_LINE_MAP_H_
#define ATOLL_HEAP_LINE_MAP_H_

#include <array>
#include <bit>
#include <cstdint>

#include "heap/object_model.h"
#include "heap/poison.h"

namespace Atoll {

/// Blocks with fewer free lines are not worth a visit when allocating into holes.
inline constexpr uint16_t kRecyclableLines = 16;

/// Which lines of a block are in use: one bit per line. Derived from mark and cover bits; costs
/// about 100 ns and does not touch the block.
class LineMap {
 public:
  static LineMap Of(const AddressSpace& space, BlockIndex block) {
    LineMap map;
    const uint64_t* marks = space.marks(block);
    const uint64_t* covers = space.covers(block);
    // Plain loads: the block's region is stopped, or the block is the caller's own.
    uint64_t carry = 0;  // the first line of a word is reached into from the last one before
    for (size_t word = 0; word < kCoverWordsPerBlock; ++word) {
      uint64_t used = covers[word] | carry;
      carry = 0;
      for (size_t i = 0; i < 16; ++i) {  // a mark word holds the starts of four lines
        const uint64_t four = marks[word * 16 + i];
        if (four == 0) continue;
        const uint64_t lines = ((four & 0xFFFF) != 0 ? 1 : 0) |
                               ((four >> 16 & 0xFFFF) != 0 ? 2 : 0) |
                               ((four >> 32 & 0xFFFF) != 0 ? 4 : 0) | (four >> 48 != 0 ? 8 : 0);
        const uint64_t next = ((four & kLastStarts) != 0 ? 2 : 0) |
                              ((four >> 16 & kLastStarts) != 0 ? 4 : 0) |
                              ((four >> 32 & kLastStarts) != 0 ? 8 : 0);
        used |= (lines | next) << (i * 4);
        const uint64_t behind = (four >> 48 & kLastStarts) != 0 ? 1 : 0;
        i < 15 ? used |= behind << (i * 4 + 4) : carry = behind;
      }
      map.bits_[word] = used;
    }
    return map;
  }

  int CountUsed() const {
    int count = 0;
    for (const uint64_t word : bits_) count += std::popcount(word);
    return count;
  }
  bool IsUsed(int line) const { return (bits_[line / 64] >> (line % 64) & 1) != 0; }
  /// The first free (or used) line at or after `line`; kLinesPerBlock if none.
  int NextFree(int line) const { return Next(line, ~uint64_t{0}); }
  int NextUsed(int line) const { return Next(line, 0); }
  /// Where the first `lines` free lines in a row begin; kLinesPerBlock if there are none.
  int FirstRun(int lines) const {
    int start = NextFree(0);
    while (start < kLinesPerBlock && NextUsed(start) - start < lines) {
      start = NextFree(NextUsed(start));
    }
    return start;
  }

 private:
  int Next(int line, uint64_t flip) const {
    while (line < kLinesPerBlock) {
      const uint64_t word = (bits_[line / 64] ^ flip) >> (line % 64);
      if (word != 0) return line + std::countr_zero(word);
      line = (line / 64 + 1) * 64;
    }
    return kLinesPerBlock;
  }

  std::array<uint64_t, kCoverWordsPerBlock> bits_{};
};

/// Overwrites the lines that are not in use, for StressOptions::poison.
inline void PoisonFreeLines(const AddressSpace& space, BlockIndex block, const LineMap& used) {
  for (int line = used.NextFree(0); line < kLinesPerBlock; line = used.NextFree(line)) {
    const int end = used.NextUsed(line);
    FillPoison(space.AddressOf(block) + static_cast<size_t>(line) * kLineSize,
               static_cast<size_t>(end - line) * kLineSize);
    line = end;
  }
}

}  // namespace Atoll

#endif  // ATOLL_HEAP_LINE_MAP_H_
