// The walk that compares heap and model.
//
// R1 is what roots reach (through ephemerons whose keys are reached); R2 is what only dead guarded
// objects reach. R1 must be there, each object once and unchanged. After an exact collection the
// rest must be gone: weak references cleared, ephemerons emptied, finalizers run. What is in R2 may
// be there still, since a guarded object and all it reaches live on until they are dropped.
#include <algorithm>

#include "heap/region_state.h"
#include "tests/stress/check.h"
#include "tests/stress/world.h"

namespace Atoll::stress {
namespace {

unsigned long long Id(const Node& node) { return static_cast<unsigned long long>(node.id); }

}  // namespace

struct World::Walk {
  uint32_t number = 0;
  size_t reached = 0;
  std::vector<Node*> pending;
  std::vector<Node*> weak;
  std::vector<Node*> ephemerons;
  std::vector<Node*> settled_ephemerons;
};

uintptr_t CheckObject(const Setting& setting, Mutator& mutator, const Node& node, Word word,
                      const char* from, uint64_t from_id) {
  const auto from_number = static_cast<unsigned long long>(from_id);
  const uintptr_t address = setting.words->Decode(word);
  STRESS_CHECK(word == setting.words->Of(node.id, address),
               "%s %llu: the word 0x%llx for object %llu has other bits than were stored", from,
               from_number, static_cast<unsigned long long>(word), Id(node));
  STRESS_CHECK(!node.known_dead, "%s %llu: object %llu is reached, but was reported dead", from,
               from_number, Id(node));
  STRESS_CHECK(mutator.InReservation(address) && address % kGranule == 0,
               "%s %llu: object %llu would be at 0x%zx", from, from_number, Id(node),
               static_cast<size_t>(address));
  const ObjectPtr object(address);
  const Type& type = mutator.TypeOf(object);
  STRESS_CHECK(&type == setting.types[static_cast<size_t>(node.kind)],
               "%s %llu: object %llu at 0x%zx should be a %s and has the type number %u", from,
               from_number, Id(node), static_cast<size_t>(address),
               setting.types[static_cast<size_t>(node.kind)]->name().c_str(), type.id());
  if (HasElements(node.kind)) {
    STRESS_CHECK(mutator.LengthOf(object) == node.length, "object %llu: length %zu, not %u",
                 Id(node), mutator.LengthOf(object), node.length);
  }
  const char* wrong = CheckData(object, node);
  STRESS_CHECK(wrong == nullptr, "%s %llu: object %llu (%s) at 0x%zx: %s", from, from_number,
               Id(node), type.name().c_str(), static_cast<size_t>(address), wrong);
  if (node.hash != 0) {
    STRESS_CHECK(mutator.IdentityHash(object) == node.hash, "object %llu: its hash has changed",
                 Id(node));
  }
  STRESS_CHECK(node.stays_at == 0 || node.stays_at == address,
               "%s %llu: object %llu has moved from 0x%zx to 0x%zx", from, from_number, Id(node),
               static_cast<size_t>(node.stays_at), static_cast<size_t>(address));
  return address;
}

void World::Reach(Walk& walk, Node* node, Word word, const char* from, uint64_t from_id) {
  if (node->reached == walk.number) {
    STRESS_CHECK(word == setting_.words->Of(node->id, node->address),
                 "%s %llu: the word 0x%llx for object %llu, which is at 0x%zx", from,
                 static_cast<unsigned long long>(from_id), static_cast<unsigned long long>(word),
                 Id(*node), static_cast<size_t>(node->address));
    return;
  }
  node->address = CheckObject(setting_, *mutator_, *node, word, from, from_id);
  node->reached = walk.number;
  ++walk.reached;
  walk.pending.push_back(node);
}

void World::CheckEdge(Walk& walk, Node& node, ObjectPtr object, uint32_t edge) {
  const Word word = SlotOf(object, node.kind, edge).Load().word;
  const Edge expected = node.edges()[edge];
  if (Node* target = expected.node()) {
    Reach(walk, target, word, "from object", node.id);
    return;
  }
  STRESS_CHECK(word == WordOfNonNode(expected), "object %llu, edge %u: 0x%llx instead of 0x%llx",
               Id(node), edge, static_cast<unsigned long long>(word),
               static_cast<unsigned long long>(WordOfNonNode(expected)));
}

void World::Drain(Walk& walk) {
  while (!walk.pending.empty()) {
    Node* node = walk.pending.back();
    walk.pending.pop_back();
    const ObjectPtr object(node->address);
    uint32_t first = 0;
    if (node->kind == Kind::kWeak) {
      walk.weak.push_back(node);
      first = 1;
    } else if (node->kind == Kind::kEphemeron) {
      walk.ephemerons.push_back(node);
      first = 2;
    }
    for (uint32_t i = first; i < node->edge_count; ++i) CheckEdge(walk, *node, object, i);
  }
}

void World::SettleEphemerons(Walk& walk) {
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t i = 0; i < walk.ephemerons.size();) {
      Node* node = walk.ephemerons[i];
      const ObjectPtr object(node->address);
      Node* key = node->edges()[0].node();
      if (key != nullptr && key->reached != walk.number) {
        ++i;
        continue;
      }
      CheckEdge(walk, *node, object, 0);
      CheckEdge(walk, *node, object, 1);
      walk.ephemerons[i] = walk.ephemerons.back();
      walk.ephemerons.pop_back();
      Drain(walk);
      progress = true;
    }
  }
}

void World::WalkFromRoots(Walk& walk) {
  auto reach = [&](const Edge& edge, Word word, const char* from, size_t i) {
    if (Node* node = edge.node()) {
      Reach(walk, node, word, from, i);
    } else {
      STRESS_CHECK(word == WordOfNonNode(edge), "%s %zu: 0x%llx instead of 0x%llx", from, i,
                   static_cast<unsigned long long>(word),
                   static_cast<unsigned long long>(WordOfNonNode(edge)));
    }
  };
  for (size_t i = 0; i < roots.size(); ++i) {
    const Root& root = roots[i];
    reach(root.edge, root.word, "from root", i);
    if (root.how == Root::How::kDerived && root.edge.node() != nullptr) {
      STRESS_CHECK(root.derived == root.word + kDerivedOffset, "root %zu: its derived address", i);
    }
  }
  for (auto& frame : frames) {
    for (size_t i = 0; i < frame->edges.size(); ++i) {
      reach(frame->edges[i], frame->locals[i].Get().word, "from local", i);
    }
  }
  for (size_t i = 0; i < persistents.size(); ++i) {
    reach(Edge(persistents[i].node), persistents[i].handle.Get().word, "from persistent", i);
  }
  for (size_t i = 0; i < pins.size(); ++i) {
    const auto& [node, address] = pins[i];
    Reach(walk, node, setting_.words->Of(node->id, address), "from pin", i);
  }
  Drain(walk);
  SettleEphemerons(walk);
}

std::vector<Node*> World::TakeGuarded() {
  std::vector<Node*> taken;
  if (!setting_.guardians) return taken;
  for (;;) {
    const Word word = region().NextGuarded().word;
    if (word == 0) return taken;
    // The queue knows the object, not the bits that its creator keeps beside the address.
    const ObjectPtr object(setting_.words->Decode(word));
    // Only pairs are guarded.
    const uint64_t id = IdOf(object, Kind::kPair);
    const auto found = guarded.find(id);
    STRESS_CHECK(found != guarded.end(), "the guardian queue gave the object %llu, not guarded",
                 static_cast<unsigned long long>(id));
    found->second->guarded = false;
    taken.push_back(found->second);
    guarded.erase(found);
  }
}

void World::MarkResurrected(Walk& walk, const std::vector<Node*>& guarded_dead) {
  std::vector<Node*> pending;
  std::vector<Node*> ephemerons;
  auto here = [&](Node* node) {
    return node->reached == walk.number || node->resurrected == walk.number;
  };
  auto visit = [&](Node* node) {
    if (node == nullptr || here(node)) return;
    node->resurrected = walk.number;
    pending.push_back(node);
  };
  for (Node* node : guarded_dead) visit(node);
  for (Node* node : walk.ephemerons) ephemerons.push_back(node);
  for (bool progress = true; progress;) {
    while (!pending.empty()) {
      Node* node = pending.back();
      pending.pop_back();
      uint32_t first = 0;
      if (node->kind == Kind::kWeak) first = 1;
      if (node->kind == Kind::kEphemeron) {
        ephemerons.push_back(node);
        first = 2;
      }
      for (uint32_t i = first; i < node->edge_count; ++i) visit(node->edges()[i].node());
    }
    progress = false;
    for (Node* node : ephemerons) {
      Node* key = node->edges()[0].node();
      if (key != nullptr && here(key)) visit(node->edges()[1].node());
    }
    progress = !pending.empty();
  }
}

void World::CheckWeak(Walk& walk, Exactness exactness) {
  // Of a target outside R1: whether its weak reference may still be there.
  auto may_remain = [&](const Node& target) {
    return exactness == Exactness::kLoose || target.resurrected == walk.number;
  };
  for (Node* node : walk.weak) {
    const ObjectPtr object(node->address);
    Edge& edge = node->edges()[0];
    Node* target = edge.node();
    const Word word = SlotOf(object, Kind::kWeak, 0).Load().word;
    if (target == nullptr || target->reached == walk.number) {
      if (target != nullptr && target->was_guarded && word == 0) {
        edge = Edge();
      } else {
        CheckEdge(walk, *node, object, 0);
      }
      continue;
    }
    STRESS_CHECK(word == 0 || may_remain(*target),
                 "weak reference %llu still refers to object %llu, which is dead", Id(*node),
                 Id(*target));
    if (word == 0) edge = Edge();
  }
  for (Node* node : walk.ephemerons) {  // those with keys outside R1
    const ObjectPtr object(node->address);
    Node* key = node->edges()[0].node();
    const Word key_word = SlotOf(object, Kind::kEphemeron, 0).Load().word;
    const Word value_word = SlotOf(object, Kind::kEphemeron, 1).Load().word;
    STRESS_CHECK(key_word == 0 || may_remain(*key),
                 "ephemeron %llu still has the key %llu, which is dead", Id(*node), Id(*key));
    if (key_word != 0) continue;
    STRESS_CHECK(value_word == 0, "ephemeron %llu has lost its key and kept its value", Id(*node));
    key->known_dead = true;
    node->edges()[0] = node->edges()[1] = Edge();
  }
  std::erase_if(weak_persistents, [&](auto& held) {
    const Word word = held.handle.Get().word;
    if (held.node->reached == walk.number) {
      if (held.node->was_guarded && word == 0) return true;
      STRESS_CHECK(word == setting_.words->Of(held.node->id, held.node->address),
                   "weak persistent of object %llu, which lives: 0x%llx", Id(*held.node),
                   static_cast<unsigned long long>(word));
      return false;
    }
    STRESS_CHECK(word == 0 || may_remain(*held.node),
                 "weak persistent of object %llu, which is dead: 0x%llx", Id(*held.node),
                 static_cast<unsigned long long>(word));
    return word == 0;
  });
}

void World::CheckFinalizers(Exactness exactness) {
  std::erase_if(finalizers, [&](auto& entry) {
    Node& node = *entry.first;
    Token& token = *entry.second;
    const int fired = token.fired.load();
    STRESS_CHECK(!token.on_wrong_thread.load(), "a thread-affine finalizer ran on another thread");
    if (node.reached == walk_number_) {
      STRESS_CHECK(fired == 0, "object %llu lives, and its finalizer fired %d times", Id(node),
                   fired);
      return false;
    }
    if (exactness == Exactness::kExact && node.resurrected != walk_number_) {
      STRESS_CHECK(fired == 1, "object %llu is dead, and its finalizer fired %d times", Id(node),
                   fired);
    }
    STRESS_CHECK(fired <= 1, "the finalizer of object %llu fired %d times", Id(node), fired);
    if (fired != 0) node.known_dead = true;
    return fired != 0;
  });
}

// Who lives has its word. Who is dead has none: in a region of one world all entries are its own.
void World::CheckWeakTable(Exactness exactness) {
  if (!setting_.weak_table) return;
  size_t remaining = 0;
  for (const std::unique_ptr<Node>& node : nodes_) {
    if (node->table_word == 0) continue;
    const bool lives = node->reached == walk_number_;
    if (lives || node->resurrected == walk_number_) ++remaining;
    if (!lives) continue;
    const Word word = setting_.weak_table->Get(*mutator_, ObjectPtr(node->address)).value_or(0);
    STRESS_CHECK(word == node->table_word, "object %llu has the word 0x%llx in the weak table",
                 Id(*node), static_cast<unsigned long long>(word));
  }
  if (exactness == Exactness::kLoose || !alone_in_region_) return;
  size_t entries = 0;
  region().state().ForEachPart([&entries](const Part& part) {
    entries += part.young_weak_entries.size() + part.weak_entries.size();
  });
  STRESS_CHECK(entries == remaining, "%zu entries in weak tables for %zu objects that live",
               entries, remaining);
}

size_t World::Verify(Exactness exactness) {
  Walk walk;
  walk.number = ++walk_number_;
  std::vector<Node*> guarded_dead;
  if (exactness == Exactness::kExact) guarded_dead = TakeGuarded();
  WalkFromRoots(walk);
  for (Node* node : guarded_dead) {
    STRESS_CHECK(node->reached != walk.number || in_queue_perhaps.contains(node),
                 "object %llu lives, and was in the guardian queue", Id(*node));
  }
  MarkResurrected(walk, guarded_dead);
  if (exactness == Exactness::kExact) {
    for (auto& [id, node] : guarded) {
      STRESS_CHECK(node->reached == walk.number || node->resurrected == walk.number,
                   "object %llu is dead, and not in the guardian queue", Id(*node));
    }
  }
  CheckWeak(walk, exactness);
  CheckFinalizers(exactness);
  CheckWeakTable(exactness);
  // What is dead for certain is forgotten; with resurrected objects about, next time.
  if (exactness == Exactness::kExact && guarded_dead.empty()) {
    in_queue_perhaps.clear();
    std::erase_if(ephemerons_, [&](const Node* node) { return node->reached != walk.number; });
    std::erase_if(nodes_,
                  [&](const std::unique_ptr<Node>& node) { return node->reached != walk.number; });
  }
  return walk.reached;
}

}  // namespace Atoll::stress
