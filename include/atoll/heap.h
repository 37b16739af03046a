// Layer: heap
#ifndef ATOLL_HEAP_H_
#define ATOLL_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "atoll/layout.h"
#include "atoll/mutator.h"
#include "atoll/ref.h"
#include "atoll/safepoint.h"
#include "atoll/stats.h"
#include "atoll/status.h"
#include "atoll/type.h"

namespace Atoll {

class Heap;
class Region;
struct HeapState;
struct RegionState;

/// Visits roots on behalf of a collector, which may change what they hold.
class RootVisitor {
 public:
  /// A root in memory.
  virtual void VisitSlot(Slot slot) = 0;
  void VisitRange(Slot first, size_t count) {
    for (size_t i = 0; i < count; ++i) VisitSlot(first.Next(i));
  }
  /// A root that is not in memory (a register, a packed word): returns its new value.
  Ref VisitValue(Ref value) {
    Word word = value.word;
    VisitSlot(Slot(&word));
    return Ref{word};
  }
  /// A root and an address derived from it (base + anything), as in the frames of compiled code.
  void VisitDerived(Slot base, uintptr_t* derived) {
    const Word before = base.Load().word;
    VisitSlot(base);
    *derived += base.Load().word - before;
  }

 protected:
  ~RootVisitor() = default;
};

/// What a region's owner does for the collectors. Callbacks run on any thread, but never while a
/// mutator of the region runs managed code; they touch no heap object and call nothing that may
/// allocate, poll or wait for a mutator.
class RegionClient {
 public:
  virtual ~RegionClient() = default;
  /// Visits every root of the region: frames, globals, tables. Called in each collection, and in
  /// group collections at any time while the region has no mutator: roots that change then need a
  /// lock of the client's own.
  virtual void VisitRoots(RootVisitor& visitor) { (void)visitor; }
  /// The region needs `needed_bytes` but only `limit_bytes` are allowed. Returns the limit from now
  /// on; at most `limit_bytes` means that the allocation fails. Of a region without a limit of its
  /// own it is told of the heap's, which stays: the allocation fails whatever it returns.
  virtual size_t NearLimit(size_t needed_bytes, size_t limit_bytes) {
    (void)needed_bytes;
    return limit_bytes;
  }
};

/// References to shared objects that are held outside all regions (by queues, caches, tables of the
/// group), on behalf of the layer that holds them. See Heap::AddGroupRoots.
class GroupRoots {
 public:
  virtual ~GroupRoots() = default;
  /// Visits every such reference. They refer to objects of Shared or Program alone: private ones
  /// belong to a region's roots (checked by Heap::Verify). Called with all mutators stopped, by
  /// group collections and by the verifier, on any thread; so roots that threads outside the heap
  /// change need a lock of the holder's own, not held across calls of the heap. Touches no heap
  /// object and calls nothing of the heap.
  virtual void VisitRoots(RootVisitor& visitor) = 0;
  /// Visits every reference that keeps nothing alive, in the same way. Group collections give those
  /// to dead objects back as the zero word: the holder forgets what it knew of them. A Become gives
  /// back another object, which the holder takes for the one before, or forgets.
  virtual void VisitWeakRoots(RootVisitor& visitor) { (void)visitor; }
  /// Checks what the holder keeps of objects outside the heap, as part of Heap::Verify: called as
  /// VisitRoots is. Error: the invariant that does not hold, and where.
  virtual Status Verify() { return Status::Ok(); }
};

/// What an embedder did that would break an invariant, if it had not been refused.
struct Violation {
  enum class Kind : uint8_t {
    kStoreIntoShared,      ///< a store into an object of the Shared space
    kPrivateIntoProgram,   ///< a private value into a Program object
    kNotManaged,           ///< a call outside managed state
    kForeignRoot,          ///< a root that refers outside the heap's objects or into another region
    kMissingBarrier,       ///< a reference from old to young that no remembered set knows
    kStoreInitialIntoOld,  ///< StoreInitial into an object that is old already (ATOLL_CHECKS)
    kWrongSlot,            ///< a slot or a value that is not of the heap's encoding (ATOLL_CHECKS)
    kHandlesAtExit,        ///< a mutator destroyed while a HandleScope is open
  };
  Kind kind;
  std::string message;  ///< names the thing, the cause and the way out
};
/// Called on the offending thread; the offending operation is not carried out, or made right.
using ViolationHandler = void (*)(const Violation& violation, void* data);

/// Knobs for testing an embedder and the collectors themselves; each can be set by the environment
/// variable named, which wins over the option. All off by default.
struct StressOptions {
  uint64_t collect_every = 0;     ///< ATOLL_STRESS_EVERY=n: collect at every n-th slow allocation
  bool every_allocation = false;  ///< ATOLL_STRESS_ALLOC=1: all allocations take the slow path
  bool move_everything = false;   ///< ATOLL_STRESS_MOVE=1: majors evacuate every block they can
  bool poison = false;            ///< ATOLL_STRESS_POISON=1: overwrite memory that is given up
  bool verify = false;            ///< ATOLL_VERIFY=1: verify before and after each collection
  bool born_old = false;          ///< ATOLL_STRESS_OLD=1: all objects are born old, none young
  bool parallel = false;  ///< ATOLL_STRESS_PARALLEL=1: all workers collect, however little there is
};

/// Options of a heap. Sizes are bytes.
struct HeapOptions {
  std::string name = "heap";
  RefEncoding encoding = PlainPointers::kEncoding;
  /// Address space to reserve, when this is the first heap of the process. 0: 1 TiB (64 GiB under
  /// sanitizers). Smaller where the system refuses.
  size_t reservation_bytes = 0;
  /// Limit on all memory mapped for objects, and external bytes. 0: three quarters of what the
  /// machine or the cgroup has.
  size_t limit_bytes = 0;
  /// Mapped for objects and touched by CreateHeap, and kept: of free memory only what is beyond
  /// this goes back to the system. First touches are dear on some virtual machines; these come
  /// before the program runs. At most limit_bytes; whole pieces of 2 MiB.
  size_t initial_bytes = 0;
  /// The nursery of a region: where it starts, and what it may grow to; both once for each of its
  /// mutators that runs managed code. 0: the L2 cache; 128 MiB.
  size_t nursery_bytes = 0;
  size_t max_nursery_bytes = 0;
  /// What it shrinks to at least, once for each mutator, where several run managed code: they wait
  /// for each other to stop, and to be woken again. 0: nursery_bytes if that is given, else 8 MiB.
  size_t shared_nursery_bytes = 0;
  /// What a minor collection should stay under: bounds the nursery by predicted survivors.
  uint64_t pause_target_nanos = 50'000'000;
  /// Threads of one collection, the collecting thread included. 0: one per processor.
  int workers = 0;
  /// Ask for (transparent) huge pages: for objects from 4 MiB of mapped memory on, while their
  /// first touch takes no more than twice that of small ones, which is measured; off the heap
  /// beyond the first 2 MiB.
  bool huge_pages = true;
  /// How long free memory is kept before it goes back to the system; see Heap::ReturnFreeMemory.
  uint64_t decay_nanos = 1'000'000'000;
  StressOptions stress;
  uint64_t seed = 0;  ///< of identity hashes; ATOLL_SEED. 0: from the clock
  ViolationHandler violation_handler = nullptr;  ///< null: writes the message to standard error
  void* violation_data = nullptr;
  SafepointOptions safepoint;
  /// Called with one JSON object (no newline) for each collection and each step of one: a major
  /// collection begins with a minor, a group collection is made of both for each region; part_of
  /// says what a step belongs to. By the collecting threads, several at once. ATOLL_LOG=gc: to
  /// standard error.
  void (*gc_log)(const char* line, void* data) = nullptr;
  void* gc_log_data = nullptr;
};

struct RegionOptions {
  std::string name = "region";
  size_t limit_bytes = 0;  ///< blocks and external bytes of this region; 0: only the heap's limit
  RegionClient* client = nullptr;
};

/// What one isolate owns: objects that nothing outside refers to (invariant I1), collected, handed
/// over and freed by itself.
///
/// Thread-safety: as each call says. Destroying a region frees its memory untraced, in O(blocks),
/// and runs its finalizers; legal when no mutator is attached.
class Region {
 public:
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  Heap& heap() const;
  const std::string& name() const;

  /// Attaches a mutator, in native state. Waits (blocked) while the region is being collected.
  Result<std::unique_ptr<Mutator>> AttachMutator(std::string name);

  /// Takes over everything that `source` owns: O(1) in its objects and blocks, nothing is touched.
  /// Both regions must be of one heap; the mutators of `source` are native, have no scope open, and
  /// stay so meanwhile; call from managed state of a mutator of this region, or while it has none.
  /// `source` is empty afterwards and may be destroyed or used again, by its mutators as well.
  /// Roots of `source` (its client's, its Persistents) are not taken over: the caller keeps what it
  /// wants to reach in a handle before the next point that may collect.
  Status Adopt(Region& source);

  /// Frees all that the region owns, untraced, and runs its finalizers (thread-affine ones at their
  /// mutator's next poll); Persistents hold null afterwards. O(blocks). What is freed is empty and
  /// may be used on, so that a region and its mutators serve one task after another. The mutators
  /// are native, have no scope open, and stay so meanwhile; else an error, and nothing is changed.
  Status Clear();

  /// The next dead object that was given a guardian finalizer, or the zero word. Managed state.
  Ref NextGuarded();

  /// Changes the limit (0: none). Any thread.
  void SetLimit(size_t limit_bytes);

  /// By a managed mutator of the region, or while none is managed: collections write it. O(1).
  RegionStats stats() const;
  RegionState& state() const { return *state_; }

 private:
  friend class Heap;
  explicit Region(std::unique_ptr<RegionState> state);
  std::unique_ptr<RegionState> state_;
};

/// A heap shared by many regions: one address range, one type table, one safepoint manager. Made by
/// CreateHeap (gc.h). Any thread may call; destroying it is legal when its regions are gone.
class Heap {
 public:
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  /// Checks and compiles a type. Errors name the type, the field and the cause. At most 2^20 - 1.
  Result<const Type*> RegisterType(const TypeInfo& info);
  Result<std::unique_ptr<Region>> CreateRegion(RegionOptions options);

  /// A Program object, zeroed: never moves, never dies before the heap, written only with shared
  /// values (Store). `length` for types with elements. Null: memory is refused, the type has no
  /// such length, or the object would have 4 GiB or more. A lock.
  ObjectPtr AllocateProgram(const Type& type, size_t length = 0);

  /// Collects all regions with all mutators stopped, compacting, and then the Shared space. From a
  /// managed mutator or any other thread. Regions with an open NoCollectScope are left as they are:
  /// all that their objects refer to in Shared stays, weakly too. If one of them has had several
  /// mutators, the Shared space is left as it is.
  Status CollectAll();

  /// Gives memory back to the system that has been free for decay_nanos, but for initial_bytes, and
  /// returns after how many nanoseconds there may be more (UINT64_MAX: none is free). Collections
  /// do this with up to 8 MiB at their end, and groups of isolates all the time; without one,
  /// whoever stops collecting calls it. Any thread, in any state; O(memory that is free), most of
  /// it without a lock.
  uint64_t ReturnFreeMemory();

  /// From now on group collections keep what `roots` visits. It must stay until it is removed,
  /// which waits for a group collection under way. Any thread, in any state; a lock, O(roots
  /// added).
  void AddGroupRoots(GroupRoots* roots);
  void RemoveGroupRoots(GroupRoots* roots);

  /// Checks invariants I1 to I6 (docs/architecture.md) over everything, with all mutators stopped.
  /// The Status names the first violation, and where it is a reference the path to it from a root.
  Status Verify();

  SafepointManager& safepoints() const;
  const RefEncoding& encoding() const;
  /// Any thread, in any state; locks, O(regions).
  HeapStats stats() const;
  HeapState& state() const { return *state_; }

  explicit Heap(std::unique_ptr<HeapState> state);  // CreateHeap's

 private:
  std::unique_ptr<HeapState> state_;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_H_
