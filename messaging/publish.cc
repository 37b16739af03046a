#include "atoll/handles.h"
#include "heap/heap_state.h"
#include "heap/region_state.h"
#include "isolate/graph_checks.h"
#include "messaging/messaging_state.h"

namespace Atoll {
namespace {

// Whether it is a reference to a private object.
bool IsPrivate(const Mutator& mutator, Ref value) {
  const RefEncoding& encoding = mutator.encoding();
  return mutator.RefersIntoHeap(encoding, value) &&
         (mutator.TagOf(encoding.Decode(value.word)) & tag::kShared) == 0;
}

// Copies what `root`, a private object, reaches into the Shared space.
Result<Ref> Share(IsolateState& isolate, Ref root, bool only_identity_free) {
  GroupState& group = isolate.group_state();
  Mutator& mutator = isolate.mutator();
  GraphCopier& copier = group.CopierOfThread();
  const auto is_killed = [&isolate] { return isolate.IsKilled(); };
  const CopyOptions options{.is_cancelled = is_killed,
                            .for_shared = true,
                            .publishes = true,
                            .only_identity_free = only_identity_free};
  StackScope scope(mutator);
  StackRef kept(mutator, root);
  Ref shared;
  auto small = copier.CopySmallIntoShared(mutator, root, &shared, options);
  if (!small.ok()) return small.status();
  if (small.value()) return shared;
  Residence* residence = group.residences.Take();
  if (residence == nullptr) {
    return Status(StatusCode::kResourceExhausted,
                  "no memory to copy objects; drop some, or raise the heap's limit");
  }
  residence->SetLimit(0);
  const Status status =
      copier.CopyInto(mutator, kept.Get(), residence->mutator(), &shared, options);
  if (!status.ok()) {
    group.residences.Give(residence);
    return status;
  }
  group.residences.GiveEmpty(residence);
  return shared;
}

}  // namespace

Result<Ref> Freeze(Isolate& isolate, Ref root) {
  if (!IsPrivate(isolate.mutator(), root)) return root;
  return Share(static_cast<IsolateState&>(isolate), root, /*only_identity_free=*/false);
}

Result<Ref> Publish(Isolate& isolate, Ref root) {
  Mutator& mutator = isolate.mutator();
  if (!IsPrivate(mutator, root)) return root;
  StackScope scope(mutator);
  StackRef kept(mutator, root);
  if (Status status = CheckPublishable(mutator, root); !status.ok()) return status;
  return Share(static_cast<IsolateState&>(isolate), kept.Get(), /*only_identity_free=*/true);
}

Result<Ref> StoreShared(Isolate& isolate, ObjectPtr holder, Slot slot, Ref value) {
  Mutator& mutator = isolate.mutator();
  const AddressSpace& space = *mutator.region().state().heap.space;
  const uintptr_t at = holder.address();
  if (!mutator.InReservation(at) || space.info(space.BlockOf(at)).space != Space::kProgram) {
    return Status(StatusCode::kInvalidArgument,
                  "StoreShared stores into Program objects, which all isolates read; use Store for "
                  "objects of the isolate's own, and none for shared ones, which never change");
  }
  const size_t size = mutator.SizeOf(holder);
  if (slot.address() - at < kHeaderSize || slot.address() - at > size - slot.bytes()) {
    return Status(StatusCode::kInvalidArgument,
                  "StoreShared: the slot lies outside its object of type \"" +
                      mutator.TypeOf(holder).name() + "\"");
  }
  auto published = Publish(isolate, value);
  if (published.ok()) mutator.StoreIntoSharedSlow(holder, slot, published.value());
  return published;
}

}  // namespace Atoll
