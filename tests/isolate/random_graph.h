// Random graphs: a plain C++ model, and the objects it stands for.
#ifndef ATOLL_TESTS_ISOLATE_RANDOM_GRAPH_H_
#define ATOLL_TESTS_ISOLATE_RANDOM_GRAPH_H_

#include <unordered_map>

#include "tests/isolate/graph_fixture.h"

namespace Atoll {

/// What a slot holds: nothing, an immediate, a Program object, or a node of the model.
struct ModelEdge {
  enum Kind : uint8_t { kNull, kImmediate, kProgram, kNode } kind = kNull;
  size_t target = 0;
  Word bits = 0;  ///< kImmediate: the word; else the bits beside the address
};
struct ModelNode {
  enum Shape : uint8_t { kPair, kArray, kBytes, kStructs, kCustom, kWide, kShapes } shape = kPair;
  uint64_t id = 0;
  size_t length = 0;
  uint32_t embedder_bits = 0;
  uint32_t hash = 0;  ///< 0: none was asked for
  std::vector<ModelEdge> edges;
};

/// Builds graphs under one encoding, and reads them.
class RandomGraph {
 public:
  RandomGraph(Heap& heap, const TestTypes& types, const GraphTypes& more, ObjectPtr program)
      : encoding_(heap.encoding()), types_(types), more_(more), program_(program) {}

  /// A model of `count` nodes, shared, in cycles and all reachable from node 0.
  static std::vector<ModelNode> Model(std::mt19937_64& random, size_t count,
                                      const std::vector<Word>& immediates) {
    std::vector<ModelNode> nodes(count);
    for (size_t i = 0; i < count; ++i) {
      ModelNode& node = nodes[i];
      node.id = random() | 1;
      node.embedder_bits = random() % 16;
      node.shape = static_cast<ModelNode::Shape>(random() % ModelNode::kShapes);
      node.length = random() % 4 == 0 ? random() % 300 : random() % 4;
      node.edges.resize(EdgesOf(node));
      for (ModelEdge& edge : node.edges) {
        edge.kind = static_cast<ModelEdge::Kind>(random() % 4);
        edge.bits = edge.kind == ModelEdge::kImmediate ? immediates[random() % immediates.size()]
                                                       : random();
        edge.target = random() % count;
      }
    }
    for (size_t i = 1; i < count; ++i) {  // each is reached from an earlier one that has room
      for (size_t tries = 0; tries < 1'000; ++tries) {
        ModelNode& from = nodes[random() % i];
        if (from.edges.empty()) continue;
        from.edges[random() % from.edges.size()] = {ModelEdge::kNode, i, random()};
        break;
      }
    }
    return nodes;
  }

  /// The words of the nodes; nothing is collected while it builds. Hashes are noted in the model.
  std::vector<Word> Build(Mutator& mutator, std::vector<ModelNode>& nodes,
                          std::mt19937_64& random) {
    const NoCollectScope scope(mutator);
    std::vector<ObjectPtr> objects;
    for (ModelNode& node : nodes) {
      const Type& type = TypeFor(node.shape);
      const ObjectPtr object =
          type.has_elements() ? mutator.AllocateArray(type, node.length) : mutator.Allocate(type);
      EXPECT_TRUE(object) << mutator.last_error().message();
      HeaderOf(object.address()).fetch_or(Word{node.embedder_bits} << header::kEmbedderShift);
      if (random() % 3 == 0) node.hash = mutator.IdentityHash(object);
      SetPayload(node, object.address());
      objects.push_back(object);
    }
    std::vector<Word> words;
    for (size_t i = 0; i < nodes.size(); ++i) {
      words.push_back(encoding_.Make(objects[i].address()));
      for (size_t edge = 0; edge < nodes[i].edges.size(); ++edge) {
        const ModelEdge& to = nodes[i].edges[edge];
        Word word = 0;
        if (to.kind == ModelEdge::kImmediate) word = to.bits;
        if (to.kind == ModelEdge::kProgram) word = With(program_.address(), to.bits);
        if (to.kind == ModelEdge::kNode) word = With(objects[to.target].address(), to.bits);
        // All are young: no barrier.
        SlotOf(nodes[i], objects[i].address(), edge).StoreRaw(Ref{word});
      }
    }
    return words;
  }

  /// Compares what `root` reaches with what node 0 of the model does.
  void ExpectIs(Mutator& mutator, const std::vector<ModelNode>& nodes, Word root) {
    std::unordered_map<size_t, uintptr_t> found{{0, encoding_.Decode(root)}};
    std::vector<size_t> waiting{0};
    ASSERT_EQ(root, encoding_.Make(found[0]));
    while (!waiting.empty()) {
      const size_t i = waiting.back();
      waiting.pop_back();
      const ModelNode& node = nodes[i];
      const uintptr_t object = found[i];
      const Word header_word = HeaderOf(object).load();
      SCOPED_TRACE("node " + std::to_string(i) + ", a " + TypeFor(node.shape).name());
      ASSERT_EQ(&mutator.TypeOf(ObjectPtr(object)), &TypeFor(node.shape));
      ASSERT_EQ(header_word >> header::kEmbedderShift & 15, node.embedder_bits);
      ASSERT_EQ(header_word >> header::kHashShift, node.hash);
      ExpectPayload(node, object);
      for (size_t edge = 0; edge < node.edges.size(); ++edge) {
        const ModelEdge& to = node.edges[edge];
        const Word word = SlotOf(node, object, edge).Load().word;
        if (to.kind == ModelEdge::kNull) {
          ASSERT_EQ(word, 0u);
        } else if (to.kind == ModelEdge::kImmediate) {
          ASSERT_EQ(word, to.bits);
        } else if (to.kind == ModelEdge::kProgram) {
          ASSERT_EQ(word, With(program_.address(), to.bits));
        } else {
          const uintptr_t target = encoding_.Decode(word);
          ASSERT_EQ(word, With(target, to.bits));
          const auto [at, fresh] = found.emplace(to.target, target);
          ASSERT_EQ(at->second, target);
          if (fresh) waiting.push_back(to.target);
        }
      }
    }
  }

 private:
  static size_t EdgesOf(const ModelNode& node) {
    switch (node.shape) {
      case ModelNode::kPair:
        return 2;
      case ModelNode::kArray:
        return node.length;
      case ModelNode::kStructs:
        return 1 + 2 * node.length;
      case ModelNode::kCustom:
        return node.length % CustomObject::kSlots;
      case ModelNode::kWide:
        return GraphTypes::WideOffsets().size();
      default:
        return 0;
    }
  }
  Slot SlotOf(const ModelNode& node, uintptr_t object, size_t edge) const {
    const Type& type = TypeFor(node.shape);
    return type.SlotAt(object + OffsetOf(node, edge, type.slot_size()));
  }
  static size_t OffsetOf(const ModelNode& node, size_t edge, size_t slot_size) {
    switch (node.shape) {
      case ModelNode::kPair:
        return edge == 0 ? kA : kB;
      case ModelNode::kArray:
        return kElements + edge * slot_size;
      case ModelNode::kStructs:
        if (edge == 0) return GraphTypes::kStructRef;
        return GraphTypes::kStructElements + (edge - 1) / 2 * GraphTypes::kStructSize +
               (edge % 2 == 1 ? 8 : 8 + slot_size);
      case ModelNode::kCustom:
        return offsetof(CustomObject, slots) + (edge + 1) * slot_size;
      default:
        return GraphTypes::WideOffsets()[edge];
    }
  }
  const Type& TypeFor(ModelNode::Shape shape) const {
    const Type* const kTypes[] = {types_.pair,   types_.array, types_.bytes,
                                  more_.structs, more_.custom, more_.wide};
    return *kTypes[shape];
  }
  Word With(uintptr_t address, Word bits) const {
    return encoding_.Make(address) | (bits & ~encoding_.address_mask & ~encoding_.ref_mask);
  }
  static bool HasId(const ModelNode& node) {
    return node.shape != ModelNode::kArray && node.shape != ModelNode::kBytes;
  }
  static void SetPayload(const ModelNode& node, uintptr_t object) {
    if (HasId(node)) IdAt(ObjectPtr(object)) = node.id;
    if (node.shape == ModelNode::kBytes) {
      for (size_t i = 0; i < node.length; ++i) BytesAt(object)[i] = static_cast<char>(node.id + i);
    } else if (node.shape == ModelNode::kStructs) {
      for (size_t i = 0; i < node.length; ++i) NumberAt(object, i) = node.id * i;
    } else if (node.shape == ModelNode::kCustom) {
      auto* custom = reinterpret_cast<CustomObject*>(object);
      custom->first = 1;
      custom->count = node.edges.size();
      custom->self = object + offsetof(CustomObject, id);
    }
  }
  static void ExpectPayload(const ModelNode& node, uintptr_t object) {
    if (HasId(node)) {
      ASSERT_EQ(IdAt(ObjectPtr(object)), node.id);
    }
    if (node.shape == ModelNode::kBytes) {
      ASSERT_EQ(IdAt(ObjectPtr(object)), node.length);
      for (size_t i = 0; i < node.length; ++i) {
        ASSERT_EQ(BytesAt(object)[i], static_cast<char>(node.id + i));
      }
    } else if (node.shape == ModelNode::kStructs) {
      for (size_t i = 0; i < node.length; ++i) ASSERT_EQ(NumberAt(object, i), node.id * i);
    } else if (node.shape == ModelNode::kCustom) {
      ASSERT_EQ(reinterpret_cast<CustomObject*>(object)->self, object + offsetof(CustomObject, id));
    }
  }
  static char* BytesAt(uintptr_t object) { return reinterpret_cast<char*>(object + kElements); }
  static uint64_t& NumberAt(uintptr_t object, size_t i) {
    return *reinterpret_cast<uint64_t*>(object + GraphTypes::kStructElements +
                                        i * GraphTypes::kStructSize);
  }

  const RefEncoding encoding_;
  const TestTypes& types_;
  const GraphTypes& more_;
  const ObjectPtr program_;
};

}  // namespace Atoll

#endif  // ATOLL_TESTS_ISOLATE_RANDOM_GRAPH_H_
