#ifndef ATOLL_GC_EVERY_SLOT_H_
#define ATOLL_GC_EVERY_SLOT_H_

#include "gc/strong_slots.h"
#include "heap/heap_state.h"

namespace Atoll {

/// visit(Slot) for every slot of an object, weak ones too; those of a custom type go to `custom`.
/// For walks over the whole heap, at a safepoint.
template <typename Fn>
void VisitEverySlot(const Type& type, uintptr_t object, SlotVisitor& custom, Fn visit) {
  switch (type.layout) {
    case Layout::kLeaf:
      return;
    case Layout::kFixed:
      return VisitFixedPart(object, type, visit);
    case Layout::kRefArray:
    case Layout::kStructArray:
      VisitElements(object, type, 0, SIZE_MAX, visit);
      return VisitFixedPart(object, type, visit);
    case Layout::kEphemeron:
      visit(type.SlotAt(object + kHeaderSize).Next());
      [[fallthrough]];
    case Layout::kWeakRef:
      visit(type.SlotAt(object + kHeaderSize));
      return VisitFixedPart(object, type, visit);
    case Layout::kCustom:
      return type.details->trace(ObjectPtr(object), custom);
  }
}

}  // namespace Atoll

#endif  // ATOLL_GC_EVERY_SLOT_H_
