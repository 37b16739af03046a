#ifndef ATOLL_GC_SHARED_COLLECTION_H_
#define ATOLL_GC_SHARED_COLLECTION_H_

#include <cstddef>
#include <cstdint>

#include "gc/mark_stack.h"
#include "heap/heap_state.h"
#include "heap/region_state.h"
#include "heap/shared_space.h"

namespace Atoll {

/// What a collection of the Shared space found, and did.
struct SharedCounters {
  size_t live_bytes = 0;
  size_t objects = 0;
  size_t freed_blocks = 0;
  uint64_t nanos = 0;
};

/// The part of a group collection that is about the Shared space: all mutators are stopped, the
/// heap's regions_mutex is held, and every region has been collected, but for those with an open
/// NoCollectScope. One thread does it; nothing moves.
///
/// Roots are the group's (GroupRoots), all objects of Program, and of every region its roots and
/// all its objects: those of a region just collected are its live ones. So every private object is
/// walked once more here, and the regions' own collections need know nothing of Shared.
///
/// What counts as a reference:
///   weak references and weak handles   cleared when what they refer to is not marked; but of a
///                                      region that is left as it is, of Program and of Shared they
///                                      count as strong
///   ephemerons                         their shared keys, and what their values refer to, count as
///                                      reached, as in the regions' own collections
///   finalizers, keys of weak tables    are private: shared objects have none
///   weak roots of the group            cleared when what they refer to is not marked
///
/// The phases are called in this order, once each.
class SharedCollection final : private RootVisitor, private SlotVisitor {
 public:
  SharedCollection(HeapState& heap, const StoppedScope& stopped);

  void Prepare();
  void Trace();
  void ProcessWeak();
  void Sweep();

  const SharedCounters& counters() const { return counters_; }

 private:
  class WeakRootSettler;

  void VisitSlot(Slot slot) override { Visit(slot); }
  void Visit(Slot slot);
  void VisitSlots(uintptr_t object, bool weak_too);
  void VisitRegion(RegionState& region);
  void VisitRootsOf(RegionState& region, bool weak_too);
  void ForgetRemembered(RememberedSet& set);
  void Drain();
  void RescanAfterOverflow();
  void Settle(Slot weak_slot);
  bool IsShared(Word word, uintptr_t* object) const;
  void SweepBlock(BlockIndex block);

  HeapState& heap_;
  const AddressSpace& space_;
  const RefEncoding encoding_;
  SharedSpace::Stopped blocks_;
  MarkStack stack_;
  bool overflowed_ = false;  // a marked object waits nowhere: see RescanAfterOverflow
  bool weak_found_ = false;  // some weak reference of a collected region refers to Shared
  SharedCounters counters_;
};

}  // namespace Atoll

#endif  // ATOLL_GC_SHARED_COLLECTION_H_
