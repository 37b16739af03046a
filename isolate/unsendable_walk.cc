#include "isolate/unsendable_walk.h"

#include <span>
#include <string>

#include "gc/mark_stack.h"
#include "heap/heap_state.h"
#include "heap/object_slots.h"
#include "heap/region_state.h"
#include "isolate/copied_objects.h"
#include "isolate/copy_path.h"

namespace Atoll {
namespace {

constexpr size_t kObjectsPerPoll = 1000;

class Walk {
 public:
  Walk(Mutator& source, HeapState& heap)
      : source_(source),
        heap_(heap),
        encoding_(source.encoding()),
        seen_(*heap.space, heap.allocator),
        stack_(heap.allocator) {}

  /// The first unsendable object found, or 0.
  uintptr_t Run(Ref root) {
    Reach(root.word);
    size_t looked_at = 0;
    MarkEntry entry;
    while (found_ == 0 && !no_memory_ && stack_.Pop(&entry)) {
      ForEachSlotOf(heap_, entry, [this](Slot slot) { Reach(slot.Load().word); });
      if (++looked_at % kObjectsPerPoll == 0) source_.Poll();
    }
    return found_;
  }
  bool no_memory() const { return no_memory_; }
  const CopiedObjects& seen() const { return seen_; }

 private:
  void Reach(Word word) {
    if (!source_.RefersIntoHeap(encoding_, Ref{word})) return;
    const uintptr_t object = encoding_.Decode(word);
    CopiedObjects::Place place;
    const CopiedObjects::Answer answer = seen_.Find(object, &place);
    if (answer == CopiedObjects::Answer::kRefused) no_memory_ = true;
    if (answer != CopiedObjects::Answer::kNew) return;
    const Type& type = source_.TypeOf(ObjectPtr(object));
    if (type.flags.unsendable && found_ == 0) found_ = object;
    no_memory_ |= !seen_.Insert(object, place, 0) || (!type.is_leaf() && !stack_.TryPush(object));
  }

  Mutator& source_;
  HeapState& heap_;
  const RefEncoding& encoding_;
  CopiedObjects seen_;
  MarkStack stack_;
  uintptr_t found_ = 0;
  bool no_memory_ = false;
};

}  // namespace

Status CheckSendable(Mutator& source, Ref root) {
  NoCollectScope scope(source);
  Walk walk(source, source.region().state().heap);
  const uintptr_t found = walk.Run(root);
  if (found != 0) {
    return {StatusCode::kInvalidArgument,
            "an object of type \"" + source.TypeOf(ObjectPtr(found)).name() +
                "\" cannot leave its isolate: its type is declared unsendable; send what another "
                "isolate can make one from; path: " +
                PathOfCopy(source, std::span<const Ref>(&root, 1), found, walk.seen())};
  }
  if (walk.no_memory()) {
    return {StatusCode::kResourceExhausted,
            "no memory to look for unsendable objects in what is handed over; drop those, or raise "
            "the limit"};
  }
  return Status::Ok();
}

}  // namespace Atoll
