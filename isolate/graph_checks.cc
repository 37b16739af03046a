#include "isolate/graph_checks.h"

#include <optional>
#include <span>
#include <string>

#include "atoll/function_ref.h"
#include "atoll/handles.h"
#include "gc/mark_stack.h"
#include "heap/flip_to_shared.h"
#include "heap/heap_state.h"
#include "heap/mutator_record.h"
#include "heap/object_model.h"
#include "heap/object_slots.h"
#include "heap/region_state.h"
#include "isolate/copied_objects.h"
#include "isolate/copy_path.h"

namespace Atoll {
namespace {

enum class Verdict : uint8_t {
  kFine,       // and what it refers to is looked at
  kFineWhole,  // with all that it refers to
  kBad,
};
using Judge = FunctionRef<Verdict(uintptr_t object, const Type& type)>;

class Walk {
 public:
  Walk(Mutator& source, HeapState& heap, Judge judge)
      : source_(source),
        heap_(heap),
        judge_(judge),
        encoding_(source.encoding()),
        seen_(*heap.space, heap.allocator),
        stack_(heap.allocator) {}

  /// The first bad object found, or 0. Ends early if there was a Become.
  uintptr_t Run(Ref root) {
    Reach(root.word);
    size_t looked_at = 0;
    MarkEntry entry;
    while (found_ == 0 && !no_memory_ && !was_replaced() && stack_.Pop(&entry)) {
      ForEachSlotOf(heap_, entry, [this](Slot slot) { Reach(slot.Load().word); });
      if (++looked_at % kObjectsPerPoll == 0) source_.Poll();
    }
    return found_;
  }
  bool no_memory() const { return no_memory_; }
  /// What was found is of no value: look anew, from where the root is now.
  bool was_replaced() const { return heap_.becomes != becomes_; }
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
    const Verdict verdict = judge_(object, type);
    if (verdict == Verdict::kBad && found_ == 0) found_ = object;
    no_memory_ |= !seen_.Insert(object, place, 0) ||
                  (verdict == Verdict::kFine && !type.is_leaf() && !stack_.TryPush(object));
  }

  Mutator& source_;
  HeapState& heap_;
  const Judge judge_;
  const RefEncoding& encoding_;
  CopiedObjects seen_;
  MarkStack stack_;
  uintptr_t found_ = 0;
  bool no_memory_ = false;
  const uint64_t becomes_ = heap_.becomes;
};

// Reason: const char*(const Type&), why an object is bad.
template <typename Reason>
Status Check(Mutator& source, Ref word, const char* what, Judge judge, Reason reason) {
  StartsAnewScope scope(source);
  StackScope handles(source);
  StackRef kept(source, word);
  std::optional<Walk> latest;
  uintptr_t found = 0;
  do {
    latest.emplace(source, source.region().state().heap, judge);
    found = latest->Run(kept.Get());
  } while (latest->was_replaced());
  const Walk& walk = *latest;
  const Ref root = kept.Get();
  if (found != 0) {
    const Type& type = source.TypeOf(ObjectPtr(found));
    return {
        StatusCode::kInvalidArgument,
        "an object of type \"" + type.name() + "\" cannot " + what + ": " + reason(type) +
            "; path: " + PathOfCopy(source, std::span<const Ref>(&root, 1), found, walk.seen())};
  }
  if (walk.no_memory()) {
    return {StatusCode::kResourceExhausted,
            std::string("no memory to look for objects that cannot ") + what +
                "; drop objects, or raise the limit"};
  }
  return Status::Ok();
}

}  // namespace

Status CheckSendable(Mutator& source, Ref root) {
  return Check(
      source, root, "leave its isolate",
      [](uintptr_t, const Type& type) {
        return type.flags.unsendable ? Verdict::kBad : Verdict::kFine;
      },
      [](const Type&) {
        return "its type is declared unsendable; send what another isolate can make one from";
      });
}

Status CheckPublishable(Mutator& source, Ref root) {
  return Check(
      source, root, "be published",
      [&source](uintptr_t object, const Type& type) {
        if (!type.flags.deeply_immutable) return Verdict::kBad;
        if (ObjectSize(type, object) > kLargeObjectThreshold &&
            CanFlipToShared(source, ObjectPtr(object), [&source] { source.Poll(); })) {
          return Verdict::kFineWhole;
        }
        return type.flags.identity_free ? Verdict::kFine : Verdict::kBad;
      },
      [](const Type& type) {
        return type.flags.deeply_immutable
                   ? "it has an identity, which a copy would not have, and it cannot become shared "
                     "where it is; declare its type identity_free, or Freeze it"
                   : "its type is not deeply immutable; Freeze makes a copy that never changes";
      });
}

}  // namespace Atoll
