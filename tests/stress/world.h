// One graph of objects and its model: the roots, and the walk that compares the two.
#ifndef ATOLL_TESTS_STRESS_WORLD_H_
#define ATOLL_TESTS_STRESS_WORLD_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "atoll/handles.h"
#include "atoll/heap.h"
#include "atoll/weak_table.h"
#include "tests/stress/barriers.h"
#include "tests/stress/kinds.h"
#include "tests/stress/model.h"

namespace Atoll::stress {

/// What all workers of a scenario share, unchanging while it runs.
struct Setting {
  Heap* heap = nullptr;
  const EncodingCase* encoding = nullptr;
  const Words* words = nullptr;
  TypeTable types{};
  std::optional<WeakTable> weak_table{};  ///< of all workers
  bool memory_is_refused = false;         ///< allocations may return null
  bool guardians = true;                  ///< one mutator per region, so it alone empties the queue
  uint32_t most_live = 2500;              ///< nodes of one world, about
};

class World;

/// A region, and the worlds in it: one, or one per worker of a region with several mutators.
class RegionHost final : public RegionClient {
 public:
  RegionHost(const Setting& setting, const std::string& name, size_t limit_bytes);
  ~RegionHost() override;

  void VisitRoots(RootVisitor& visitor) override;
  size_t NearLimit(size_t needed_bytes, size_t limit_bytes) override;

  Region& region() { return *region_; }
  /// At any time: group collections visit the roots of regions without mutators too.
  void AddWorld(World* world);

  Word shared_root = 0;  ///< of the exchange board
  std::atomic<uint64_t> near_limit_calls{0};

 private:
  std::mutex mutex_;
  std::vector<World*> worlds_;  ///< under mutex_
  std::unique_ptr<Region> region_;
};

/// A root outside the heap, visited in one of the ways that embedders have.
struct Root {
  enum class How : uint8_t { kSlot, kValue, kDerived };
  Word word = 0;
  uintptr_t derived = 0;  ///< kDerived: address + kDerivedOffset
  Edge edge;
  How how = How::kSlot;
};
inline constexpr uintptr_t kDerivedOffset = 12;

/// A scope of Locals; the last of a world's is the open one.
struct Frame {
  explicit Frame(Mutator& mutator) : scope(mutator) {}
  HandleScope scope;
  std::deque<LocalRef> locals;
  std::vector<Edge> edges;
};

template <typename Handle>
struct Held {
  Handle handle;
  Node* node;
};

/// How sure is a walk that what it does not reach has died?
enum class Exactness : uint8_t {
  kLoose,  ///< some collections may have run
  kExact,  ///< a major or group collection of the region ended just now
};

class World {
 public:
  /// Makes roots; attaches no mutator.
  World(const Setting& setting, std::shared_ptr<RegionHost> host, bool alone_in_region,
        uint32_t root_count);
  ~World();

  const Setting& setting() const { return setting_; }
  RegionHost& host() { return *host_; }
  Region& region() { return host_->region(); }
  bool alone_in_region() const { return alone_in_region_; }
  Mutator& mutator() { return *mutator_; }
  bool has_mutator() const { return mutator_ != nullptr; }

  /// Attaches a mutator for the calling thread and makes it managed.
  void Enter(const std::string& name);
  /// Closes handles, moves what Persistents hold into plain roots when `keep`, and detaches.
  void Leave(bool keep);

  // ---- The model's side of an object

  Node* NewNode(Kind kind, uint32_t length);
  Word WordOf(const Edge& edge, uintptr_t address) const {
    return edge.node() == nullptr ? WordOfNonNode(edge)
                                  : setting_.words->Of(edge.node()->id, address);
  }
  Word WordOfNonNode(const Edge& edge) const {
    return edge.is_immediate() ? setting_.words->Immediate(edge.immediate()) : 0;
  }
  void SetRoot(Root& root, const Edge& edge, Word word);

  /// Compares everything that roots reach with the model. Managed state; no safepoint inside.
  /// With kExact also that all else has died, and forgets it. Returns the number of live nodes.
  size_t Verify(Exactness exactness);
  /// Takes everything that `source`, without a mutator, has: region and model.
  void Adopt(World& source);
  /// Ends the region, if no other world is in it.
  void ReleaseHost() { host_.reset(); }
  /// The model's part of the end of a region: every finalizer must have run.
  void CheckAllFinalizersFired();
  /// A dead guarded object is used again: it and all it reaches are alive, objects that are still
  /// in the queue among them, but weak references to what had been dead with it were cleared
  /// before.
  void BringBack(Node* guarded_object);
  /// What was perhaps reachable from the guardian queue alone is used again (a weak reference was
  /// read, or an object taken from the queue): all behind it is brought back, perhaps with objects
  /// that wait in that queue.
  void NoteBroughtBack(Node* target);
  /// Drops about half of the roots.
  void Thin(Random& random);

  std::vector<Root> roots;
  std::vector<std::unique_ptr<Frame>> frames;
  std::vector<Held<Persistent>> persistents;
  std::vector<Held<WeakPersistent>> weak_persistents;
  std::vector<std::pair<Node*, uintptr_t>> pins;
  std::vector<std::pair<Node*, std::unique_ptr<Token>>> finalizers;
  std::unordered_map<uint64_t, Node*> guarded;
  /// Live, and perhaps in the guardian queue all the same: brought back, or led to by what was,
  /// since the last exact walk that found the queue empty.
  std::unordered_set<Node*> in_queue_perhaps;
  int64_t external_bytes = 0;

 private:
  struct Walk;
  void WalkFromRoots(Walk& walk);
  void Reach(Walk& walk, Node* node, Word word, const char* from, uint64_t from_id);
  void Drain(Walk& walk);
  void CheckEdge(Walk& walk, Node& node, ObjectPtr object, uint32_t edge);
  void SettleEphemerons(Walk& walk);
  void MarkResurrected(Walk& walk, const std::vector<Node*>& guarded_dead);
  void CheckWeak(Walk& walk, Exactness exactness);
  void CheckFinalizers(Exactness exactness);
  void CheckWeakTable(Exactness exactness);
  std::vector<Node*> TakeGuarded();
  /// What a node leads to by edges of any kind, and by ephemerons, wherever they are, to whose keys
  /// it leads.
  std::unordered_set<Node*> LedToBy(Node* node) const;

  const Setting& setting_;
  std::shared_ptr<RegionHost> host_;
  const bool alone_in_region_;
  std::unique_ptr<Mutator> mutator_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Node*> ephemerons_;  ///< those among them
  uint32_t walk_number_ = 0;
};

/// Aborts unless `word` refers to the object that the node stands for, and that is as it should be
/// but for its edges. Returns its address. `from` and its number are for the message.
uintptr_t CheckObject(const Setting& setting, Mutator& mutator, const Node& node, Word word,
                      const char* from, uint64_t from_id);

/// A new id, unlike any other of the process.
uint64_t NewId();

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_WORLD_H_
