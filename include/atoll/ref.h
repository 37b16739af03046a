// Layer: heap
#ifndef ATOLL_REF_H_
#define ATOLL_REF_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace Atoll {

using Word = uint64_t;

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

/// The address of a Ref inside an object or a root. All reads and writes of references go through
/// it, so that another representation of a slot can be added in one place.
///
/// Slots are relaxed atomics: mutators that share a region may race on them, and get one of the
/// values stored; whatever orders them is the embedder's business (LoadAcquire, StoreRelease).
class Slot {
 public:
  constexpr Slot() = default;
  constexpr explicit Slot(Word* word) : word_(word) {}
  explicit Slot(uintptr_t address) : word_(reinterpret_cast<Word*>(address)) {}

  uintptr_t address() const { return reinterpret_cast<uintptr_t>(word_); }
  // Relaxed: a slot orders nothing by itself, see the class comment.
  Ref Load() const { return Ref{Atomic().load(std::memory_order_relaxed)}; }
  Ref LoadAcquire() const { return Ref{Atomic().load(std::memory_order_acquire)}; }
  /// Without a barrier: for collectors, and for slots outside the heap.
  void StoreRaw(Ref value) const { Atomic().store(value.word, std::memory_order_relaxed); }
  void StoreRawRelease(Ref value) const { Atomic().store(value.word, std::memory_order_release); }
  bool CompareExchangeRaw(Ref& expected, Ref desired) const {
    return Atomic().compare_exchange_strong(expected.word, desired.word);
  }
  Ref ExchangeRaw(Ref value) const { return Ref{Atomic().exchange(value.word)}; }
  friend bool operator==(Slot a, Slot b) { return a.word_ == b.word_; }

 private:
  std::atomic_ref<Word> Atomic() const { return std::atomic_ref<Word>(*word_); }
  Word* word_ = nullptr;
};

/// How an embedder's words encode references, declared when a heap is created:
///   is_ref  = (word & ref_mask) == ref_pattern, and the address lies in the reservation
///   header  = (word & address_mask) - bias
/// All bits outside address_mask are kept when an object moves. Zero is never a reference.
struct RefEncoding {
  Word ref_mask = 7;
  Word ref_pattern = 0;
  Word address_mask = ~Word{0};
  uintptr_t bias = 0;

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
template <Word kMask, Word kPattern, Word kAddressMask, uintptr_t kBias>
struct StaticEncoding {
  static constexpr RefEncoding kEncoding{kMask, kPattern, kAddressMask, kBias};
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
/// Any other encoding, its masks read from memory.
using RuntimeEncoding = RefEncoding;

}  // namespace Atoll

#endif  // ATOLL_REF_H_
