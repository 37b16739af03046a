// One thread of the stress suite: random operations on its worlds, each done to heap and model.
#ifndef ATOLL_TESTS_STRESS_WORKER_H_
#define ATOLL_TESTS_STRESS_WORKER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "atoll/safepoint.h"
#include "safepoint/platform.h"
#include "tests/stress/world.h"

namespace Atoll::stress {

/// How often the rare operations come: once in so many operations. 0: never.
struct Rates {
  uint32_t minor = 1'000;
  uint32_t major = 8'000;
  uint32_t group = 80'000;
  uint32_t side_world =
      8'000;  ///< a region of its own, that is then adopted, handed over or dropped
  uint32_t verify = 2'000;
  uint32_t become = 3'000;     ///< objects are replaced by others like them
  uint32_t refuse_memory = 0;  ///< the system refuses a request soon
};

/// Worlds on their way from one worker to another, without mutators.
class Post {
 public:
  Post();
  void Send(std::unique_ptr<World> world);
  std::unique_ptr<World> Receive();
  size_t size();

 private:
  SafepointMutex mutex_;
  std::vector<std::unique_ptr<World>> worlds_;
};

/// An array in a region with several mutators, on which they race: each swaps in objects that only
/// it knew, and looks at what it gets.
class Board {
 public:
  static constexpr uint32_t kSlots = 32;
  /// On a managed mutator of the region. The board is the host's shared root.
  void Create(World& world);
  void Play(World& world, Random& random);
  std::atomic<uint64_t> exchanged{0};
};

class Worker {
 public:
  Worker(int number, const Setting& setting, const Rates& rates, uint64_t seed, Post& post,
         Board* board);

  /// The whole life of the worker in `world`, on the calling thread: attaches, does the operations,
  /// verifies, and detaches.
  void Run(World& world, uint64_t operations);

  uint64_t refused_allocations() const { return refused_allocations_; }
  uint64_t replaced() const { return replaced_; }
  uint64_t walks() const { return walks_; }
  uint64_t walked_objects() const { return walked_objects_; }

 private:
  struct Picked {
    Node* node = nullptr;
    ObjectPtr object;
    explicit operator bool() const { return node != nullptr; }
  };

  void Operate(World& world);
  void OperateRarely(World& world);

  // Building and changing the graph (operations.cc).
  Picked Pick(World& world);
  Edge PickValue(World& world, Word* word);
  Node* MakeObject(World& world, Kind kind, uint32_t length, bool no_collect, ObjectPtr* object);
  Kind RandomSmallKind();
  void Attach(World& world, Node* node, ObjectPtr object);
  void Fill(World& world, Node* node, ObjectPtr object);
  void AllocateSmall(World& world);
  void AllocateElements(World& world);
  void AllocateInNoCollectScope(World& world);
  void StoreOne(World& world);
  void CopyMany(World& world);
  void RememberAndStore(World& world);
  void DropRoot(World& world);
  void ChangeRoot(World& world);

  // Handles and what hangs on objects (attachments.cc).
  void UseHandles(World& world);
  void UsePersistents(World& world);
  void UseWeakPersistents(World& world);
  void UsePins(World& world);
  void UpgradeWeak(World& world);
  void UseWeakTable(World& world);
  void AskHash(World& world);
  void Shrink(World& world);
  void ChangeKind(World& world);
  void AddFinalizer(World& world);
  void TakeGuarded(World& world);
  void ChangeExternalBytes(World& world);

  // Other objects in place of those there are (replacement.cc).
  void Replace(World& world);

  // Collections and regions (worker.cc).
  void Collect(World& world, Mutator::Collection kind);
  void CollectGroup(World& world);
  void BuildSideWorld(World& world, bool adopt);
  void AdoptInto(World& world, std::unique_ptr<World> side);
  void Dispose(std::unique_ptr<World> world);
  void Verify(World& world, Exactness exactness);
  void OnRefused(World& world);

  const int number_;
  const Setting& setting_;
  const Rates& rates_;
  Post& post_;
  Board* const board_;
  Random random_;
  uint64_t operation_ = 0;
  uint64_t refused_allocations_ = 0;
  uint64_t replaced_ = 0;
  uint64_t walks_ = 0;           ///< comparisons of heap and model, and
  uint64_t walked_objects_ = 0;  ///< the live objects they saw
  int depth_ = 0;
};

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_WORKER_H_
