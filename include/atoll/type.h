// Layer: heap
#ifndef ATOLL_TYPE_H_
#define ATOLL_TYPE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "atoll/layout.h"
#include "atoll/ref.h"

namespace Atoll {

/// The shapes that collectors can trace. All offsets below are bytes from the object's header.
enum class Layout : uint8_t {
  kLeaf,         ///< no references: numbers, bytes, strings; with or without elements
  kFixed,        ///< references at `ref_offsets`
  kRefArray,     ///< the same, and every element is a reference
  kStructArray,  ///< the same, and every element has references at `element_ref_offsets`
  kWeakRef,      ///< like kFixed; the first slot behind the header is a weak reference
  kEphemeron,    ///< like kFixed; the first two slots behind the header are key and value
  kCustom,       ///< the `trace` callback visits the slots
};

/// Visits the reference slots of one object on behalf of a collector.
class SlotVisitor {
 public:
  virtual void VisitSlot(Slot slot) = 0;
  void VisitRange(Slot first, size_t count) {
    for (size_t i = 0; i < count; ++i) VisitSlot(first.Next(i));
  }

 protected:
  ~SlotVisitor() = default;
};

/// Type flags.
struct TypeFlags {
  bool deeply_immutable = false;  ///< never written after construction, nor what it refers to
  bool identity_free = false;     ///< two copies cannot be told apart
  bool unsendable = false;        ///< its instances never leave their isolate
  bool non_moving = false;        ///< instances are allocated where they stay
};

/// What an embedder says of a type: data, not callbacks.
struct TypeInfo {
  std::string name;
  Layout layout = Layout::kLeaf;
  /// Bytes of a slot: 8, or 4 in heaps with compressed references, which a leaf need not say.
  uint32_t slot_size = sizeof(Word);
  /// Bytes of the fixed part, header included; the elements follow it. A multiple of 8, unless the
  /// type is a leaf with elements.
  uint32_t fixed_size = kHeaderSize;
  /// Offsets of the strong references in the fixed part (for kWeakRef, kEphemeron: the others).
  std::vector<uint32_t> ref_offsets;
  /// Bytes of one element; 0: no elements.
  uint32_t element_size = 0;
  /// Where the number of elements is: a word of `length_width` (4 or 8) bytes in the fixed part.
  uint32_t length_offset = 0;
  uint32_t length_width = 8;
  /// kStructArray: offsets of the references inside one element.
  std::vector<uint32_t> element_ref_offsets;
  TypeFlags flags;
  /// kCustom: visits every reference slot of the object. Called on any thread while the object's
  /// region is stopped, or the object is never written any more (deeply immutable types); touches
  /// only this object and follows no reference.
  void (*trace)(ObjectPtr object, SlotVisitor& visitor) = nullptr;
  /// Optional: called when the object has been moved, for objects that hold addresses into
  /// themselves. The same rules as for `trace`; `from` is only a number.
  void (*moved)(ObjectPtr object, uintptr_t from) = nullptr;
  /// Optional: for mutable objects that own something outside the heap which moves with a message
  /// instead of being copied; a kNative finalizer of theirs frees it. When a message is certain to
  /// be sent, that finalizer and its external bytes become the copy's, and this is called: `to`,
  /// which is laid out as `from` was when it was copied, is to say what `from` says of what it
  /// owns, and `from` that it owns nothing. Called with the two the other way round if the port
  /// closes at that moment. Under a lock: touches these two objects alone, and waits for nothing.
  void (*transfer)(ObjectPtr from, ObjectPtr to) = nullptr;
};

struct TypeDetails;

/// A registered type: what TypeInfo says, compiled for the trace loops. Never moves and lives as
/// long as its heap; immutable after registration, so it may be read from any thread.
struct alignas(64) Type {
  Word header_word;  ///< the header of a fresh instance
  uint64_t bitmap;   ///< bit i: the slot at kHeaderSize + slot_size() * i is a strong reference
  uint64_t element_bitmap;  ///< the same for one element
  uint32_t fixed_size;
  uint32_t element_size;
  uint32_t length_offset;
  uint8_t length_width;
  Layout layout;
  TypeFlags flags;
  bool has_long_bitmap;  ///< fixed part or element over 64 slots: see details
  bool has_moved_hook : 1;
  bool has_transfer_hook : 1;
  bool has_compressed_slots : 1;  ///< as all types of the heap that have slots
  /// fixed_size of types that are copied without further questions, or 0: up to 512 bytes, no
  /// elements, kLeaf or kFixed, sendable, may move, without hooks.
  uint32_t plain_size;
  const TypeDetails* details;  ///< what is not needed while tracing: name, long bitmaps, callbacks
  /// More than there ever is room for, and no object's size.
  static constexpr uint32_t kNeverInline = UINT32_MAX;
  /// What the inline allocation takes: fixed_size, or kNeverInline where it must leave the object
  /// to the slow path (elements; non-moving and unsendable types).
  uint32_t inline_size;
  uint32_t inline_length_end;  ///< the inline allocation takes arrays shorter than this

  uint32_t id() const { return static_cast<uint32_t>(header_word >> header::kTypeShift); }
  bool has_elements() const { return element_size != 0; }
  bool is_leaf() const { return layout == Layout::kLeaf; }
  size_t slot_size() const { return has_compressed_slots ? sizeof(CompressedWord) : sizeof(Word); }
  /// The slot at an address inside an object of the type.
  Slot SlotAt(uintptr_t address) const {
    return has_compressed_slots ? Slot::Compressed(address) : Slot(address);
  }
  const std::string& name() const;
};
static_assert(sizeof(Type) == 64, "one cache line: a trace loop loads one per object");

}  // namespace Atoll

#endif  // ATOLL_TYPE_H_
