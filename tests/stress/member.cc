// A member's graph: its roots, the choice of objects, and the walk that compares heap and model.
#include "tests/stress/member.h"

#include <algorithm>

#include "tests/stress/check.h"

namespace Atoll::stress {
namespace {

unsigned long long Number(uint64_t number) { return static_cast<unsigned long long>(number); }

}  // namespace

Member::Member(Community& community, Seat& seat, uint64_t number)
    : community_(community), seat_(seat), setting_(community.setting()), number_(number) {}

void Member::VisitRoots(RootVisitor& visitor) {
  for (size_t i = 0; i < kClientRoots; ++i) {
    if (i % 2 == 0) {
      visitor.VisitSlot(Slot(&roots_[i]));
    } else {
      roots_[i] = visitor.VisitValue(Ref{roots_[i]}).word;
    }
  }
}

Word Member::RootWord(const Isolate& isolate, uint32_t i) const {
  return i < kFields ? isolate.field(i).word : roots_[i - kFields];
}

void Member::SetRoot(Isolate& isolate, uint32_t i, Edge edge, Word word) {
  if (i < kFields) {
    const Status status = isolate.SetField(i, Ref{word});
    STRESS_CHECK(status.ok() || setting_.memory_is_refused, "%s", status.message().c_str());
    if (!status.ok()) return;
  } else {
    roots_[i - kFields] = word;
  }
  edges_[i] = edge;
}

Word Member::WordOf(Edge edge, uintptr_t address) const {
  if (edge.node() != nullptr) return setting_.words->Of(edge.node()->id, address);
  return edge.is_immediate() ? setting_.words->Immediate(edge.immediate()) : 0;
}

Member::Picked Member::Pick(Isolate& isolate) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    const uint32_t root = AnyRoot();
    Node* node = edges_[root].node();
    if (node == nullptr) continue;
    uintptr_t address = setting_.words->Decode(RootWord(isolate, root));
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
                 Number(node->id), static_cast<size_t>(address), Number(IdOf(object, node->kind)));
    return {node, object};
  }
  return {};
}

Edge Member::PickValue(Isolate& isolate, Word* word) {
  const uint32_t choice = random_.Below(16);
  Edge edge;
  uintptr_t address = 0;
  if (choice == 0 && setting_.words->immediate_count() != 0) {
    edge = Edge::Immediate(random_.Below(setting_.words->immediate_count()));
  } else if (choice > 2) {
    if (const Picked picked = Pick(isolate)) {
      edge = Edge(picked.node);
      address = picked.object.address();
    }
  }
  *word = WordOf(edge, address);
  return edge;
}

Node* Member::NewNode(uint64_t id, Kind kind, uint32_t length) {
  graph_.nodes.push_back(std::make_unique<Node>(id, kind, length, EdgeCount(kind, length)));
  return graph_.nodes.back().get();
}

Node* Member::Allocate(Isolate& isolate, Kind kind, uint32_t length, ObjectPtr* object) {
  Mutator& mutator = isolate.mutator();
  const Type& type = TypeOf(kind);
  *object = HasElements(kind) ? mutator.AllocateArray(type, length) : mutator.Allocate(type);
  if (!*object) {
    const Status error = mutator.last_error();
    STRESS_CHECK(setting_.memory_is_refused && error.code() == StatusCode::kResourceExhausted,
                 "an allocation of %s failed: %s", type.name().c_str(), error.message().c_str());
    community_.counts().refused_memory.fetch_add(1, std::memory_order_relaxed);
    DropHalf(isolate);
    return nullptr;
  }
  Node* node = NewNode(NewId(), kind, length);
  FillData(*object, *node);
  if (kind == Kind::kStay) node->stays_at = object->address();
  return node;
}

void Member::DropHalf(Isolate& isolate) {
  for (uint32_t i = 0; i < kRoots; ++i) {
    if (random_.OneIn(2)) SetRoot(isolate, i, Edge(), 0);
  }
  persistents_.clear();
}

void Member::Take(Graph graph) {
  for (auto& node : graph.nodes) graph_.nodes.push_back(std::move(node));
  for (auto& finalizer : graph.finalizers) graph_.finalizers.push_back(finalizer);
  // The walks of the two are numbered apart.
  graph_.walk_number = std::max(graph_.walk_number, graph.walk_number);
}

// ---- The walk

void Member::Reach(Walk& walk, Mutator& mutator, Edge edge, Word word, const char* from,
                   uint64_t id) {
  Node* node = edge.node();
  if (node == nullptr) {
    STRESS_CHECK(word == WordOf(edge, 0), "%s %llu: the word 0x%llx instead of 0x%llx", from,
                 Number(id), Number(word), Number(WordOf(edge, 0)));
    return;
  }
  uintptr_t address = 0;
  if (IsReached(walk, *node)) {
    address = node->frozen ? walk.frozen[node] : node->address;
    STRESS_CHECK(word == setting_.words->Of(node->id, address),
                 "%s %llu: the word 0x%llx for object %llu, which is at 0x%zx", from, Number(id),
                 Number(word), Number(node->id), static_cast<size_t>(address));
    return;
  }
  address = CheckObject(setting_, mutator, *node, word, from, id);
  const bool is_shared = (mutator.TagOf(address) & tag::kShared) != 0;
  STRESS_CHECK(is_shared == node->frozen, "%s %llu: object %llu is %s", from, Number(id),
               Number(node->id), is_shared ? "shared" : "not shared");
  if (node->frozen) {
    walk.frozen.emplace(node, address);
  } else {
    node->reached = walk.number;
    node->address = address;
  }
  ++walk.reached;
  walk.pending.emplace_back(node, address);
}

bool Member::IsReached(const Walk& walk, const Node& node) const {
  return node.frozen ? walk.frozen.count(&node) != 0 : node.reached == walk.number;
}

void Member::Drain(Walk& walk, Mutator& mutator) {
  while (!walk.pending.empty()) {
    const auto [node, address] = walk.pending.back();
    walk.pending.pop_back();
    uint32_t first = 0;
    if (node->kind == Kind::kWeak) {
      walk.weak.emplace_back(node, address);
      first = 1;
    } else if (node->kind == Kind::kEphemeron) {
      walk.ephemerons.emplace_back(node, address);
      first = 2;
    }
    for (uint32_t i = first; i < node->edge_count; ++i) {
      const Word word = SlotOf(ObjectPtr(address), node->kind, i).Load().word;
      Reach(walk, mutator, node->edges()[i], word, "from object", node->id);
    }
  }
}

void Member::CheckWeak(Walk& walk, Mutator& mutator) {
  const auto word_of = [](const std::pair<Node*, uintptr_t>& at, uint32_t edge) {
    return SlotOf(ObjectPtr(at.second), at.first->kind, edge).Load().word;
  };
  // What is not reached may be gone, or be there still: then the model keeps its node, to know it.
  const auto keep = [&](Node* target) {
    if (target != nullptr && !target->frozen) target->resurrected = walk.number;
  };
  for (const auto& at : walk.weak) {
    Edge& edge = at.first->edges()[0];
    const Word word = word_of(at, 0);
    if (edge.node() == nullptr || IsReached(walk, *edge.node())) {
      Reach(walk, mutator, edge, word, "from weak reference", at.first->id);
    } else if (word == 0) {
      edge = Edge();
    } else {
      STRESS_CHECK(
          IdOf(ObjectPtr(setting_.words->Decode(word)), edge.node()->kind) == edge.node()->id,
          "weak reference %llu refers to something else", Number(at.first->id));
      keep(edge.node());
    }
  }
  for (const auto& at : walk.ephemerons) {  // those with keys that are not reached
    Edge* edges = at.first->edges();
    if (word_of(at, 0) == 0) {
      STRESS_CHECK(word_of(at, 1) == 0, "ephemeron %llu has lost its key and kept its value",
                   Number(at.first->id));
      edges[0] = edges[1] = Edge();
    } else {
      keep(edges[0].node());
      keep(edges[1].node());
    }
  }
}

void Member::Prune(uint32_t walk_number) {
  std::erase_if(graph_.finalizers, [&](const auto& entry) {
    const auto& [node, token] = entry;
    const int fired = token->fired.load();
    STRESS_CHECK(fired <= (node->reached == walk_number ? 0 : 1),
                 "object %llu %s, and its finalizer fired %d times", Number(node->id),
                 node->reached == walk_number ? "lives" : "is dead", fired);
    return node->reached != walk_number;
  });
  std::erase_if(graph_.nodes, [&](const std::unique_ptr<Node>& node) {
    return node->reached != walk_number && node->resurrected != walk_number;
  });
}

size_t Member::Verify(Isolate& isolate) {
  Mutator& mutator = isolate.mutator();
  Walk walk;
  walk.number = ++graph_.walk_number;
  for (uint32_t i = 0; i < kRoots; ++i) {
    Reach(walk, mutator, edges_[i], RootWord(isolate, i), "from root", i);
  }
  for (const auto& held : persistents_) {
    Reach(walk, mutator, Edge(held.node), held.handle.Get().word, "from persistent", held.node->id);
  }
  if (local_ != nullptr) {
    Reach(walk, mutator, Edge(local_node_), local_->Get().word, "from local", local_node_->id);
  }
  Drain(walk, mutator);
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t i = 0; i < walk.ephemerons.size(); ++i) {
      const auto [node, address] = walk.ephemerons[i];
      const Node* key = node->edges()[0].node();
      if (key != nullptr && !IsReached(walk, *key)) continue;
      for (uint32_t edge : {0u, 1u}) {
        const Word word = SlotOf(ObjectPtr(address), node->kind, edge).Load().word;
        Reach(walk, mutator, node->edges()[edge], word, "from ephemeron", node->id);
      }
      walk.ephemerons[i--] = walk.ephemerons.back();
      walk.ephemerons.pop_back();
      Drain(walk, mutator);
      progress = true;
    }
  }
  CheckWeak(walk, mutator);
  Prune(walk.number);
  return walk.reached;
}

}  // namespace Atoll::stress
