// Layer: heap
#ifndef ATOLL_MUTATOR_H_
#define ATOLL_MUTATOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "atoll/config.h"
#include "atoll/layout.h"
#include "atoll/ref.h"
#include "atoll/safepoint.h"
#include "atoll/status.h"
#include "atoll/type.h"

namespace Atoll {

class Region;
class RootVisitor;
class StackRef;
struct MutatorRecord;

/// What ends with an object, see Mutator::AddFinalizer.
enum class FinalizerKind : uint8_t {
  kNative,        ///< runs when the object dies or its region is freed, on any thread
  kGuardian,      ///< the dead object is handed back once, by Region::NextGuarded
  kThreadAffine,  ///< runs on the mutator's own thread, at a poll or when it detaches
};

/// Runs without the object, which is gone; `data` is what was registered. May be called while a
/// region is stopped: it touches no heap and waits for nothing that needs a mutator.
using FinalizerFn = void (*)(void* data);

/// A thread's attachment to a region: its allocation buffer, its barrier state, its handles.
///
/// Used by one thread at a time. Everything below is legal in managed state only, unless it says
/// otherwise; calls marked *may collect* are safepoints: raw ObjectPtr and Ref values held across
/// them are stale, Locals are not. Created by Region::AttachMutator, in native state.
class Mutator final : public MutatorThread {
 public:
  ~Mutator() override;
  Mutator(const Mutator&) = delete;
  Mutator& operator=(const Mutator&) = delete;

  Region& region() const { return *region_; }

  // ---- Allocation

  /// A zeroed object of `size` bytes, header included; its header is stored. May collect.
  /// `size` must be the type's fixed size, or for types with elements be reached by AllocateArray.
  /// Returns null when a limit refuses the memory after all was tried, or when size and type do
  /// not fit; last_error() says which. Cost: a bump, two compares and the stores; O(live young)
  /// when it collects.
  ATOLL_ALWAYS_INLINE ObjectPtr Allocate(const Type& type, size_t size) {
    ObjectPtr object;
    if (ATOLL_LIKELY(TryAllocate(type, size, &object, [](ObjectPtr) {}))) return object;
    return AllocateSlow(type, size, kMayCollect);
  }
  ObjectPtr Allocate(const Type& type) { return Allocate(type, type.fixed_size); }
  /// The inline part of Allocate: false where it has to take the slow way. `initialize(*object)`
  /// stores first values, and does nothing else. Where the compiler sees what it stores, that is
  /// not zeroed before.
  template <typename Initialize>
  ATOLL_ALWAYS_INLINE bool TryAllocate(const Type& type, size_t size, ObjectPtr* object,
                                       Initialize initialize) {
    const uintptr_t address = top_;
    // A state that is not managed is reported on the slow way.
    if (ATOLL_UNLIKELY(!IsManagedIfChecked() || size != type.inline_size ||
                       limit_ - address < size)) {
      return false;
    }
    top_ = address + size;
    const Word header_word = type.header_word;  // before the stores, which might be to it
    ZeroBody(address, size);
    *reinterpret_cast<Word*>(address) = header_word;
    *object = ObjectPtr(address);
    initialize(*object);
    return true;
  }

  /// A zeroed object with `length` elements; the length is stored before it returns. May collect.
  /// Null and last_error() as for Allocate. Over kLargeObjectThreshold bytes: whole blocks.
  ATOLL_ALWAYS_INLINE ObjectPtr AllocateArray(const Type& type, size_t length) {
    if (!IsManagedIfChecked()) return AllocateArraySlow(type, length, kMayCollect);
    if (ATOLL_UNLIKELY(length >= type.inline_length_end)) {
      return AllocateArraySlow(type, length, kMayCollect);
    }
    const size_t size =
        (type.fixed_size + length * type.element_size + kGranule - 1) & ~(kGranule - 1);
    const uintptr_t object = top_;
    if (ATOLL_UNLIKELY(size > kLargeObjectThreshold || limit_ - object < size)) {
      return AllocateArraySlow(type, length, kMayCollect);
    }
    top_ = object + size;
    ZeroBody(object, size);
    *reinterpret_cast<Word*>(object) = type.header_word;
    StoreLength(type, object, length);
    return ObjectPtr(object);
  }

  /// The same without ever collecting: grows instead, up to the reserve over the limit, then
  /// returns null; asks for a collection at the next poll outside a NoCollectScope.
  ObjectPtr AllocateNoCollect(const Type& type, size_t size);
  ObjectPtr AllocateArrayNoCollect(const Type& type, size_t length);

  /// Why the last allocation of this mutator returned null. Legal in any state, on its own thread.
  const Status& last_error() const { return last_error_; }

  // ---- Identity and in-place changes

  /// A hash that stays with the object wherever it moves; never zero. Any mutator of the region.
  uint32_t IdentityHash(ObjectPtr object);
  /// Gives the object another type of equal size and with the same number of elements. Refused, as
  /// is ShrinkInPlace, for objects of the Shared space.
  Status ChangeType(ObjectPtr object, const Type& type);
  /// Cuts the object to its first `length` elements, in place; the rest is made a gap.
  Status ShrinkInPlace(ObjectPtr object, size_t length);
  /// The type of a private or program object.
  const Type& TypeOf(ObjectPtr object) const {
    // Relaxed: types are immutable, and the header was published with the object.
    const uint32_t half = std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(object.address()))
                              .load(std::memory_order_relaxed);
    return types_[(half >> header::kTypeShift) & header::kMaxTypeId];
  }
  /// Bytes of the object, header included.
  size_t SizeOf(ObjectPtr object) const;
  size_t LengthOf(ObjectPtr object) const;

  // ---- Pins, finalizers, external memory

  /// Until as many Unpins: the object is alive and does not move. O(log pins).
  Status Pin(ObjectPtr object);
  Status Unpin(ObjectPtr object);
  /// When `object` dies: see FinalizerKind. `external_bytes` count for pacing and limits until
  /// then.
  Status AddFinalizer(ObjectPtr object, FinalizerKind kind, FinalizerFn fn, void* data,
                      size_t external_bytes = 0);
  /// Native memory that lives and dies with this region's objects; may be negative.
  void AdjustExternalBytes(int64_t delta);

  // ---- Barriers (see also Store below)

  /// Until the next point that may collect (a poll, an allocation), plain stores into `object` need
  /// no barrier: it is scanned as a whole.
  void RememberForStores(ObjectPtr object);

  // ---- Collecting

  enum class Collection : uint8_t { kMinor, kMajor };
  /// Collects this mutator's region now, stopping its other mutators only. Refused inside a
  /// NoCollectScope of any of them.
  Status Collect(Collection kind);

  /// Ends the attachment: gives back the TLAB, runs thread-affine finalizers. Refused, changing
  /// nothing, while a HandleScope or NoCollectScope is open. Legal in managed or native state.
  Status Detach();

  // ---- For the inline paths and the layers above; not for embedders

  ATOLL_ALWAYS_INLINE uint32_t TagOf(uintptr_t address) const {
    // Relaxed: the tags a mutator tests change only while it is stopped, or not for its objects.
    return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(tags_[address >> kBlockShift]))
        .load(std::memory_order_relaxed);
  }
  ATOLL_ALWAYS_INLINE bool InReservation(uintptr_t address) const {
    return address - base_ < reservation_size_;
  }
  template <typename E>
  ATOLL_ALWAYS_INLINE bool RefersIntoHeap(const E& encoding, Ref value) const {
    return encoding.RefersInto(value.word, base_, reservation_size_);
  }
  /// `bytes` (a multiple of 8, at most kLargeObjectThreshold) of the memory that this mutator
  /// allocates into, not zeroed. The caller fills them with whole objects before it allocates again
  /// and before the next point that may collect. May collect; 0, and last_error(), when a limit
  /// refuses. Cost: a bump and a compare.
  ATOLL_ALWAYS_INLINE uintptr_t AllocateRaw(size_t bytes) {
    const uintptr_t at = top_;
    if (ATOLL_UNLIKELY(limit_ - at < bytes || !IsManagedIfChecked())) return AllocateRawSlow(bytes);
    top_ = at + bytes;
    return at;
  }
  /// Frees all that the region owns, in O(1), where that is what this mutator has allocated in one
  /// block, and nothing is attached to it (pins, finalizers, weak entries, handles, Persistents,
  /// external bytes); the block is allocated into again from its start. False, and nothing has
  /// changed, where it is not. The caller knows that no root refers to it. Managed, and the only
  /// mutator of its region.
  bool TryRewind();
  uint32_t young_tag() const { return young_tag_; }
  const RefEncoding& encoding() const { return encoding_; }
  void RememberSlow(ObjectPtr object, Slot slot);
  void StoreIntoSharedSlow(ObjectPtr object, Slot slot, Ref value);
  /// Whether `value` may be stored into this shared object; reports the violation if not.
  bool MayStoreIntoShared(ObjectPtr object, Ref value);
  void ReportNotManaged(const char* call);
  void ReportStoreInitialIntoOld(ObjectPtr object);
  void ReportWrongSlot(const char* call, bool takes_compressed, Slot slot, Ref value);
  /// In builds with ATOLL_CHECKS: whether the state is managed. Elsewhere always true.
  ATOLL_ALWAYS_INLINE bool IsManagedIfChecked() const {
    return !ATOLL_CHECKS || ATOLL_LIKELY(state() == MutatorState::kManaged);
  }
  /// The same, and reports it if not.
  ATOLL_ALWAYS_INLINE bool CheckManaged(const char* call) {
    if (IsManagedIfChecked()) return true;
    ReportNotManaged(call);
    return false;
  }
  /// In builds with ATOLL_CHECKS: whether slot and value are of the encoding E, and that is the
  /// heap's; reports it if not. Elsewhere always true.
  template <typename E>
  ATOLL_ALWAYS_INLINE bool CheckSlot(const char* call, Slot slot, Ref value) {
    if (!ATOLL_CHECKS || ATOLL_LIKELY(slot.is_compressed() == E::kCompressed &&
                                      encoding_.compressed == E::kCompressed &&
                                      (!E::kCompressed || IsCompressible(value.word)))) {
      return true;
    }
    ReportWrongSlot(call, E::kCompressed, slot, value);
    return false;
  }
  /// Zeroes an object but for its header. Where the size is known when compiling these are a few
  /// stores, which the compiler merges with the embedder's own first stores.
  ATOLL_ALWAYS_INLINE static void ZeroBody(uintptr_t object, size_t size) {
    __builtin_memset(reinterpret_cast<void*>(object + kHeaderSize), 0, size - kHeaderSize);
  }
  static void StoreLength(const Type& type, uintptr_t object, size_t length) {
    const uintptr_t at = object + type.length_offset;
    if (type.length_width == 8) {
      *reinterpret_cast<uint64_t*>(at) = length;
    } else {
      *reinterpret_cast<uint32_t*>(at) = static_cast<uint32_t>(length);
    }
  }
  MutatorRecord& record() const { return *record_; }

 private:
  friend class HandleScope;
  friend class NoCollectScope;
  friend class LocalRef;
  friend class StackRef;
  friend class StackScope;
  friend class Region;
  friend struct MutatorRecord;
  friend struct JitDescriptor;

  enum CollectMode : uint8_t { kMayCollect, kNeverCollect };

  Mutator(Region& region, std::string name);
  void OnPoll(uint32_t client_bits) override;
  bool IsInShared(ObjectPtr object) const;
  ObjectPtr AllocateSlow(const Type& type, size_t size, CollectMode mode);
  ObjectPtr AllocateArraySlow(const Type& type, size_t length, CollectMode mode);
  ObjectPtr AllocateBytes(const Type& type, size_t size, size_t length, CollectMode mode);
  uintptr_t AllocateRawSlow(size_t bytes);
  void NoteUnsendable(ObjectPtr object);
  bool BeginSlowAllocation(const char* call, CollectMode* mode);
  void RefuseMemory(size_t size, const std::string& what, CollectMode mode);
  uintptr_t TakeBytes(size_t size, CollectMode mode);
  uintptr_t TakeLarge(size_t size, CollectMode mode);
  uintptr_t TakeNonMoving(size_t size, CollectMode mode);
  Word* GrowHandles();
  void ShrinkHandles(Word* limit);

  // The allocation buffer: [top_, limit_) is free; limit_ is buffer_end_, unless a stress knob
  // keeps it at top_, so that each allocation takes the slow path. Not zeroed: objects are, one by
  // one.
  uintptr_t top_ = 0;
  uintptr_t limit_ = 0;
  uintptr_t buffer_end_ = 0;
  // What the barrier compares with. The table is biased: tags_[address >> kBlockShift]. young_tag_
  // is that of objects stores into which need no barrier: the young ones of the own part, or, while
  // objects are born old and none is young, its old ones.
  const uint32_t* tags_ = nullptr;
  uint32_t young_tag_ = 0;
  uint32_t no_collect_depth_ = 0;
  uintptr_t base_ = 0;
  size_t reservation_size_ = 0;
  const Type* types_ = nullptr;
  // Handles: [.., handle_next_) of the current segment are in use.
  Word* handle_next_ = nullptr;
  Word* handle_limit_ = nullptr;
  StackRef* stack_refs_ = nullptr;  // the newest
  RefEncoding encoding_;
  Region* region_;
  MutatorRecord* record_;
  Status last_error_;
};

/// Stores `value` into `slot` of `object`, the slot lying inside the object. Never allocates,
/// polls, publishes or collects. A store into a shared object goes to the heap's violation handler,
/// unless it is a shared value into a Program object. Cost: one tag load for a young object, two
/// for an old one; the header is loaded only for an old object that gets a young value.
template <typename E = PlainPointers>
ATOLL_ALWAYS_INLINE void Store(Mutator& mutator, ObjectPtr object, Slot slot, Ref value) {
  if (!mutator.CheckManaged("Store") || !mutator.CheckSlot<E>("Store", slot, value)) return;
  const uint32_t object_tag = mutator.TagOf(object.address());
  if (object_tag != mutator.young_tag()) {
    const E encoding(mutator.encoding());
    if (ATOLL_UNLIKELY((object_tag & tag::kShared) != 0)) {
      mutator.StoreIntoSharedSlow(object, slot, value);
      return;
    }
    const uintptr_t target = encoding.Decode(value.word);
    if (mutator.RefersIntoHeap(encoding, value) && mutator.TagOf(target) == mutator.young_tag()) {
      // Relaxed: GC flags are written by this region's mutators and stopped collectors only; two
      // mutators that race here both remember the object, which is harmless.
      const uint8_t flags = std::atomic_ref<uint8_t>(*reinterpret_cast<uint8_t*>(object.address()))
                                .load(std::memory_order_relaxed);
      if (ATOLL_UNLIKELY((flags & header::kRemembered) == 0)) mutator.RememberSlow(object, slot);
    }
  }
  slot.StoreRawAs<E>(value);
}

/// The first store into a slot of an object that has not been reachable by others nor survived a
/// collection: no barrier. Legal only while the object is still as it was born in this mutator's
/// part (checked in builds with ATOLL_CHECKS), that is until the next call that may collect.
template <typename E = PlainPointers>
ATOLL_ALWAYS_INLINE void StoreInitial(Mutator& mutator, ObjectPtr object, Slot slot, Ref value) {
  if (!mutator.CheckManaged("StoreInitial") || !mutator.CheckSlot<E>("StoreInitial", slot, value)) {
    return;
  }
  if (ATOLL_CHECKS && ATOLL_UNLIKELY(mutator.TagOf(object.address()) != mutator.young_tag())) {
    mutator.ReportStoreInitialIntoOld(object);
    Store<E>(mutator, object, slot, value);
    return;
  }
  // A plain store: no other thread has the object yet; what publishes it orders it.
  if constexpr (E::kCompressed) {
    *reinterpret_cast<CompressedWord*>(slot.AddressAs<E>()) = Compress(value.word);
  } else {
    *reinterpret_cast<Word*>(slot.AddressAs<E>()) = value.word;
  }
}

/// As Store, if the slot holds `expected`; otherwise loads what it holds into `expected` and
/// returns false. Sequentially consistent.
template <typename E = PlainPointers>
bool CompareExchange(Mutator& mutator, ObjectPtr object, Slot slot, Ref& expected, Ref desired) {
  if (!mutator.CheckManaged("CompareExchange") ||
      !mutator.CheckSlot<E>("CompareExchange", slot, desired)) {
    expected = slot.Load();
    return false;
  }
  const uint32_t object_tag = mutator.TagOf(object.address());
  if (ATOLL_UNLIKELY((object_tag & tag::kShared) != 0)) {
    if (mutator.MayStoreIntoShared(object, desired))
      return slot.CompareExchangeRaw(expected, desired);
    expected = slot.Load();
    return false;
  }
  const E encoding(mutator.encoding());
  const uintptr_t target = encoding.Decode(desired.word);
  // Remembered before the exchange: too much in the remembered set is harmless, too little is not.
  if (object_tag != mutator.young_tag() && mutator.RefersIntoHeap(encoding, desired) &&
      mutator.TagOf(target) == mutator.young_tag()) {
    mutator.RememberSlow(object, slot);
  }
  return slot.CompareExchangeRaw(expected, desired);
}

/// As Store, returning what the slot held. Sequentially consistent.
template <typename E = PlainPointers>
Ref Exchange(Mutator& mutator, ObjectPtr object, Slot slot, Ref value) {
  if (!mutator.CheckManaged("Exchange") || !mutator.CheckSlot<E>("Exchange", slot, value)) {
    return slot.Load();
  }
  if (ATOLL_UNLIKELY((mutator.TagOf(object.address()) & tag::kShared) != 0)) {
    return mutator.MayStoreIntoShared(object, value) ? slot.ExchangeRaw(value) : slot.Load();
  }
  Ref held = slot.Load();
  while (!CompareExchange<E>(mutator, object, slot, held, value)) {
  }
  return held;
}

/// A Store that is a release: what was written before is seen by whoever load-acquires the value.
template <typename E = PlainPointers>
ATOLL_ALWAYS_INLINE void StoreRelease(Mutator& mutator, ObjectPtr object, Slot slot, Ref value) {
#if ATOLL_TSAN
  // ThreadSanitizer knows no fences.
  Exchange<E>(mutator, object, slot, value);
#else
  // Release: with the relaxed store behind it, it is what LoadAcquire pairs with.
  std::atomic_thread_fence(std::memory_order_release);
  Store<E>(mutator, object, slot, value);
#endif
}

/// Copies `count` references from `source` to `target`, slots of `object`; the ranges may overlap.
template <typename E = PlainPointers>
void CopyRefs(Mutator& mutator, ObjectPtr object, Slot target, Slot source, size_t count) {
  const auto copy = [&](size_t i) {
    Store<E>(mutator, object, target.Next(i), source.Next(i).template LoadAs<E>());
  };
  if (target.address() <= source.address()) {
    for (size_t i = 0; i < count; ++i) copy(i);
  } else {
    for (size_t i = count; i-- > 0;) copy(i);
  }
}

/// The referent of a weak reference, or the zero word once it has been cleared.
template <typename E = PlainPointers>
Ref WeakGet(ObjectPtr weak_reference) {
  return ObjectSlot<E>(weak_reference.address() + kHeaderSize).Load();
}

/// While one is open, nothing of this mutator's region is collected or moved: allocation grows to
/// the reserve over the limit, then returns null. Nests. Handshakes are answered at polls as ever.
/// Shared objects never move, but one that nothing refers to any more, except raw references, may
/// go at a poll: hold by a handle what was not found in the region's objects, and what this mutator
/// itself stores over in them.
class NoCollectScope {
 public:
  explicit NoCollectScope(Mutator& mutator) : mutator_(mutator) { ++mutator_.no_collect_depth_; }
  ~NoCollectScope() { --mutator_.no_collect_depth_; }
  NoCollectScope(const NoCollectScope&) = delete;
  NoCollectScope& operator=(const NoCollectScope&) = delete;

 private:
  Mutator& mutator_;
};

}  // namespace Atoll

#endif  // ATOLL_MUTATOR_H_
