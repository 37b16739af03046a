// The operations that build and change the graph.
#include <algorithm>

#include "tests/stress/check.h"
#include "tests/stress/worker.h"

namespace Atoll::stress {

Worker::Picked Worker::Pick(World& world) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    const Root& root = world.roots[random_.Below(static_cast<uint32_t>(world.roots.size()))];
    Node* node = root.edge.node();
    if (node == nullptr) continue;
    uintptr_t address = setting_.words->Decode(root.word);
    for (uint32_t steps = random_.Below(5); steps != 0 && node->edge_count != 0; --steps) {
      const uint32_t edge = random_.Below(node->edge_count);
      // Never through a weak edge: whether it is cleared, the model does not know.
      if (edge == 0 && node->kind == Kind::kWeak) continue;
      if (edge <= 1 && node->kind == Kind::kEphemeron) continue;
      Node* next = node->edges()[edge].node();
      if (next == nullptr) continue;
      address = setting_.words->Decode(SlotOf(ObjectPtr(address), node->kind, edge).Load().word);
      node = next;
    }
    const ObjectPtr object(address);
    STRESS_CHECK(IdOf(object, node->kind) == node->id, "object %llu at 0x%zx holds the id %llu",
                 static_cast<unsigned long long>(node->id), static_cast<size_t>(address),
                 static_cast<unsigned long long>(IdOf(object, node->kind)));
    return {node, object};
  }
  return {};
}

Edge Worker::PickValue(World& world, Word* word) {
  const uint32_t choice = random_.Below(16);
  Edge edge;
  uintptr_t address = 0;
  if (choice == 0 && setting_.words->immediate_count() != 0) {
    edge = Edge::Immediate(random_.Below(setting_.words->immediate_count()));
  } else if (choice > 2) {
    if (Picked picked = Pick(world)) {
      edge = Edge(picked.node);
      address = picked.object.address();
    }
  }
  *word = world.WordOf(edge, address);
  return edge;
}

Node* Worker::MakeObject(World& world, Kind kind, uint32_t length, bool no_collect,
                         ObjectPtr* object) {
  Mutator& mutator = world.mutator();
  const Type& type = *setting_.types[static_cast<size_t>(kind)];
  const KindLayout& layout = LayoutOf(kind);
  if (layout.element_size != 0) {
    *object = no_collect ? mutator.AllocateArrayNoCollect(type, length)
                         : mutator.AllocateArray(type, length);
  } else {
    *object =
        no_collect ? mutator.AllocateNoCollect(type, layout.fixed_size) : mutator.Allocate(type);
  }
  if (!*object) {
    STRESS_CHECK(setting_.memory_is_refused, "an allocation of %s failed: %s", type.name().c_str(),
                 mutator.last_error().message().c_str());
    STRESS_CHECK(mutator.last_error().code() == StatusCode::kResourceExhausted, "%s",
                 mutator.last_error().message().c_str());
    ++refused_allocations_;
    return nullptr;
  }
  const size_t size = mutator.SizeOf(*object);
  STRESS_CHECK(IsZeroed(*object, kind, length, size), "a fresh %s of length %u is not zero",
               type.name().c_str(), length);
  Node* node = world.NewNode(kind, length);
  FillData(*object, *node);
  if (kind == Kind::kStay) node->stays_at = object->address();
  return node;
}

Kind Worker::RandomSmallKind() {
  const uint32_t choice = random_.Below(64);
  if (choice < 24) return Kind::kPair;
  if (choice < 38) return Kind::kNode;
  if (choice < 46) return Kind::kLeaf;
  if (choice < 50) return Kind::kWeak;
  if (choice < 54) return Kind::kEphemeron;
  if (choice < 57) return Kind::kCustom;
  if (choice < 60) return Kind::kSelf;
  if (choice < 61) return Kind::kWide;
  if (choice < 62) return Kind::kPairTwin;
  return choice == 62 ? Kind::kHalf : Kind::kStay;
}

// References into a fresh object; a few of many elements.
void Worker::Fill(World& world, Node* node, ObjectPtr object) {
  if (node->edge_count == 0) return;
  const uint32_t wanted = node->edge_count <= 6 ? node->edge_count : 4;
  const bool young = node->kind != Kind::kStay;
  for (uint32_t i = 0; i < wanted; ++i) {
    const uint32_t edge = wanted == node->edge_count ? i : random_.Below(node->edge_count);
    Word word;
    Edge value = PickValue(world, &word);
    if (node->kind == Kind::kEphemeron && edge == 0 && value.is_immediate()) {
      value = Edge();  // an ephemeron's key is an object
      word = 0;
    }
    if (node->kind == Kind::kEphemeron && edge == 1 && node->edges()[0].null()) continue;
    const Slot slot = SlotOf(object, node->kind, edge);
    if (young) {
      setting_.encoding->barriers.store_initial(world.mutator(), object, slot, Ref{word});
    } else {
      setting_.encoding->barriers.store(world.mutator(), object, slot, Ref{word});
    }
    node->edges()[edge] = value;
  }
}

void Worker::Attach(World& world, Node* node, ObjectPtr object) {
  const Word word = setting_.words->Of(node->id, object.address());
  if (!random_.OneIn(4)) {
    if (Picked holder = Pick(world); holder && holder.node->edge_count != 0) {
      const uint32_t edge = random_.Below(holder.node->edge_count);
      if (holder.node->kind != Kind::kEphemeron) {
        const Slot slot = SlotOf(holder.object, holder.node->kind, edge);
        setting_.encoding->barriers.store(world.mutator(), holder.object, slot, Ref{word});
        holder.node->edges()[edge] = Edge(node);
        return;
      }
    }
  }
  Root& root = world.roots[random_.Below(static_cast<uint32_t>(world.roots.size()))];
  world.SetRoot(root, Edge(node), word);
}

void Worker::AllocateSmall(World& world) {
  ObjectPtr object;
  Node* node = MakeObject(world, RandomSmallKind(), 0, false, &object);
  if (node == nullptr) return OnRefused(world);
  Fill(world, node, object);
  Attach(world, node, object);
}

void Worker::AllocateElements(World& world) {
  constexpr Kind kKindsOfArrays[] = {Kind::kRefArray, Kind::kStructArray, Kind::kBytes};
  const Kind kind = kKindsOfArrays[random_.Below(3)];
  // Mostly small; some large, in blocks of their own; a few of several blocks.
  const uint32_t shape = random_.Below(256);
  uint32_t bytes = random_.Below(200);
  if (shape < 8) bytes = random_.Below(12 * 1024);
  if (shape == 0) bytes = random_.Below(150 * 1024);
  const uint32_t length = bytes / LayoutOf(kind).element_size;
  ObjectPtr object;
  Node* node = MakeObject(world, kind, length, false, &object);
  if (node == nullptr) return OnRefused(world);
  Fill(world, node, object);
  Attach(world, node, object);
}

void Worker::AllocateInNoCollectScope(World& world) {
  Mutator& mutator = world.mutator();
  NoCollectScope scope(mutator);
  // Raw references, held across polls and allocations.
  Node* nodes[12];
  ObjectPtr objects[12];
  int made = 0;
  for (; made < 12; ++made) {
    nodes[made] =
        MakeObject(world, random_.OneIn(2) ? Kind::kPair : Kind::kNode, 0, true, &objects[made]);
    if (nodes[made] == nullptr) break;
    if (random_.OneIn(4)) mutator.Poll();
    if (random_.OneIn(16)) {
      const Status status = mutator.Collect(Mutator::Collection::kMinor);
      STRESS_CHECK(!status.ok(), "a collection inside a NoCollectScope was not refused");
    }
    if (made == 0) continue;
    const Slot slot = SlotOf(objects[made], nodes[made]->kind, 0);
    const Word word = setting_.words->Of(nodes[made - 1]->id, objects[made - 1].address());
    setting_.encoding->barriers.store(mutator, objects[made], slot, Ref{word});
    nodes[made]->edges()[0] = Edge(nodes[made - 1]);
  }
  for (int i = 0; i < made; ++i) {
    STRESS_CHECK(IdOf(objects[i], nodes[i]->kind) == nodes[i]->id,
                 "an object has moved inside a NoCollectScope");
  }
  if (made != 0) Attach(world, nodes[made - 1], objects[made - 1]);
}

void Worker::StoreOne(World& world) {
  const Picked holder = Pick(world);
  if (!holder || holder.node->edge_count == 0) return;
  Node& node = *holder.node;
  uint32_t edge = random_.Below(node.edge_count);
  Word word;
  Edge value = PickValue(world, &word);
  if (node.kind == Kind::kEphemeron && edge <= 1) {
    // Key and value together: a new key with a new value, or nothing.
    const Barriers& barriers = setting_.encoding->barriers;
    if (value.node() == nullptr) {
      value = Edge();
      word = 0;
    }
    Word value_word = 0;
    const Edge second = value.null() ? Edge() : PickValue(world, &value_word);
    barriers.store(world.mutator(), holder.object, SlotOf(holder.object, node.kind, 0), Ref{word});
    barriers.store(world.mutator(), holder.object, SlotOf(holder.object, node.kind, 1),
                   Ref{value_word});
    node.edges()[0] = value;
    node.edges()[1] = second;
    return;
  }
  const Slot slot = SlotOf(holder.object, node.kind, edge);
  const Barriers& barriers = setting_.encoding->barriers;
  Mutator& mutator = world.mutator();
  const Word held = slot.Load().word;
  switch (random_.Below(8)) {
    case 0: {
      Ref expected{held};
      STRESS_CHECK(barriers.compare_exchange(mutator, holder.object, slot, expected, Ref{word}),
                   "a CompareExchange with the value held failed");
      break;
    }
    case 1: {
      Ref expected{held ^ 0x10};
      STRESS_CHECK(!barriers.compare_exchange(mutator, holder.object, slot, expected, Ref{word}),
                   "a CompareExchange with another value than the one held succeeded");
      STRESS_CHECK(expected.word == held, "a failed CompareExchange did not load the value held");
      return;
    }
    case 2:
      STRESS_CHECK(barriers.exchange(mutator, holder.object, slot, Ref{word}).word == held,
                   "Exchange returned something else than was held");
      break;
    case 3:
      barriers.store_release(mutator, holder.object, slot, Ref{word});
      break;
    default:
      barriers.store(mutator, holder.object, slot, Ref{word});
      break;
  }
  node.edges()[edge] = value;
}

void Worker::CopyMany(World& world) {
  const Picked target = Pick(world);
  if (!target || target.node->kind != Kind::kRefArray || target.node->length == 0) return;
  Picked source = random_.OneIn(2) ? target : Pick(world);
  if (!source || source.node->kind != Kind::kRefArray || source.node->length == 0) source = target;
  const uint32_t most = std::min({target.node->length, source.node->length, 64u});
  const uint32_t count = 1 + random_.Below(most);
  const uint32_t to = random_.Below(target.node->length - count + 1);
  const uint32_t from = random_.Below(source.node->length - count + 1);
  setting_.encoding->barriers.copy_refs(world.mutator(), target.object,
                                        SlotOf(target.object, Kind::kRefArray, to),
                                        SlotOf(source.object, Kind::kRefArray, from), count);
  const std::vector<Edge> copied(source.node->edges() + from, source.node->edges() + from + count);
  std::copy(copied.begin(), copied.end(), target.node->edges() + to);
}

void Worker::RememberAndStore(World& world) {
  const Picked holder = Pick(world);
  if (!holder || holder.node->edge_count == 0 || holder.node->kind == Kind::kEphemeron) return;
  world.mutator().RememberForStores(holder.object);
  for (uint32_t i = 0; i < 3; ++i) {
    const uint32_t edge = random_.Below(holder.node->edge_count);
    Word word;
    const Edge value = PickValue(world, &word);
    SlotOf(holder.object, holder.node->kind, edge).StoreRaw(Ref{word});
    holder.node->edges()[edge] = value;
  }
}

void Worker::DropRoot(World& world) {
  Root& root = world.roots[random_.Below(static_cast<uint32_t>(world.roots.size()))];
  world.SetRoot(root, Edge(), 0);
}

void Worker::ChangeRoot(World& world) {
  Word word;
  const Edge value = PickValue(world, &word);
  Root& root = world.roots[random_.Below(static_cast<uint32_t>(world.roots.size()))];
  if (root.how == Root::How::kDerived && value.node() == nullptr) return;
  world.SetRoot(root, value, word);
}

}  // namespace Atoll::stress
