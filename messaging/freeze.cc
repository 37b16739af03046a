#include "heap/heap_state.h"
#include "messaging/messaging_state.h"

namespace Atoll {

Result<Ref> Freeze(Isolate& isolate, Ref root) {
  auto& state = static_cast<IsolateState&>(isolate);
  GroupState& group = state.group_state();
  Mutator& mutator = isolate.mutator();
  const RefEncoding& encoding = mutator.encoding();
  if (!mutator.RefersIntoHeap(encoding, root) ||
      (mutator.TagOf(encoding.Decode(root.word)) & tag::kShared) != 0) {
    return root;
  }
  Residence* residence = group.residences.Take();
  if (residence == nullptr) {
    return Status(StatusCode::kResourceExhausted,
                  "no memory to freeze objects; drop some, or raise the heap's limit");
  }
  residence->SetLimit(0);
  Ref frozen;
  const auto is_killed = [&state] { return state.IsKilled(); };
  const Status status = group.CopierOfThread().CopyInto(
      mutator, root, residence->mutator(), &frozen,
      {.is_cancelled = is_killed, .for_shared = true, .publishes = true});
  if (!status.ok()) {
    group.residences.Give(residence);
    return status;
  }
  group.residences.GiveEmpty(residence);
  return frozen;
}

}  // namespace Atoll
