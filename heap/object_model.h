// Reading objects: headers, types, sizes. For code that runs while objects stand still.
#ifndef ATOLL_HEAP_OBJECT_MODEL_H_
#define ATOLL_HEAP_OBJECT_MODEL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "atoll/layout.h"
#include "atoll/type.h"
#include "heap/address_space.h"

namespace Atoll {

inline std::atomic_ref<Word> HeaderOf(uintptr_t object) {
  return std::atomic_ref<Word>(*reinterpret_cast<Word*>(object));
}
/// Byte 0, which mutators and collectors store without touching the rest of the header.
inline std::atomic_ref<uint8_t> FlagsOf(uintptr_t object) {
  return std::atomic_ref<uint8_t>(*reinterpret_cast<uint8_t*>(object));
}
// Relaxed: flags are written by stopped collectors, and by the owner's mutators.
inline uint8_t LoadFlags(uintptr_t object) {
  return FlagsOf(object).load(std::memory_order_relaxed);
}
inline void SetFlag(uintptr_t object, uint8_t flag) {
  FlagsOf(object).store(LoadFlags(object) | flag, std::memory_order_relaxed);  // as above
}
inline void ClearFlag(uintptr_t object, uint8_t flag) {
  FlagsOf(object).store(LoadFlags(object) & static_cast<uint8_t>(~flag),
                        std::memory_order_relaxed);  // as above
}

inline size_t LengthOf(const Type& type, uintptr_t object) {
  const uintptr_t at = object + type.length_offset;
  return type.length_width == 8 ? *reinterpret_cast<const uint64_t*>(at)
                                : *reinterpret_cast<const uint32_t*>(at);
}
inline size_t SizeForLength(const Type& type, size_t length) {
  return (type.fixed_size + length * type.element_size + kGranule - 1) & ~(kGranule - 1);
}
/// The most elements that the length field and the address space allow.
inline size_t MaximumLength(const Type& type) {
  constexpr size_t kMaximumObjectSize = size_t{1} << 46;
  const size_t fits = (kMaximumObjectSize - type.fixed_size) / type.element_size;
  return type.length_width == 4 && fits > UINT32_MAX ? size_t{UINT32_MAX} : fits;
}
inline size_t ObjectSize(const Type& type, uintptr_t object) {
  return type.has_elements() ? SizeForLength(type, LengthOf(type, object)) : type.fixed_size;
}

/// A gap of `bytes` (a multiple of 8) that parses as one object.
inline void WriteFiller(uintptr_t at, size_t bytes) {
  // Relaxed: nobody but parsers at a safepoint reads a filler.
  HeaderOf(at).store(header::kFiller | Word{bytes} << header::kHashShift,
                     std::memory_order_relaxed);
}
inline bool IsFiller(Word header_word) { return (header_word & header::kFiller) != 0; }
inline size_t FillerSize(Word header_word) { return header_word >> header::kHashShift; }

/// Objects of up to this many bytes need no cover bits. They reach into the next line only if they
/// start in the last granules of theirs, kLastStarts of its marks: that is taken for a cover.
inline constexpr size_t kUncoveredSize = 24;
inline constexpr uint64_t kLastStarts = 0xC000;
static_assert(kLineSize / kGranule == 16 && kUncoveredSize / kGranule == 3);

/// Whether an object of Old reaches into lines that its mark does not tell of.
inline bool NeedsCover(uintptr_t object, size_t size) {
  return size > kUncoveredSize && (object & (kLineSize - 1)) + size > kLineSize;
}

/// Marks the lines behind its first that an object of Old reaches into.
inline void CoverLines(const AddressSpace& space, uintptr_t object, size_t size) {
  const uintptr_t offset = object - space.base();
  const uintptr_t last = (offset + size - 1) >> kLineShift;
  uint64_t* covers = space.covers(0);
  for (uintptr_t line = (offset >> kLineShift) + 1; line <= last; ++line) {
    // Relaxed: a collection's workers may cover lines of one word at once; read after they joined.
    std::atomic_ref<uint64_t>(covers[line / 64])
        .fetch_or(uint64_t{1} << (line % 64), std::memory_order_relaxed);
  }
}

/// Records an object that begins its life in Old. The block is the caller's alone.
inline void MarkBornOld(const AddressSpace& space, uintptr_t object, size_t size) {
  const uintptr_t granule = (object - space.base()) / kGranule;
  uint64_t& word = space.all_marks()[granule / 64];
  word |= uint64_t{1} << (granule % 64);
  if (NeedsCover(object, size)) CoverLines(space, object, size);
}

}  // namespace Atoll

#endif  // ATOLL_HEAP_OBJECT_MODEL_H_
