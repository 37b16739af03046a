#include "heap/object_slots.h"

#include "heap/object_model.h"

namespace Atoll {
namespace {

void VisitBitmap(const std::vector<uint64_t>& bitmap, Slot first, FunctionRef<void(Slot)> fn) {
  for (size_t i = 0; i < bitmap.size() * 64; ++i) {
    if ((bitmap[i / 64] >> (i % 64) & 1) != 0) fn(first.Next(i));
  }
}

class Forwarder final : public SlotVisitor {
 public:
  explicit Forwarder(FunctionRef<void(Slot)> fn) : fn_(fn) {}
  void VisitSlot(Slot slot) override { fn_(slot); }

 private:
  FunctionRef<void(Slot)> fn_;
};

}  // namespace

void ForEachSlotOf(const HeapState& heap, uintptr_t object, FunctionRef<void(Slot)> fn) {
  // Relaxed: at a safepoint.
  const Type& type = heap.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
  const Slot first = type.SlotAt(object + kHeaderSize);
  const Slot elements = type.SlotAt(object + type.fixed_size);
  VisitBitmap(type.details->bitmap, first, fn);
  switch (type.layout) {
    case Layout::kLeaf:
    case Layout::kFixed:
      return;
    case Layout::kRefArray:
      for (size_t i = 0; i < LengthOf(type, object); ++i) fn(elements.Next(i));
      return;
    case Layout::kStructArray:
      for (size_t i = 0; i < LengthOf(type, object); ++i) {
        VisitBitmap(type.details->element_bitmap,
                    elements.Next(i * type.element_size / type.slot_size()), fn);
      }
      return;
    case Layout::kEphemeron:
      fn(first.Next());
      [[fallthrough]];
    case Layout::kWeakRef:
      fn(first);
      return;
    case Layout::kCustom: {
      Forwarder forwarder(fn);
      type.details->trace(ObjectPtr(object), forwarder);
      return;
    }
  }
}

}  // namespace Atoll
