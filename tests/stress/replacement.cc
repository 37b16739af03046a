// Become: an object is replaced by another that stands for the same node, of another shape perhaps.
// The model stays as it is; whatever still refers to the old object is found by the next walk,
// since the old one is overwritten.
#include <string>

#include "atoll/become.h"
#include "atoll/program.h"
#include "tests/stress/check.h"
#include "tests/stress/member.h"
#include "tests/stress/worker.h"

namespace Atoll::stress {
namespace {

// What an object that stands for the node may be after its replacement.
Kind NewKindOf(const Node& node, Random& random) {
  // A guarded object is known by the id of a Pair.
  if (node.kind == Kind::kPair && !node.guarded && random.OneIn(4)) return Kind::kNode;
  return node.kind;
}

void CopyEdges(const Barriers& barriers, Mutator& mutator, ObjectPtr from, const Node& old_node,
               ObjectPtr to, const Node& new_node) {
  for (uint32_t i = 0; i < old_node.edge_count; ++i) {
    barriers.store(mutator, to, SlotOf(to, new_node.kind, i),
                   SlotOf(from, old_node.kind, i).Load());
  }
}

// Whoever reads the old object from now on sees another id.
void Spoil(ObjectPtr object, Kind kind) { IdOf(object, kind) = ~uint64_t{0}; }

// The node stands for an object of the other node's shape now.
void TakeShape(Node& node, const Node& shape, uintptr_t address) {
  STRESS_CHECK(shape.edge_count <= Node::kInlineEdges || shape.kind == node.kind,
               "edges that a node has no room for");
  node.kind = shape.kind;
  node.edge_count = shape.edge_count;
  if (node.stays_at != 0) node.stays_at = address;
}

// `fresh` takes the place of `old`; or each that of the other, which comes to the same.
Status BecomeInStop(Heap& heap, const StoppedScope& stopped, LocalRef& old, LocalRef& fresh,
                    const Words& words, Kind old_kind, bool exchanges) {
  const Ref before[] = {old.Get(), fresh.Get()};
  const Ref after[] = {fresh.Get(), old.Get()};
  const size_t pairs = exchanges ? 2 : 1;
  const Status status = Become(heap, stopped, {before, pairs}, {after, pairs});
  if (!status.ok()) {
    STRESS_CHECK(old.Get() == before[0], "a Become that was refused has changed a handle");
    return status;
  }
  STRESS_CHECK(old.Get() == after[0], "after a Become a handle refers to 0x%llx, not 0x%llx",
               static_cast<unsigned long long>(old.Get().word),
               static_cast<unsigned long long>(after[0].word));
  STRESS_CHECK(fresh.Get() == (exchanges ? before[0] : after[0]),
               "after a Become a handle to the new object refers to 0x%llx",
               static_cast<unsigned long long>(fresh.Get().word));
  fresh.Set(old.Get());
  Spoil(ObjectPtr(words.Decode(before[0].word)), old_kind);
  return status;
}

}  // namespace

// ---- A worker's

void Worker::Replace(World& world) {
  Mutator& mutator = world.mutator();
  const Picked picked = Pick(world);
  if (!picked) return;
  Node& node = *picked.node;
  const Kind kind = NewKindOf(node, random_);
  const Node shape(node.id, kind, node.length, EdgeCount(kind, node.length));
  HandleScope scope(mutator);
  LocalRef old(mutator, Ref{setting_.words->Of(node.id, picked.object.address())});
  const Type& type = *setting_.types[static_cast<size_t>(kind)];
  const ObjectPtr twin =
      HasElements(kind) ? mutator.AllocateArray(type, node.length) : mutator.Allocate(type);
  if (!twin) {
    STRESS_CHECK(setting_.memory_is_refused, "%s", mutator.last_error().message().c_str());
    ++refused_allocations_;
    return OnRefused(world);
  }
  FillData(twin, shape);
  CopyEdges(setting_.encoding->barriers, mutator, ObjectPtr(setting_.words->Decode(old.Get().word)),
            node, twin, shape);
  LocalRef fresh(mutator, Ref{setting_.words->Of(node.id, twin.address())});

  bool may_not = false;  // it is pinned, or has a finalizer that does not move
  for (const auto& [pinned, address] : world.pins) may_not |= pinned == &node;
  for (const auto& [owner, token] : world.finalizers) {
    may_not |=
        owner == &node && token->kind == FinalizerKind::kThreadAffine && token->fired.load() == 0;
  }
  const bool exchanges = random_.OneIn(2);
  Status status;
  const Status stopped = setting_.heap->safepoints().RunWithMutatorsStopped(
      SafepointLevel::kReload, "stress: replacement", [&](const StoppedScope& stop) {
        status =
            BecomeInStop(*setting_.heap, stop, old, fresh, *setting_.words, node.kind, exchanges);
      });
  STRESS_CHECK(stopped.ok(), "%s", stopped.message().c_str());
  if (status.ok()) {
    STRESS_CHECK(!may_not,
                 "object %llu is pinned, or has a thread-affine finalizer, and was "
                 "replaced",
                 static_cast<unsigned long long>(node.id));
    TakeShape(node, shape, setting_.words->Decode(fresh.Get().word));
    ++replaced_;
    return;
  }
  STRESS_CHECK((may_not && status.code() == StatusCode::kInvalidArgument) ||
                   // Another mutator's NoCollectScope.
                   status.code() == StatusCode::kFailedPrecondition ||
                   (setting_.memory_is_refused && status.code() == StatusCode::kResourceExhausted),
               "%s", status.message().c_str());
}

// ---- A member's

void Member::Replace(Isolate& isolate) {
  Mutator& mutator = isolate.mutator();
  const Picked picked = Pick(isolate);
  if (!picked) return;
  Node& node = *picked.node;
  // Other isolates read a frozen node, so its shape stays. A weak reference cannot be frozen.
  const Kind kind = node.frozen ? node.kind : NewKindOf(node, random_);
  const Node shape(node.id, kind, node.length, EdgeCount(kind, node.length));
  HandleScope scope(mutator);
  LocalRef old(mutator, Ref{setting_.words->Of(node.id, picked.object.address())});
  const ObjectPtr twin = HasElements(kind) ? mutator.AllocateArray(TypeOf(kind), node.length)
                                           : mutator.Allocate(TypeOf(kind));
  if (!twin) {
    STRESS_CHECK(setting_.memory_is_refused, "%s", mutator.last_error().message().c_str());
    community_.counts().refused_memory.fetch_add(1, std::memory_order_relaxed);
    return DropHalf(isolate);
  }
  FillData(twin, shape);
  CopyEdges(setting_.encoding->barriers, mutator, ObjectPtr(setting_.words->Decode(old.Get().word)),
            node, twin, shape);
  LocalRef fresh(mutator, Ref{setting_.words->Of(node.id, twin.address())});
  if (node.frozen) {
    const Result<Ref> frozen = Freeze(isolate, fresh.Get());
    STRESS_CHECK(frozen.ok() || MayFail(isolate, frozen.status()), "%s",
                 frozen.status().message().c_str());
    if (!frozen.ok()) return;
    fresh.Set(frozen.value());
  }
  const bool exchanges = random_.OneIn(2);
  Status status;
  const Status stopped = isolate.group().program().Change(
      SafepointLevel::kReload, "stress: replacement", [&](const StoppedScope& stop) {
        status = BecomeInStop(isolate.group().heap(), stop, old, fresh, *setting_.words, node.kind,
                              exchanges);
      });
  STRESS_CHECK(stopped.ok(), "%s", stopped.message().c_str());
  if (!status.ok()) {
    STRESS_CHECK(setting_.memory_is_refused && status.code() == StatusCode::kResourceExhausted,
                 "%s", status.message().c_str());
    return;
  }
  community_.counts().replaced.fetch_add(1, std::memory_order_relaxed);
  if (!node.frozen) TakeShape(node, shape, setting_.words->Decode(fresh.Get().word));
}

}  // namespace Atoll::stress
