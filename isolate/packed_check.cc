#include "isolate/packed_check.h"

#include <vector>

#include "heap/object_model.h"
#include "heap/object_slots.h"

namespace Atoll {
namespace {

class PackedCheck {
 public:
  PackedCheck(const HeapState& heap, const PackedGraph& graph, const std::string& whose)
      : heap_(heap), graph_(graph), whose_(whose), starts_(graph.data_bytes / sizeof(Word)) {}

  Status Run() {
    Parse();
    for (size_t at = 0; status_.ok() && at < starts_.size(); ++at) {
      if (starts_[at]) CheckObject(at * sizeof(Word));
    }
    for (size_t i = 0; status_.ok() && i < graph_.root_count; ++i) {
      if (graph_.RootIsInside(i)) {
        CheckInside(graph_.roots[i], "root " + std::to_string(i));
      } else {
        CheckOutside(graph_.roots[i], true, "root " + std::to_string(i));
      }
    }
    return std::move(status_);
  }

 private:
  uintptr_t start() const { return reinterpret_cast<uintptr_t>(graph_.data); }

  void Parse() {
    for (size_t at = 0; at < graph_.data_bytes;) {
      const Word header_word = graph_.data[at / sizeof(Word)];
      constexpr Word kFlags = (Word{1} << header::kTypeShift) - 1;
      const uint32_t id = header_word >> header::kTypeShift & header::kMaxTypeId;
      if ((header_word & kFlags) != 0 || id == 0 || id >= heap_.types.count()) {
        return Fail("I6", At(at) + " is no object's header");
      }
      const size_t size = ObjectSize(heap_.types.OfHeader(header_word), start() + at);
      if (size > graph_.data_bytes - at) {
        return Fail("I6", "the " + NameAt(at) + " reaches beyond the end");
      }
      starts_[at / sizeof(Word)] = true;
      at += size;
    }
  }

  void CheckObject(size_t at) {
    ForEachSlotOf(heap_, start() + at, [&](Slot slot) {
      const size_t offset = slot.address() - start();
      if (!status_.ok() || offset >= graph_.data_bytes) return;
      const size_t i = offset / graph_.slot_size();
      const std::string what = "a slot of the " + NameAt(at);
      if (!IsSet(graph_.relocations, i)) {
        CheckOutside(slot.Load().word, IsSet(graph_.shared_refs, i), what);
      } else if (slot.is_compressed()) {
        const auto distance = *reinterpret_cast<const CompressedWord*>(slot.address());
        CheckInside(Word{distance} << kCompressionShift, what);
      } else {
        CheckInside(slot.Load().word, what);
      }
    });
  }
  // Of a word that refers into the graph: its address bits are a distance.
  void CheckInside(Word word, const std::string& what) {
    const uintptr_t offset = heap_.options.encoding.Decode(word + start()) - start();
    if (offset < graph_.data_bytes && offset % sizeof(Word) == 0 &&
        starts_[offset / sizeof(Word)]) {
      return;
    }
    Fail("I1", what + " refers to offset " + std::to_string(offset) + ", where no object starts");
  }
  void CheckOutside(Word word, bool is_marked, const std::string& what) {
    const AddressSpace& space = *heap_.space;
    const RefEncoding& encoding = heap_.options.encoding;
    if (!encoding.RefersInto(word, space.base(), space.size())) return;
    const uint32_t tag = space.tag(space.BlockOf(encoding.Decode(word)));
    if ((tag & tag::kShared) == 0) {
      Fail("I1", what + " refers to a private object, which is not packed with it");
    } else if (!is_marked) {
      Fail("I2",
           what + " refers to a shared object, and is not marked: no collection would see it");
    }
  }

  static bool IsSet(const uint8_t* bitmap, size_t i) {
    return bitmap != nullptr && (bitmap[i / 8] >> (i % 8) & 1) != 0;
  }
  static std::string At(size_t offset) { return "what lies at offset " + std::to_string(offset); }
  std::string NameAt(size_t offset) const {
    return "\"" + heap_.types.OfHeader(graph_.data[offset / sizeof(Word)]).name() +
           "\" at offset " + std::to_string(offset);
  }
  void Fail(const char* invariant, const std::string& words) {
    status_ = {StatusCode::kInvariantViolated,
               std::string(invariant) + ": in " + whose_ + ", " + words};
  }

  const HeapState& heap_;
  const PackedGraph& graph_;
  const std::string& whose_;
  std::vector<bool> starts_;  // by word
  Status status_;
};

}  // namespace

Status CheckPacked(const HeapState& heap, const PackedGraph& graph, const std::string& whose) {
  return PackedCheck(heap, graph, whose).Run();
}

}  // namespace Atoll
