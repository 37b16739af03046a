// What should the heap hold? A graph of plain C++ structs, changed by the same operations.
//
// Every heap object carries the id of its Node. Nothing here knows an address for longer than one
// walk, but for objects that must not move.
#ifndef ATOLL_TESTS_STRESS_MODEL_H_
#define ATOLL_TESTS_STRESS_MODEL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "atoll/mutator.h"

namespace Atoll::stress {

/// xorshift64*: small, fast and the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u) {
    if (state_ == 0) state_ = 1;
    for (int i = 0; i < 4; ++i) Next();
  }
  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Du;
  }
  /// 0 .. bound - 1.
  uint32_t Below(uint32_t bound) {
    return static_cast<uint32_t>(((Next() >> 32) * uint64_t{bound}) >> 32);
  }
  bool OneIn(uint32_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

/// A well mixed number that an object's data, hash bits and immediates are derived from.
inline uint64_t Mix(uint64_t value) {
  value ^= value >> 31;
  value *= 0x7FB5D329728EA185u;
  value ^= value >> 27;
  value *= 0x81DADEF4BC2DD44Du;
  return value ^ (value >> 33);
}

/// The types of the heap objects; kinds.h says how each lies in memory.
enum class Kind : uint8_t {
  kLeaf,      ///< no references
  kPair,      ///< two references
  kPairTwin,  ///< as kPair: what ChangeType makes of one
  kHalf,      ///< as kPair, but the second word is data
  kNode,      ///< references on both sides of the data
  kWide,      ///< more words than one bitmap word describes
  kSelf,      ///< holds its own address, kept right by the moved hook
  kCustom,    ///< traced by a callback
  kStay,      ///< of a non-moving type
  kRefArray,
  kStructArray,
  kBytes,
  kWeak,       ///< edges: the weak one, a strong one
  kEphemeron,  ///< edges: key, value, a strong one
  kCount,
};

struct Node;

/// What a slot should hold: nothing, a node, or an immediate (by its number in a table).
class Edge {
 public:
  Edge() = default;
  explicit Edge(Node* node) : bits_(reinterpret_cast<uintptr_t>(node)) {}
  static Edge Immediate(uint32_t index) {
    Edge edge;
    edge.bits_ = (uintptr_t{index} << 1) | 1;
    return edge;
  }
  bool null() const { return bits_ == 0; }
  bool is_immediate() const { return (bits_ & 1) != 0; }
  uint32_t immediate() const { return static_cast<uint32_t>(bits_ >> 1); }
  /// Null for what is not a node.
  Node* node() const { return is_immediate() ? nullptr : reinterpret_cast<Node*>(bits_); }

 private:
  uintptr_t bits_ = 0;
};

struct Node {
  static constexpr uint32_t kInlineEdges = 6;

  Node(uint64_t node_id, Kind node_kind, uint32_t node_length, uint32_t edges_wanted)
      : id(node_id), kind(node_kind), length(node_length), edge_count(edges_wanted) {
    if (edges_wanted > kInlineEdges) more_edges = std::make_unique<Edge[]>(edges_wanted);
  }
  Edge* edges() { return more_edges ? more_edges.get() : inline_edges; }

  uint64_t id;
  Kind kind;
  bool guarded = false;      ///< has a guardian finalizer that has not fired
  bool was_guarded = false;  ///< a guardian brought it back: weak references to it may be cleared
  bool known_dead = false;   ///< a weak reference or finalizer told so
  bool finalized = false;    ///< has a finalizer (in tests of isolates, whose copies are refused)
  bool frozen = false;       ///< stands for a shared object, which all isolates read
  uint32_t length;           ///< elements
  uint32_t edge_count;
  uint32_t hash = 0;         ///< the identity hash, once asked for
  Word table_word = 0;       ///< its word in the weak table; 0: none
  uint32_t reached = 0;      ///< the last walk that reached it from a root
  uint32_t resurrected = 0;  ///< the last walk that reached it from a guarded object only
  uintptr_t address = 0;     ///< where the last walk found it
  uintptr_t stays_at = 0;    ///< of a non-moving type: where it was allocated
  Edge inline_edges[kInlineEdges];
  std::unique_ptr<Edge[]> more_edges;
};

/// What a finalizer tells: the `data` of one.
struct Token {
  std::atomic<int> fired{0};
  std::atomic<bool> on_wrong_thread{false};
  FinalizerKind kind = FinalizerKind::kNative;
  std::thread::id owner;
  size_t external_bytes = 0;

  static void Fire(void* data) {
    Token* token = static_cast<Token*>(data);
    if (token->kind == FinalizerKind::kThreadAffine && token->owner != std::this_thread::get_id()) {
      token->on_wrong_thread.store(true);
    }
    token->fired.fetch_add(1);
  }
};

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_MODEL_H_
