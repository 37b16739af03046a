#include "tests/stress/kinds.h"

#include <algorithm>
#include <cstring>

#include "tests/stress/check.h"

namespace Atoll::stress {
namespace {

constexpr uint32_t kWideSize = 8 + 80 * 8;

constexpr KindLayout kLayouts[kKinds] = {
    /* kLeaf        */ {8, 0, {}, 24, 0, 0},
    /* kPair        */ {8, 2, {16, 24}, 32, 0, 0},
    /* kPairTwin    */ {8, 2, {16, 24}, 32, 0, 0},
    /* kHalf        */ {8, 1, {16}, 32, 0, 0},
    /* kNode        */ {24, 4, {8, 16, 32, 40}, 48, 0, 0},
    /* kWide        */ {8, 6, {16, 24, 200, 520, 528, 640}, kWideSize, 0, 0},
    /* kSelf        */ {8, 1, {24}, 32, 0, 0},
    /* kCustom      */ {8, kCustomRefs, {24, 32, 40}, 24 + kCustomSlots * 8, 0, 0},
    /* kStay        */ {8, 2, {16, 24}, 32, 0, 0},
    /* kRefArray    */ {16, 0, {}, 24, 8, 1},
    /* kStructArray */ {16, 0, {}, 24, 24, 2},
    /* kBytes       */ {16, 0, {}, 24, 1, 0},
    /* kWeak        */ {16, 2, {8, 24}, 32, 0, 0},
    /* kEphemeron   */ {24, 3, {8, 16, 32}, 40, 0, 0},
};

constexpr std::array<KindLayout, kKinds> Compressed() {
  std::array<KindLayout, kKinds> layouts{};
  for (size_t i = 0; i < kKinds; ++i) {
    layouts[i] = kLayouts[i];
    KindLayout& layout = layouts[i];
    for (uint32_t edge = 1; edge < layout.fixed_edges; ++edge) {
      if (kLayouts[i].edge_offsets[edge] == kLayouts[i].edge_offsets[edge - 1] + 8) {
        layout.edge_offsets[edge] = layout.edge_offsets[edge - 1] + 4;
      }
    }
    if (static_cast<Kind>(i) == Kind::kRefArray) layout.element_size = 4;
  }
  return layouts;
}
constexpr std::array<KindLayout, kKinds> kCompressedLayouts = Compressed();

constexpr const char* kNames[kKinds] = {
    "Leaf",   "Pair",     "PairTwin",    "Half",    "Node",  "Wide",     "SelfAddress",
    "Custom", "StayPair", "StressArray", "Structs", "Bytes", "WeakCell", "EphemeronCell"};

Word& WordAt(ObjectPtr object, size_t offset) {
  return *reinterpret_cast<Word*>(object.address() + offset);
}

void TraceCustom(ObjectPtr object, SlotVisitor& visitor) {
  visitor.VisitRange(SlotOf(object, Kind::kCustom, 0), WordAt(object, 16));
}

void MovedSelf(ObjectPtr object, uintptr_t from) {
  // The first word of the data was the old address.
  if (WordAt(object, 16) == from) WordAt(object, 16) = object.address();
}

// Data words by kind: { offset, ...}. kHalf, kCustom and kStructArray hold data that looks like a
// reference; collectors must leave it alone.
template <typename Fn>
void ForEachDataWord(ObjectPtr object, const Node& node, Fn fn) {
  const Word value = Mix(node.id ^ 0x5A5A);
  switch (node.kind) {
    case Kind::kLeaf:
      fn(WordAt(object, 16), value);
      break;
    case Kind::kHalf:
      fn(WordAt(object, 24), value & ~Word{7});
      break;
    case Kind::kCustom:
      fn(WordAt(object, 16), Word{kCustomRefs});
      fn(WordAt(object, 48), value & ~Word{7});
      break;
    case Kind::kSelf:
      fn(WordAt(object, 16), Word{object.address()});
      break;
    case Kind::kWide:
      fn(WordAt(object, 512), value);
      break;
    case Kind::kStructArray: {
      // All when few, else the first, the last and some between.
      const uint32_t step = std::max<uint32_t>(1, node.length / 4);
      for (uint32_t i = 0; i < node.length; i += step) fn(WordAt(object, 24 + i * 24), value + i);
      break;
    }
    default:
      break;
  }
}

}  // namespace

const KindLayout& LayoutOf(Kind kind) {
  const auto i = static_cast<size_t>(kind);
  return references_are_compressed ? kCompressedLayouts[i] : kLayouts[i];
}

TypeTable RegisterKinds(Heap& heap) {
  references_are_compressed = heap.encoding().compressed;
  TypeTable table{};
  for (size_t i = 0; i < kKinds; ++i) {
    const Kind kind = static_cast<Kind>(i);
    const KindLayout& layout = LayoutOf(kind);
    TypeInfo info;
    info.name = kNames[i];
    info.slot_size = SlotSize();
    info.fixed_size = layout.fixed_size;
    info.element_size = layout.element_size;
    info.layout = Layout::kFixed;
    info.ref_offsets.assign(layout.edge_offsets, layout.edge_offsets + layout.fixed_edges);
    if (layout.element_size != 0) info.length_offset = 8;
    switch (kind) {
      case Kind::kLeaf:
        info.layout = Layout::kLeaf;
        break;
      case Kind::kBytes:
        info.layout = Layout::kLeaf;
        info.length_width = 4;
        break;
      case Kind::kRefArray:
        info.layout = Layout::kRefArray;
        break;
      case Kind::kStructArray:
        info.layout = Layout::kStructArray;
        info.length_width = 4;
        info.element_ref_offsets = {8, 8 + SlotSize()};
        break;
      case Kind::kCustom:
        info.layout = Layout::kCustom;
        info.ref_offsets.clear();
        info.trace = TraceCustom;
        break;
      case Kind::kSelf:
        info.moved = MovedSelf;
        break;
      case Kind::kStay:
        info.flags.non_moving = true;
        break;
      case Kind::kWeak:
        info.layout = Layout::kWeakRef;
        info.ref_offsets = {24};
        break;
      case Kind::kEphemeron:
        info.layout = Layout::kEphemeron;
        info.ref_offsets = {32};
        break;
      default:
        break;
    }
    Result<const Type*> type = heap.RegisterType(info);
    STRESS_CHECK(type.ok(), "%s: %s", kNames[i], type.status().message().c_str());
    table[i] = type.value();
  }
  return table;
}

void FillData(ObjectPtr object, const Node& node) {
  IdOf(object, node.kind) = node.id;
  ForEachDataWord(object, node, [](Word& word, Word value) { word = value; });
  if (node.kind == Kind::kBytes && node.length != 0) {
    auto* bytes = reinterpret_cast<unsigned char*>(object.address() + 24);
    std::memset(bytes, static_cast<int>(node.id & 0xFF), node.length);
  }
}

const char* CheckData(ObjectPtr object, const Node& node) {
  if (IdOf(object, node.kind) != node.id) return "its id is another";
  const char* wrong = nullptr;
  ForEachDataWord(object, node, [&](Word& word, Word value) {
    if (word != value) wrong = "a data word has changed";
  });
  if (wrong != nullptr) return wrong;
  if (node.kind == Kind::kBytes && node.length != 0) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(object.address() + 24);
    const auto expected = static_cast<unsigned char>(node.id & 0xFF);
    const uint32_t step = std::max<uint32_t>(1, node.length / 16);
    for (uint32_t i = 0; i < node.length; i += step) {
      if (bytes[i] != expected) return "a byte has changed";
    }
    if (bytes[node.length - 1] != expected) return "the last byte has changed";
  }
  return nullptr;
}

bool IsZeroed(ObjectPtr object, Kind kind, uint32_t length, size_t size) {
  size_t from = kHeaderSize;
  if (HasElements(kind)) {
    const Word stored = WordAt(object, 8);
    if (stored != length) return false;  // the four bytes behind a narrow length are zero too
    from = 16;
  }
  // Large ones at some places only, for speed.
  const size_t step = size <= 1024 ? 8 : (size / 32) & ~size_t{7};
  for (size_t offset = from; offset + 8 <= size; offset += step) {
    if (WordAt(object, offset) != 0) return false;
  }
  return WordAt(object, size - 8) == 0 || size - 8 < from;
}

Words::Words(const RefEncoding& encoding, Mutator& any_mutator)
    : encoding_(encoding), free_bits_(~encoding.address_mask & ~encoding.ref_mask) {
  auto add_if_immediate = [&](Word word) {
    const bool followed = encoding.IsRef(word) && any_mutator.InReservation(encoding.Decode(word));
    if (word != 0 && !followed) immediates_.push_back(word);
  };
  static uint64_t outside_the_heap;
  // References in form, but to nowhere, to this program's memory, and to the end of all.
  add_if_immediate(encoding.Make(0x1000));
  add_if_immediate(encoding.Make(reinterpret_cast<uintptr_t>(&outside_the_heap) & ~uintptr_t{7}));
  add_if_immediate(encoding.Make(uintptr_t{0x7FFF'FFFF'FFF8} - encoding.bias));
  Random random(42);
  while (immediates_.size() < 64) {
    const Word word = random.Next() >> random.Below(60);
    add_if_immediate(immediates_.size() % 2 == 0 ? word : word | 1);
    add_if_immediate(word & ~Word{7});
  }
}

}  // namespace Atoll::stress
