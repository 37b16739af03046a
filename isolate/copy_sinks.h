// Where the copies of objects go. GraphCopy is written over a sink:
//
//   uintptr_t Allocate(size)          where one object is to be written; 0: see failure()
//   uintptr_t AllocateLarge(size)     likewise, for sizes from kLargeFrom on
//   uint32_t DestinationOf(at)        the same in short, for the object allocated last
//   uintptr_t AddressAt(at)           what references to it say
//   uintptr_t AddressOf(destination)  likewise
//   void NoteInside(slot)             a word of a copy refers to another copy
//   void NoteShared(slot)             a word of a copy refers to a shared object
//   void NoteMoved()                  an object was copied whose type has a `moved` hook
//   kLargeFrom                        objects of at least this size get header::kLarge
//   kTakesTransfers                   copies may own what their originals owned
//
// What is copied stays out of everybody's sight until the sink is told that all went well.
#ifndef ATOLL_ISOLATE_COPY_SINKS_H_
#define ATOLL_ISOLATE_COPY_SINKS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "heap/heap_state.h"
#include "heap/region_state.h"
#include "isolate/image.h"

namespace Atoll {

/// Why there is no copy.
enum class CopyFailure : uint8_t {
  kNone,
  kTooLarge,     ///< more than the sink takes
  kMemory,       ///< a limit or the system refused memory
  kCancelled,    ///< the caller's predicate said so
  kUnsendable,   ///< an object of a type declared unsendable
  kNonMoving,    ///< an object of a non-moving type
  kWeak,         ///< a weak reference or an ephemeron, and the copy is to be shared
  kFinalizer,    ///< an object with a finalizer
  kIdentity,     ///< an object of a type that is not identity_free, where only such are copied
  kTransfer,     ///< an object with a `transfer` hook, and the copy is to be shared
  kForeignSlot,  ///< a trace callback visited a slot outside its object
  kReplaced,     ///< there was a Become: begin anew, from where the roots are now
};

/// Packs into a buffer of its own; what it holds then is read through graph().
class ImageSink {
 public:
  static constexpr size_t kLargeFrom = SIZE_MAX;
  static constexpr bool kTakesTransfers = false;  // nothing would free it

  explicit ImageSink(bool is_compressed) : is_compressed_(is_compressed) {}

  /// Empty again, for at most `max_bytes` (up to kLargeObjectThreshold).
  void Begin(size_t max_bytes) {
    for (size_t i = 0; i < bitmap_bytes(); ++i) relocations_[i] = shared_refs_[i] = 0;
    used_ = 0;
    max_bytes_ = max_bytes;
    any_shared_ = has_moved_hooks_ = false;
  }

  void SetRoots(std::span<const Ref> words) {
    if (roots.size() != words.size()) {
      roots.resize(words.size());
      roots_inside.resize((words.size() + 7) / 8);
    }
    for (size_t i = 0; i < words.size(); ++i) roots[i] = words[i].word;
    for (uint8_t& byte : roots_inside) byte = 0;
  }

  ATOLL_ALWAYS_INLINE uintptr_t Allocate(size_t size) {
    const uintptr_t at = start() + used_;
    if (ATOLL_UNLIKELY(max_bytes_ - used_ < size)) return 0;
    used_ += size;
    return at;
  }
  static uintptr_t AllocateLarge(size_t) { return 0; }
  uint32_t DestinationOf(uintptr_t at) const {
    return static_cast<uint32_t>(AddressAt(at) / kGranule);
  }
  uintptr_t AddressAt(uintptr_t at) const { return at - start(); }
  static uintptr_t AddressOf(uint32_t destination) { return uintptr_t{destination} * kGranule; }
  ATOLL_ALWAYS_INLINE void NoteInside(uintptr_t slot) { Set(relocations_, slot); }
  ATOLL_ALWAYS_INLINE void NoteShared(uintptr_t slot) {
    Set(shared_refs_, slot);
    any_shared_ = true;
  }
  void NoteMoved() { has_moved_hooks_ = true; }
  CopyFailure failure() const { return CopyFailure::kTooLarge; }

  /// Valid until Begin is called again.
  PackedGraph graph() {
    PackedGraph graph;
    graph.data = data_;
    graph.data_bytes = static_cast<uint32_t>(used_);
    graph.root_count = static_cast<uint32_t>(roots.size());
    graph.roots = roots.data();
    graph.roots_inside = roots_inside.data();
    graph.relocations = relocations_;
    graph.shared_refs = any_shared_ ? shared_refs_ : nullptr;
    graph.has_moved_hooks = has_moved_hooks_;
    graph.origin = start();
    graph.is_compressed = is_compressed_;
    return graph;
  }

  std::vector<Word> roots;            ///< changed by whoever copies
  std::vector<uint8_t> roots_inside;  ///< likewise

 private:
  static constexpr size_t kWords = kLargeObjectThreshold / sizeof(Word);
  static constexpr size_t kMostSlots = kLargeObjectThreshold / sizeof(CompressedWord);

  uintptr_t start() const { return reinterpret_cast<uintptr_t>(data_); }
  int slot_shift() const { return is_compressed_ ? 2 : 3; }
  size_t bitmap_bytes() const { return ((used_ >> slot_shift()) + 7) / 8; }
  ATOLL_ALWAYS_INLINE void Set(uint8_t* bitmap, uintptr_t slot) {
    const size_t bit = (slot - start()) >> slot_shift();
    bitmap[bit / 8] = static_cast<uint8_t>(bitmap[bit / 8] | 1u << (bit % 8));
  }

  const bool is_compressed_;
  size_t used_ = 0;
  size_t max_bytes_ = 0;
  bool any_shared_ = false;
  bool has_moved_hooks_ = false;
  uint8_t relocations_[kMostSlots / 8] = {};
  uint8_t shared_refs_[kMostSlots / 8] = {};
  Word data_[kWords];
};

/// Young objects of a region that nobody else works in; its blocks are in filling_young and
/// filling_large meanwhile. Takes memory within the limits only.
class RegionSink {
 public:
  static constexpr size_t kLargeFrom = kLargeObjectThreshold + 1;
  static constexpr bool kTakesTransfers = true;

  explicit RegionSink(RegionState& region) : region_(region), bases_(region.heap.allocator) {}

  ATOLL_ALWAYS_INLINE uintptr_t Allocate(size_t size) {
    const uintptr_t at = cursor_;
    if (ATOLL_UNLIKELY(limit_ - at < size)) return AllocateSlow(size);
    cursor_ = at + size;
    return at;
  }
  ATOLL_COLD uintptr_t AllocateLarge(size_t size);
  uint32_t DestinationOf(uintptr_t at) const {
    return destination_ | static_cast<uint32_t>((at & (kBlockSize - 1)) / kGranule);
  }
  static uintptr_t AddressAt(uintptr_t at) { return at; }
  uintptr_t AddressOf(uint32_t destination) const {
    return bases_[destination >> kGranuleBits] + (destination & kGranuleMask) * kGranule;
  }
  void NoteInside(uintptr_t) {}
  void NoteShared(uintptr_t) {}
  void NoteMoved() {}
  CopyFailure failure() const { return CopyFailure::kMemory; }

  /// All that was copied is the region's from now on.
  void Commit();
  /// All that was copied is the group's from now on, instead, unless `poll` has said no. See
  /// ShareCopies.
  [[nodiscard]] bool Share(FunctionRef<bool()> poll);
  /// Nothing was copied: the blocks go back.
  void Abandon();

 private:
  static constexpr int kGranuleBits = kBlockShift - 3;
  static constexpr uint32_t kGranuleMask = (uint32_t{1} << kGranuleBits) - 1;
  static constexpr size_t kMaxBases = size_t{1} << (32 - kGranuleBits);
  static_assert(size_t{1} << kGranuleBits == kBlockSize / kGranule);

  // Addresses by number, in a growing array of the heap's off-heap memory.
  class Bases {
   public:
    explicit Bases(GroupAllocator& allocator) : allocator_(allocator) {}
    ~Bases();
    Bases(const Bases&) = delete;
    Bases& operator=(const Bases&) = delete;
    uintptr_t operator[](size_t i) const { return addresses_[i]; }
    size_t size() const { return size_; }
    bool TryReserveOne();
    void Push(uintptr_t address) { addresses_[size_++] = address; }

   private:
    GroupAllocator& allocator_;
    uintptr_t* addresses_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
  };

  ATOLL_COLD uintptr_t AllocateSlow(size_t size);
  void CloseBlock();
  /// The destination of what starts at `address`; there is room for it.
  uint32_t NewBase(uintptr_t address);

  RegionState& region_;
  uintptr_t cursor_ = 0;
  uintptr_t limit_ = 0;             // block_end_, or cursor_ after a large object
  uint32_t destination_ = 0;        // of the first granule of what was allocated in last
  uint32_t block_destination_ = 0;  // of the block's
  BlockIndex block_ = kNoBlock;     // that the cursor is in
  uintptr_t block_end_ = 0;
  Bases bases_;  // blocks and large objects
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_COPY_SINKS_H_
