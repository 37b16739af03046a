// The operations on what hangs on objects: handles, pins, hashes, finalizers, weak references.
#include "tests/stress/check.h"
#include "tests/stress/worker.h"

namespace Atoll::stress {

void Worker::UseHandles(World& world) {
  auto& frames = world.frames;
  const uint32_t choice = random_.Below(8);
  if (frames.empty() || (choice == 0 && frames.size() < 4)) {
    frames.push_back(std::make_unique<Frame>(world.mutator()));
    return;
  }
  Frame& frame = *frames.back();
  // Seldom so many that handles need another segment.
  const size_t most = random_.OneIn(64) ? 2000 : 24;
  if (choice == 1 || frame.edges.size() > most) {
    frames.pop_back();
    return;
  }
  Word word;
  const Edge value = PickValue(world, &word);
  if (choice == 2 && !frame.edges.empty()) {
    const uint32_t i = random_.Below(static_cast<uint32_t>(frame.edges.size()));
    frame.locals[i].Set(Ref{word});
    frame.edges[i] = value;
    return;
  }
  const uint32_t count = random_.OneIn(512) ? 400 : 1;
  for (uint32_t i = 0; i < count; ++i) {
    frame.locals.emplace_back(world.mutator(), Ref{word});
    frame.edges.push_back(value);
  }
}

void Worker::UsePersistents(World& world) {
  const Picked picked = Pick(world);
  if (!picked) return;
  const Ref ref{setting_.words->Of(picked.node->id, picked.object.address())};
  auto& persistents = world.persistents;
  if (persistents.size() < 8) {
    persistents.push_back({Persistent(world.region(), ref), picked.node});
    return;
  }
  const uint32_t i = random_.Below(static_cast<uint32_t>(persistents.size()));
  if (random_.OneIn(2)) {
    persistents[i].handle.Set(ref);
    persistents[i].node = picked.node;
  } else {
    std::swap(persistents[i], persistents.back());
    persistents.back().handle.Reset();
    persistents.pop_back();
  }
}

void Worker::UseWeakPersistents(World& world) {
  auto& weak = world.weak_persistents;
  if (weak.size() >= 8) {
    weak.erase(weak.begin() + random_.Below(static_cast<uint32_t>(weak.size())));
    return;
  }
  if (const Picked picked = Pick(world)) {
    const Ref ref{setting_.words->Of(picked.node->id, picked.object.address())};
    weak.push_back({WeakPersistent(world.region(), ref), picked.node});
  }
}

void Worker::UsePins(World& world) {
  auto& pins = world.pins;
  if (pins.size() >= 6 || (!pins.empty() && random_.OneIn(2))) {
    const uint32_t i = random_.Below(static_cast<uint32_t>(pins.size()));
    const Status status = world.mutator().Unpin(ObjectPtr(pins[i].second));
    STRESS_CHECK(status.ok(), "%s", status.message().c_str());
    pins[i] = pins.back();
    pins.pop_back();
    return;
  }
  if (const Picked picked = Pick(world)) {
    const Status status = world.mutator().Pin(picked.object);
    if (status.ok()) {
      pins.emplace_back(picked.node, picked.object.address());
    } else {
      STRESS_CHECK(setting_.memory_is_refused, "%s", status.message().c_str());
    }
  }
}

void Worker::UpgradeWeak(World& world) {
  const Picked picked = Pick(world);
  if (!picked || picked.node->kind != Kind::kWeak) return;
  const Ref ref = SlotOf(picked.object, Kind::kWeak, 0).Load();  // as WeakGet

  Edge& edge = picked.node->edges()[0];
  if (edge.node() == nullptr) {
    STRESS_CHECK(ref.word == world.WordOfNonNode(edge),
                 "a weak reference to no object has changed");
    return;
  }
  Node* target = edge.node();
  if (ref.word == 0) {
    edge = Edge();
    return;
  }
  // The target lives, whether or not it was reachable: it is brought back.
  const ObjectPtr object(setting_.words->Decode(ref.word));
  STRESS_CHECK(IdOf(object, target->kind) == target->id && !target->known_dead,
               "weak reference %llu to object %llu refers to something else",
               static_cast<unsigned long long>(picked.node->id),
               static_cast<unsigned long long>(target->id));
  Root& root = world.roots[random_.Below(static_cast<uint32_t>(world.roots.size()))];
  world.SetRoot(root, edge, ref.word);
  world.NoteBroughtBack(target);
}

void Worker::UseWeakTable(World& world) {
  const Picked picked = Pick(world);
  if (!picked) return;
  const WeakTable& table = *setting_.weak_table;
  Node& node = *picked.node;
  const Word found = table.Get(world.mutator(), picked.object).value_or(0);
  STRESS_CHECK(found == node.table_word, "the weak table says 0x%llx of object %llu, not 0x%llx",
               static_cast<unsigned long long>(found), static_cast<unsigned long long>(node.id),
               static_cast<unsigned long long>(node.table_word));
  if (random_.OneIn(3)) {
    const bool was_there = table.Remove(world.mutator(), picked.object);
    STRESS_CHECK(was_there == (node.table_word != 0), "what Remove says of object %llu is wrong",
                 static_cast<unsigned long long>(node.id));
    node.table_word = 0;
  } else {
    const Word word = random_.Next() | 1;
    const Status status = table.Put(world.mutator(), picked.object, word);
    STRESS_CHECK(status.ok(), "%s", status.message().c_str());
    node.table_word = word;
  }
  node.hash = world.mutator().IdentityHash(picked.object);  // drawn by the table, if not before
}

void Worker::AskHash(World& world) {
  const Picked picked = Pick(world);
  if (!picked) return;
  const uint32_t hash = world.mutator().IdentityHash(picked.object);
  STRESS_CHECK(hash != 0, "an identity hash of zero");
  STRESS_CHECK(picked.node->hash == 0 || picked.node->hash == hash,
               "the identity hash of object %llu has changed",
               static_cast<unsigned long long>(picked.node->id));
  picked.node->hash = hash;
}

void Worker::Shrink(World& world) {
  const Picked picked = Pick(world);
  if (!picked || !HasElements(picked.node->kind) || picked.node->length == 0) return;
  Node& node = *picked.node;
  const uint32_t length = random_.Below(node.length + 1);
  const Status status = world.mutator().ShrinkInPlace(picked.object, length);
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  node.length = length;
  node.edge_count = EdgeCount(node.kind, length);
  // The sampled data words depend on the length.
  FillData(picked.object, node);
}

void Worker::ChangeKind(World& world) {
  const Picked picked = Pick(world);
  if (!picked) return;
  Node& node = *picked.node;
  Kind to;
  switch (node.kind) {
    case Kind::kPair:
      to = random_.OneIn(2) ? Kind::kPairTwin : Kind::kHalf;
      break;
    case Kind::kPairTwin:
    case Kind::kHalf:
      to = Kind::kPair;
      break;
    default:
      return;
  }
  // What is a reference in one type and data in the other is empty while the type changes.
  if (node.kind == Kind::kHalf || to == Kind::kHalf) {
    SlotOf(picked.object, Kind::kPair, 1).StoreRaw(Ref{});
    Slot(picked.object.address() + 24).StoreRaw(Ref{});
  }
  const Status status =
      world.mutator().ChangeType(picked.object, *setting_.types[static_cast<size_t>(to)]);
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  if (node.kind == Kind::kHalf || to == Kind::kHalf) node.edges()[1] = Edge();
  node.kind = to;
  node.edge_count = EdgeCount(to, 0);
  FillData(picked.object, node);
}

void Worker::AddFinalizer(World& world) {
  const Picked picked = Pick(world);
  if (!picked) return;
  const bool may_guard =
      setting_.guardians && picked.node->kind == Kind::kPair && !picked.node->guarded;
  const uint32_t choice = random_.Below(may_guard ? 3 : 2);
  if (choice == 2) {
    const Status status =
        world.mutator().AddFinalizer(picked.object, FinalizerKind::kGuardian, nullptr, nullptr);
    STRESS_CHECK(status.ok() || setting_.memory_is_refused, "%s", status.message().c_str());
    if (!status.ok()) return;
    picked.node->guarded = true;
    world.guarded[picked.node->id] = picked.node;
    return;
  }
  auto token = std::make_unique<Token>();
  token->kind = choice == 0 ? FinalizerKind::kNative : FinalizerKind::kThreadAffine;
  token->owner = std::this_thread::get_id();
  token->external_bytes = random_.OneIn(2) ? random_.Below(1000) : 0;
  const Status status = world.mutator().AddFinalizer(picked.object, token->kind, Token::Fire,
                                                     token.get(), token->external_bytes);
  STRESS_CHECK(status.ok() || setting_.memory_is_refused, "%s", status.message().c_str());
  if (status.ok()) world.finalizers.emplace_back(picked.node, std::move(token));
}

void Worker::TakeGuarded(World& world) {
  if (!setting_.guardians) return;
  const Ref ref = world.region().NextGuarded();
  if (ref.word == 0) return;
  const ObjectPtr object(setting_.words->Decode(ref.word));
  const auto found = world.guarded.find(IdOf(object, Kind::kPair));
  STRESS_CHECK(found != world.guarded.end(), "the guardian queue gave an object not guarded");
  Node* node = found->second;
  world.guarded.erase(found);
  node->guarded = false;
  // Kept or dropped again.
  if (random_.OneIn(2)) {
    Root& root = world.roots[random_.Below(static_cast<uint32_t>(world.roots.size()))];
    world.SetRoot(root, Edge(node), setting_.words->Of(node->id, object.address()));
    world.BringBack(node);
  }
}

void Worker::ChangeExternalBytes(World& world) {
  int64_t delta = static_cast<int64_t>(random_.Below(4096)) - 2048;
  if (world.external_bytes + delta < 0) delta = -world.external_bytes;
  world.mutator().AdjustExternalBytes(delta);
  world.external_bytes += delta;
}

}  // namespace Atoll::stress
