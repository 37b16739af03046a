// Layer: heap
#ifndef ATOLL_REF_H_
#define ATOLL_REF_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "atoll/config.h"
#include "atoll/layout.h"

namespace Atoll {

using Word = uint64_t;
/// What a slot of an object holds in heaps with compressed references, see CompressedPointers.
using CompressedWord = uint32_t;

/// A one-word value of the embedder: a heap reference, null, or an immediate in its own tagging.
/// What the word means is decided by the heap's encoding alone.
struct Ref {
  Word word = 0;
  friend bool operator==(Ref a, Ref b) { return a.word == b.word; }
};

/// The address of an object's header. Raw: valid only until the next point that may collect.
class ObjectPtr {
 public:
  constexpr ObjectPtr() = default;
  constexpr explicit ObjectPtr(uintptr_t address) : address_(address) {}
  constexpr uintptr_t address() const { return address_; }
  constexpr explicit operator bool() const { return address_ != 0; }
  friend constexpr bool operator==(ObjectPtr a, ObjectPtr b) { return a.address_ == b.address_; }

 private:
  uintptr_t address_ = 0;
};

namespace internal {
/// Where compressed references count from: a multiple of kCompressedRange, at or before the start
/// of the process's reservation. Written by who makes that, before any heap lies in it; read by
/// everybody as a plain variable.
extern uintptr_t compression_base;
}  // namespace internal

/// Of a reference into the compressed range, or zero. The upper bits are that range's.
constexpr CompressedWord Compress(Word word) {
  return static_cast<CompressedWord>(word >> kCompressionShift);
}
inline Word Expand(CompressedWord compressed) {
  if (compressed == 0) return 0;
  return internal::compression_base + (Word{compressed} << kCompressionShift);
}
/// Whether it is a reference into the compressed range, or zero.
inline bool IsCompressible(Word word) { return Expand(Compress(word)) == word; }

/// The address of a Ref inside an object or a root. All reads and writes of references go through
/// it. Roots are Words, and so are slots of objects, unless the heap's references are compressed:
/// then these are CompressedWords. A Slot knows which it is of.
///
/// Slots are relaxed atomics: mutators that share a region may race on them, and get one of the
/// values stored; whatever orders them is the embedder's business (LoadAcquire, StoreRelease).
class Slot {
 public:
  constexpr Slot() = default;
  explicit Slot(Word* word) : bits_(reinterpret_cast<uintptr_t>(word)) {}
  explicit Slot(CompressedWord* word) : bits_(reinterpret_cast<uintptr_t>(word) + kCompressedBit) {}
  constexpr explicit Slot(uintptr_t address) : bits_(address) {}
  static constexpr Slot Compressed(uintptr_t address) { return Slot(address + kCompressedBit); }

  constexpr uintptr_t address() const { return bits_ & ~kCompressedBit; }
  /// The same of a slot of an object under the encoding E. Sums only, through which compilers see.
  template <typename E>
  constexpr uintptr_t AddressAs() const {
    return E::kCompressed ? bits_ - kCompressedBit : bits_;
  }
  constexpr bool is_compressed() const { return (bits_ & kCompressedBit) != 0; }
  constexpr size_t bytes() const { return is_compressed() ? sizeof(CompressedWord) : sizeof(Word); }
  /// The slot that lies `count` slots behind this one.
  constexpr Slot Next(size_t count = 1) const { return Slot(bits_ + count * bytes()); }

  // Relaxed: a slot orders nothing by itself, see the class comment.
  Ref Load() const {
    if (ATOLL_UNLIKELY(is_compressed())) return LoadCompressed();
    return LoadIn(false, std::memory_order_relaxed);
  }
  // Acquire: pairs with the release of whoever stored the reference; what it refers to is whole.
  Ref LoadAcquire() const {
    if (ATOLL_UNLIKELY(is_compressed())) return LoadCompressed();
    return LoadIn(false, std::memory_order_acquire);
  }
  /// Without a barrier: for collectors, and for slots outside the heap.
  void StoreRaw(Ref value) const { StoreIn(is_compressed(), value, std::memory_order_relaxed); }
  // Release: what was written before is seen by whoever loads the reference with LoadAcquire.
  void StoreRawRelease(Ref value) const {
    StoreIn(is_compressed(), value, std::memory_order_release);
  }
  /// The same for a slot of an object under the encoding E: what it holds need not be looked up.
  template <typename E>
  Ref LoadAs() const {
    return LoadIn(E::kCompressed, std::memory_order_relaxed);
  }
  template <typename E>
  void StoreRawAs(Ref value) const {
    StoreIn(E::kCompressed, value, std::memory_order_relaxed);
  }
  bool CompareExchangeRaw(Ref& expected, Ref desired) const {
    if (!is_compressed()) return Whole().compare_exchange_strong(expected.word, desired.word);
    CompressedWord held = Compress(expected.word);
    const bool done = Half().compare_exchange_strong(held, Compress(desired.word));
    expected.word = Expand(held);
    return done;
  }
  Ref ExchangeRaw(Ref value) const {
    return Ref{is_compressed() ? Expand(Half().exchange(Compress(value.word)))
                               : Whole().exchange(value.word)};
  }
  friend constexpr bool operator==(Slot a, Slot b) { return a.bits_ == b.bits_; }

 private:
  static constexpr uintptr_t kCompressedBit = 1;

  std::atomic_ref<Word> Whole() const {
    return std::atomic_ref<Word>(*reinterpret_cast<Word*>(bits_));
  }
  std::atomic_ref<CompressedWord> Half() const {
    return std::atomic_ref<CompressedWord>(
        *reinterpret_cast<CompressedWord*>(bits_ - kCompressedBit));
  }
  // Out of line: what knows that references are compressed loads by LoadAs. Acquire, for both.
  ATOLL_COLD Ref LoadCompressed() const { return LoadIn(true, std::memory_order_acquire); }
  ATOLL_ALWAYS_INLINE Ref LoadIn(bool compressed, std::memory_order order) const {
    return Ref{compressed ? Expand(Half().load(order)) : Whole().load(order)};
  }
  ATOLL_ALWAYS_INLINE void StoreIn(bool compressed, Ref value, std::memory_order order) const {
    compressed ? Half().store(Compress(value.word), order) : Whole().store(value.word, order);
  }

  uintptr_t bits_ = 0;  // the address; and kCompressedBit
};

/// How an embedder's words encode references, declared when a heap is created:
///   is_ref  = (word & ref_mask) == ref_pattern, and the address lies in the reservation
///   header  = (word & address_mask) - bias
/// All bits outside address_mask are kept when an object moves. Zero is never a reference.
/// `compressed`: see CompressedPointers, which alone has it.
struct RefEncoding {
  static constexpr bool kCompressed = false;  ///< as an encoding known at compile time

  Word ref_mask = 7;
  Word ref_pattern = 0;
  Word address_mask = ~Word{0};
  uintptr_t bias = 0;
  bool compressed = false;

  constexpr bool IsRef(Word word) const { return (word & ref_mask) == ref_pattern; }
  /// Whether a word is a reference into [base, base + size).
  constexpr bool RefersInto(Word word, uintptr_t base, size_t size) const {
    return IsRef(word) && Decode(word) - base < size;
  }
  constexpr uintptr_t Decode(Word word) const { return (word & address_mask) - bias; }
  constexpr Word Encode(Word old_word, uintptr_t header_address) const {
    return (old_word & ~address_mask) | (header_address + bias);
  }
  /// The word of a fresh reference, all bits outside the address and the pattern zero.
  constexpr Word Make(uintptr_t header_address) const {
    return Encode(ref_pattern & ~address_mask, header_address) | (ref_pattern & ref_mask);
  }
  friend constexpr bool operator==(const RefEncoding&, const RefEncoding&) = default;
};

/// An encoding known at compile time. The collectors and the inline barrier are instantiated for
/// those below, so that no embedder pays for another's encoding; any other RefEncoding works
/// through `RuntimeEncoding`, at the cost of loading its masks.
template <Word kMask, Word kPattern, Word kAddressMask, uintptr_t kBias, bool kIsCompressed = false>
struct StaticEncoding {
  static constexpr bool kCompressed = kIsCompressed;
  static constexpr RefEncoding kEncoding{kMask, kPattern, kAddressMask, kBias, kCompressed};
  constexpr StaticEncoding() = default;
  constexpr explicit StaticEncoding(const RefEncoding&) {}
  static constexpr bool IsRef(Word word) { return kEncoding.IsRef(word); }
  /// Whether a word is a reference into [base, base + size): IsRef and the range at once.
  static constexpr bool RefersInto(Word word, uintptr_t base, size_t size) {
    if constexpr (kMask == 7 && kPattern == 0 && kAddressMask == ~Word{0}) {
      // The low three bits, which must be zero, are rotated to the top: a reference that has any is
      // out of range.
      return std::rotr(word - kBias - base, 3) < size >> 3;
    } else {
      return IsRef(word) && Decode(word) - base < size;
    }
  }
  static constexpr uintptr_t Decode(Word word) { return kEncoding.Decode(word); }
  static constexpr Word Encode(Word old_word, uintptr_t header_address) {
    return kEncoding.Encode(old_word, header_address);
  }
  static constexpr Word Make(uintptr_t header_address) { return kEncoding.Make(header_address); }
};

/// The address of the header itself; words with any of the low three bits set are immediates.
using PlainPointers = StaticEncoding<7, 0, ~Word{0}, 0>;
/// Low bit 1 marks a reference; words with low bit 0 (small integers) are immediates.
using LowTagOne = StaticEncoding<1, 1, ~Word{7}, 0>;
/// The top 16 bits 0xFFFC mark a reference; all other words are doubles or other immediates.
using NanBoxing = StaticEncoding<0xFFFF000000000007u, 0xFFFC000000000000u, 0x0000FFFFFFFFFFF8u, 0>;
/// References point 8 bytes behind the header, which so lies before the embedder's own object.
using HeaderBefore = StaticEncoding<7, 0, ~Word{0}, 8>;
/// PlainPointers in roots, and half as large in objects, whose slots hold the distance from the
/// start of a range of 32 GiB in units of 8 bytes. Words are references or zero: there are no
/// immediates. Heaps of this encoding lie in that range, and have no more memory, all together.
using CompressedPointers = StaticEncoding<7, 0, ~Word{0}, 0, true>;
/// Any other encoding, its masks read from memory.
using RuntimeEncoding = RefEncoding;

/// Bytes of a slot of an object under the encoding E.
template <typename E>
inline constexpr size_t kSlotSize = E::kCompressed ? sizeof(CompressedWord) : sizeof(Word);
/// The slot at an address inside an object, under the encoding E.
template <typename E>
constexpr Slot ObjectSlot(uintptr_t address) {
  return E::kCompressed ? Slot::Compressed(address) : Slot(address);
}

}  // namespace Atoll

#endif  // ATOLL_REF_H_
