// How do the stress suite's objects lie in memory, and what words do their slots hold?
#ifndef ATOLL_TESTS_STRESS_KINDS_H_
#define ATOLL_TESTS_STRESS_KINDS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "atoll/heap.h"
#include "tests/stress/model.h"

namespace Atoll::stress {

inline constexpr size_t kKinds = static_cast<size_t>(Kind::kCount);
/// kCustom has this many slots; its count word says how many of them are references.
inline constexpr uint32_t kCustomSlots = 4;
inline constexpr uint32_t kCustomRefs = 3;

/// Where things are in objects of one kind; offsets from the header.
struct KindLayout {
  uint32_t id_offset;
  uint32_t fixed_edges;      ///< edges of the fixed part; elements have more
  uint32_t edge_offsets[6];  ///< of the fixed part
  uint32_t fixed_size;
  uint32_t element_size;  ///< 0: no elements
  uint32_t edges_per_element;
};
/// In the scenario that runs: one at a time in a process.
inline bool references_are_compressed = false;
inline uint32_t SlotSize() { return references_are_compressed ? 4 : 8; }
/// Where references are compressed, slots that are neighbours are 4 bytes apart.
const KindLayout& LayoutOf(Kind kind);

inline bool HasElements(Kind kind) { return LayoutOf(kind).element_size != 0; }
inline uint32_t EdgeCount(Kind kind, uint32_t length) {
  const KindLayout& layout = LayoutOf(kind);
  return layout.fixed_edges + length * layout.edges_per_element;
}
/// The offset of an object's edge.
inline uint32_t OffsetOfEdge(Kind kind, uint32_t edge) {
  const KindLayout& layout = LayoutOf(kind);
  if (edge < layout.fixed_edges) return layout.edge_offsets[edge];
  edge -= layout.fixed_edges;
  if (kind == Kind::kRefArray) return layout.fixed_size + edge * SlotSize();
  // kStructArray: { data, reference, reference } each.
  return layout.fixed_size + edge / 2 * 24 + 8 + edge % 2 * SlotSize();
}
inline Slot SlotOf(ObjectPtr object, Kind kind, uint32_t edge) {
  const uintptr_t address = object.address() + OffsetOfEdge(kind, edge);
  return references_are_compressed ? Slot::Compressed(address) : Slot(address);
}
inline uint64_t& IdOf(ObjectPtr object, Kind kind) {
  return *reinterpret_cast<uint64_t*>(object.address() + LayoutOf(kind).id_offset);
}

using TypeTable = std::array<const Type*, kKinds>;
/// Registers the types of all kinds, and sets references_are_compressed. Aborts when one is
/// refused.
TypeTable RegisterKinds(Heap& heap);

/// Writes the data words and bytes of a fresh object, derived from its id.
void FillData(ObjectPtr object, const Node& node);
/// Null, or what is wrong with the data of the object.
const char* CheckData(ObjectPtr object, const Node& node);
/// Whether a fresh object is zero behind its header and length.
bool IsZeroed(ObjectPtr object, Kind kind, uint32_t length, size_t size);

/// The words of one heap's encoding.
class Words {
 public:
  Words(const RefEncoding& encoding, Mutator& any_mutator);

  /// The one word for a node at an address: bits that the encoding leaves free come from the id,
  /// so that a collector which drops them is found out.
  Word Of(uint64_t id, uintptr_t address) const {
    return encoding_.Make(address) | (free_bits_ & Mix(id));
  }
  uintptr_t Decode(Word word) const { return encoding_.Decode(word); }
  Word Immediate(uint32_t index) const { return immediates_[index]; }
  /// Of those that a slot can hold: compressed ones hold references and zero, and no others.
  uint32_t immediate_count() const {
    return encoding_.compressed ? 0 : static_cast<uint32_t>(immediates_.size());
  }

 private:
  RefEncoding encoding_;
  Word free_bits_;
  std::vector<Word> immediates_;
};

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_KINDS_H_
