// The copying of one graph, for one encoding and one sink.
//
// Depth first, by slots: what a slot refers to is copied when the slot's turn comes, and its own
// slots are pushed then: slots of the copy, which hold the source's words until their turn. So each
// object is read once, copies lie behind what refers to them, as the collector lays out what it
// moves, and a list of any length needs one entry of the stack. Arrays are looked at in pieces, so
// that a wide one needs few.
//
// Entries of the stack, by their low bits:
//   0  a slot of a copy; its word refers into the heap
//   1  a copy that is not plain (see Type::plain_size); its slots are still to be looked at
//   2  the rest of an array; below it: the first element that is left
//   3  a copy of a custom type; below it: the source's object, on which `trace` is called
#ifndef ATOLL_ISOLATE_GRAPH_COPY_INL_H_
#define ATOLL_ISOLATE_GRAPH_COPY_INL_H_

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "atoll/handles.h"
#include "gc/mark_stack.h"
#include "gc/strong_slots.h"
#include "heap/flip_to_shared.h"
#include "heap/heap_state.h"
#include "heap/segmented_vector.h"
#include "heap/transfer.h"
#include "isolate/copied_objects.h"
#include "isolate/copy_sinks.h"
#include "isolate/graph_copier.h"

namespace Atoll {

/// What copies need beside the sink, kept from one to the next.
struct CopyBuffers {
  explicit CopyBuffers(HeapState& heap)
      : copied(*heap.space, heap.allocator),
        stack(heap.allocator),
        weak_references(heap.allocator),
        ephemerons(heap.allocator) {}

  void Clear() {
    copied.Clear();
    MarkEntry entry;
    while (stack.Pop(&entry)) {
    }
    weak_references.Clear();
    ephemerons.Clear();
    ready_ephemerons.clear();
    // Clearing a table that is empty costs as much as copying an object.
    if (!ephemerons_by_key.empty()) ephemerons_by_key.clear();
  }
  /// Forgets what a copy has left to its commit.
  void ClearCommit() {
    if (!flips.empty()) flips.clear();
    transfers.clear();
  }

  std::span<const Ref> roots;  // of the copy that is being made; kept by handles while it polls
  std::vector<Ref> new_roots;  // where they are now, of one that ended with kReplaced
  CopiedObjects copied;
  MarkStack stack;
  SegmentedVector<uintptr_t> weak_references;  // copies
  SegmentedVector<uintptr_t> ephemerons;       // copies whose keys have not been copied
  // By key (of the source), once there have been two rounds over `ephemerons`.
  std::unordered_multimap<uintptr_t, uintptr_t> ephemerons_by_key;
  std::vector<uintptr_t> ready_ephemerons;
  std::vector<bool> custom_visited;  // by word of the object whose `trace` is being called
  // Objects that are not copied, but become shared when the copy is committed.
  std::unordered_set<uintptr_t> flips;
  std::vector<Transfer> transfers;
};

/// A poll of a copy whose buffers these are. False: there was a Become, which may have replaced
/// whatever the copy has seen; then `new_roots` are what its roots are now.
ATOLL_COLD inline bool PollKeepingRoots(Mutator& source, CopyBuffers& buffers) {
  const HeapState& heap = source.region().state().heap;
  const uint64_t becomes = heap.becomes;
  HandleScope scope(source);
  std::deque<LocalRef> kept;
  for (const Ref root : buffers.roots) kept.emplace_back(source, root);
  source.Poll();
  if (heap.becomes == becomes) return true;
  buffers.new_roots.clear();
  for (const LocalRef& root : kept) buffers.new_roots.push_back(root.Get());
  return false;
}

template <typename E, typename Sink>
class GraphCopy final : private SlotVisitor {
 public:
  GraphCopy(CopyBuffers& buffers, Mutator& source, Sink& sink, const CopyOptions& options)
      : buffers_(buffers),
        copied_(buffers.copied),
        stack_(buffers.stack),
        source_(source),
        sink_(sink),
        options_(options),
        encoding_(source.encoding()),
        base_(source.region().state().heap.space->base()),
        size_(source.region().state().heap.space->size()),
        types_(source.region().state().heap.types.types()) {}

  /// Copies the object that the root refers to; what that refers to is left for Finish. Returns the
  /// root's new word.
  Word CopyRoot(Word word, bool* inside) {
    *inside = false;
    if (!encoding_.RefersInto(word, base_, size_)) return word;
    uintptr_t address = 0;
    if (Reach(encoding_.Decode(word), &address, base_, size_, PushToStack()) !=
        CopiedObjects::Answer::kCopied) {
      return word;
    }
    *inside = true;
    return encoding_.Encode(word, address);
  }

  /// Copies all that can be reached. False: see failure().
  bool Finish() {
    Drain();
    if (ok() && !buffers_.ephemerons.empty()) FollowEphemerons();
    if (ok() && !buffers_.weak_references.empty()) SettleWeakReferences();
    if (ok()) ClearEphemerons();
    return ok();
  }

  CopyFailure failure() const { return failure_; }
  /// Which object of the source could not be copied, if it was one.
  uintptr_t failed_object() const { return failed_object_; }

 private:
  static constexpr size_t kPiece = 128;         // elements of an array looked at in one go
  static constexpr int64_t kCostOfObject = 32;  // in bytes copied
  static constexpr size_t kLongLeaf = 128;
  static constexpr int kRoundsBeforeIndex = 2;
  static constexpr MarkEntry kKindMask = 3;  // slots may lie at multiples of 4
  static constexpr MarkEntry kScan = 1;
  static constexpr MarkEntry kArrayRest = 2;
  static constexpr MarkEntry kCustom = 3;

  bool ok() const { return failure_ == CopyFailure::kNone; }
  ATOLL_COLD void Fail(CopyFailure failure, uintptr_t object = 0) {
    if (!ok()) return;
    failure_ = failure;
    failed_object_ = object;
  }

  const Type& TypeOfHeader(Word header_word) const {
    return types_[(header_word >> header::kTypeShift) & header::kMaxTypeId];
  }
  // A copy is nobody else's yet: plain loads.
  static Word& At(uintptr_t address) { return *reinterpret_cast<Word*>(address); }
  // Of the source, any word. Acquire: what other mutators publish by a release store is copied
  // next.
  static Word LoadWord(uintptr_t address) {
    return std::atomic_ref<Word>(At(address)).load(std::memory_order_acquire);
  }
  static Word LoadSlot(uintptr_t slot) { return ObjectSlot<E>(slot).template LoadAs<E>().word; }
  static void ClearSlot(uintptr_t slot) { ObjectSlot<E>(slot).template StoreRawAs<E>(Ref{}); }

  // ---- Reaching objects

  // Finds or makes the copy of a source object: kCopied and what references to it say, or kShared
  // (or about to be), or kRefused. Push: bool(MarkEntry); base and size: the members, see Drain.
  template <typename Push>
  ATOLL_ALWAYS_INLINE CopiedObjects::Answer Reach(uintptr_t object, uintptr_t* address,
                                                  uintptr_t base, size_t size, Push push) {
    using Answer = CopiedObjects::Answer;
    CopiedObjects::Place place;
    const Answer answer = copied_.Find(object, &place);
    if (ATOLL_LIKELY(answer == Answer::kNew)) {
      return CopyObject(object, place, address, base, size, push);
    }
    if (answer == Answer::kCopied) {
      *address = sink_.AddressOf(place.destination);
    } else if (ATOLL_UNLIKELY(answer == Answer::kRefused)) {
      Fail(CopyFailure::kMemory);
    }
    return answer;
  }
  auto PushToStack() {
    return [this](MarkEntry entry) { return stack_.TryPush(entry); };
  }

  // The slot's turn has come.
  template <typename Push>
  ATOLL_ALWAYS_INLINE void Visit(uintptr_t slot, uintptr_t base, size_t size, Push push) {
    const Word word = LoadSlot(slot);
    if (ATOLL_UNLIKELY(!encoding_.RefersInto(word, base, size))) return;
    uintptr_t address = 0;
    const CopiedObjects::Answer answer = Reach(encoding_.Decode(word), &address, base, size, push);
    if (ATOLL_LIKELY(answer == CopiedObjects::Answer::kCopied)) {
      ObjectSlot<E>(slot).template StoreRawAs<E>(Ref{encoding_.Encode(word, address)});
      sink_.NoteInside(slot);
    } else if (answer == CopiedObjects::Answer::kShared) {
      sink_.NoteShared(slot);
    }
  }
  void Visit(uintptr_t slot) { Visit(slot, base_, size_, PushToStack()); }
  void VisitLater(uintptr_t slot) {
    if (!encoding_.RefersInto(LoadSlot(slot), base_, size_)) return;
    if (ATOLL_UNLIKELY(!stack_.TryPush(slot))) Fail(CopyFailure::kMemory);
  }

  template <typename Push>
  ATOLL_ALWAYS_INLINE CopiedObjects::Answer CopyObject(uintptr_t object,
                                                       const CopiedObjects::Place& place,
                                                       uintptr_t* address, uintptr_t base,
                                                       size_t size, Push push) {
    using Answer = CopiedObjects::Answer;
    // Relaxed: the type was published with the object; flags and hash may change beside it.
    const Word header_word = HeaderOf(object).load(std::memory_order_relaxed);
    const Type& type = TypeOfHeader(header_word);
    uintptr_t at = 0;
    bool pushed = true;
    if (ATOLL_LIKELY(type.plain_size != 0)) {
      at = Allocate(object, type.plain_size, place);
      if (ATOLL_UNLIKELY(at == 0)) return Answer::kRefused;
      At(at) = header_word & ~Word{0xFF};
      // Copied and looked at in one go: whether there is a reference is known the sooner.
      constexpr size_t kSlot = kSlotSize<E>;
      uint64_t bit = uint64_t{1} << (((type.plain_size - kHeaderSize) / kSlot - 1) % 64);
      for (size_t i = type.plain_size - sizeof(Word); i >= kHeaderSize; i -= sizeof(Word)) {
        const Word word = LoadWord(object + i);
        At(at + i) = word;
        for (size_t in_word = sizeof(Word); in_word != 0;) {
          in_word -= kSlot;
          const bool refers = E::kCompressed ? static_cast<CompressedWord>(word >> 8 * in_word) != 0
                                             : encoding_.RefersInto(word, base, size);
          if ((type.bitmap & bit) != 0 && refers) pushed &= push(at + i + in_word);
          bit >>= 1;
        }
      }
    } else {
      if (type.flags.deeply_immutable && options_.publishes && WillFlip(object, type)) {
        if (ATOLL_UNLIKELY(watching_keys_)) WakeEphemerons(object);
        return Answer::kShared;
      }
      at = CopyOther(object, header_word, type, place);
      if (at == 0) return Answer::kRefused;
      if (type.layout == Layout::kCustom) {
        pushed = push(object) && push(at | kCustom);
      } else if (!type.is_leaf()) {
        pushed = push(at | kScan);
      }
    }
    if (ATOLL_UNLIKELY(!pushed)) {
      Fail(CopyFailure::kMemory, object);
      return Answer::kRefused;
    }
    *address = sink_.AddressAt(at);
    if (ATOLL_UNLIKELY(watching_keys_)) WakeEphemerons(object);
    return Answer::kCopied;
  }
  // Whether the object stays where it is, and becomes shared by the commit. Asked about each object
  // until it is listed; one that was copied is found before this.
  ATOLL_COLD bool WillFlip(uintptr_t object, const Type& type) {
    if (ObjectSize(type, object) <= kLargeObjectThreshold) return false;
    if (buffers_.flips.count(object) != 0) return true;
    if (!MayCopy(object, type) ||
        !CanFlipToShared(source_, ObjectPtr(object), [this] { Poll(); })) {
      return false;
    }
    buffers_.flips.insert(object);
    return true;
  }
  // What Type::plain_size leaves out. 0: failed.
  uintptr_t CopyOther(uintptr_t object, Word header_word, const Type& type,
                      const CopiedObjects::Place& place) {
    if (!MayCopy(object, type)) return 0;
    if (options_.only_identity_free && !type.flags.identity_free) {
      Fail(CopyFailure::kIdentity, object);
      return 0;
    }
    const size_t length = type.has_elements() ? LengthOf(type, object) : 0;
    const size_t size = type.has_elements() ? SizeForLength(type, length) : type.fixed_size;
    const bool is_large = size >= Sink::kLargeFrom;
    const uintptr_t at = is_large ? Insert(object, sink_.AllocateLarge(size), size, place)
                                  : Allocate(object, size, place);
    if (at == 0) return 0;
    if (type.has_transfer_hook) buffers_.transfers.push_back({object, at});
    At(at) = (header_word & ~Word{0xFF}) | (is_large ? header::kLarge : 0);
    if (size <= kLongLeaf) {
      CopyWords(object, at, kHeaderSize, size);
    } else if (!CopyLong(object, at, size, type)) {
      return 0;
    }
    // Another mutator of the region may have shrunk it meanwhile: the copy has the size it has.
    if (type.has_elements()) Mutator::StoreLength(type, at, length);
    if (type.has_moved_hook) {
      type.details->moved(ObjectPtr(at), object);
      sink_.NoteMoved();
    }
    return at;
  }
  // Where the copy of `object` is to be written, or 0. Not for objects from Sink::kLargeFrom on.
  ATOLL_ALWAYS_INLINE uintptr_t Allocate(uintptr_t object, size_t size,
                                         const CopiedObjects::Place& place) {
    return Insert(object, sink_.Allocate(size), size, place);
  }
  // Notes that the copy of `object` is at `at`; 0 if it is not, or cannot be noted.
  ATOLL_ALWAYS_INLINE uintptr_t Insert(uintptr_t object, uintptr_t at, size_t size,
                                       const CopiedObjects::Place& place) {
    if (ATOLL_UNLIKELY(at == 0)) {
      Fail(sink_.failure(), object);
      return 0;
    }
    if (ATOLL_UNLIKELY(!copied_.Insert(object, place, sink_.DestinationOf(at)))) {
      Fail(CopyFailure::kMemory, object);
      return 0;
    }
    budget_ -= static_cast<int64_t>(size) + kCostOfObject;
    return at;
  }

  bool MayCopy(uintptr_t object, const Type& type) {
    const bool is_weak = type.layout == Layout::kWeakRef || type.layout == Layout::kEphemeron;
    if (type.flags.non_moving) {
      Fail(CopyFailure::kNonMoving, object);
    } else if (type.flags.unsendable) {
      Fail(CopyFailure::kUnsendable, object);
    } else if (is_weak && options_.for_shared) {
      Fail(CopyFailure::kWeak, object);
    } else if (type.has_transfer_hook && options_.for_shared) {
      Fail(CopyFailure::kTransfer, object);
    } else if (type.has_transfer_hook && !Sink::kTakesTransfers) {
      Fail(CopyFailure::kTooLarge, object);
    }
    return ok();
  }

  // Bytes [first, end) of an object, which other mutators of the region may store into.
  ATOLL_ALWAYS_INLINE static void CopyWords(uintptr_t from, uintptr_t to, size_t first,
                                            size_t end) {
    for (size_t i = first; i < end; i += sizeof(Word)) {
      At(to + i) = LoadWord(from + i);
    }
  }
  ATOLL_COLD bool CopyLong(uintptr_t from, uintptr_t to, size_t size, const Type& type) {
    for (size_t at = kHeaderSize; at < size;) {
      const size_t end = std::min(size, at + options_.poll_bytes);
      if (type.is_leaf()) {
        std::memcpy(reinterpret_cast<void*>(to + at), reinterpret_cast<const void*>(from + at),
                    end - at);
      } else {
        CopyWords(from, to, at, end);
      }
      if (end < size && !Poll()) return false;
      at = end;
    }
    return true;
  }

  // Answers handshakes and stops; nothing of the source moves. False: cancelled, or replaced.
  bool Poll() {
    ATOLL_SCHEDULE_POINT("copy: poll");
    if (ATOLL_UNLIKELY(source_.PollPending()) && !PollKeepingRoots(source_, buffers_)) {
      Fail(CopyFailure::kReplaced);
    }
    budget_ = static_cast<int64_t>(options_.poll_bytes);
    if (options_.is_cancelled()) Fail(CopyFailure::kCancelled);
    return ok();
  }

  // ---- Looking at copies

  void Drain() {
    MarkStack::Top top = stack_.Borrow();
    const auto push = [ this, &top ](MarkEntry entry) __attribute__((always_inline)) {
      if (ATOLL_LIKELY(top.Push(entry))) return true;
      stack_.Return(top);
      const bool pushed = PushSlow(entry);
      top = stack_.Borrow();
      return pushed;
    };
    // Locals: what is stored into copies might else be members, for all that the compiler knows.
    const uintptr_t base = base_;
    const size_t size = size_;
    while (ok()) {
      MarkEntry entry;
      if (ATOLL_UNLIKELY(!top.Pop(&entry))) {
        stack_.Return(top);
        MarkEntry below = 0;
        if (!PopSlow(&below)) return;
        entry = below;
        top = stack_.Borrow();
      }
      if (ATOLL_UNLIKELY(budget_ < 0)) Poll();
      if (ATOLL_LIKELY((entry & kKindMask) == 0)) {
        Visit(entry, base, size, push);
      } else {
        stack_.Return(top);
        Scan(entry);
        top = stack_.Borrow();
      }
    }
    stack_.Return(top);
  }
  ATOLL_COLD bool PushSlow(MarkEntry entry) { return stack_.TryPush(entry); }
  ATOLL_COLD bool PopSlow(MarkEntry* entry) { return stack_.Pop(entry); }

  void Scan(MarkEntry entry) {
    const uintptr_t at = entry & ~kKindMask;
    const Type& type = TypeOfHeader(At(at));
    switch (entry & kKindMask) {
      case kArrayRest:
        return ScanElements(at, type, PopWord());
      case kCustom:
        return ScanCustom(at, type, PopWord());
      default:
        return ScanCopy(at, type);
    }
  }
  Word PopWord() {
    MarkEntry word = 0;
    stack_.Pop(&word);
    return word;
  }

  void ScanCopy(uintptr_t at, const Type& type) {
    const auto visit = [this](Slot slot) { VisitLater(slot.address()); };
    switch (type.layout) {
      case Layout::kLeaf:
      case Layout::kCustom:  // has an entry of its own kind
        return;
      case Layout::kFixed:
        return VisitFixedPart<E>(at, type, visit);
      case Layout::kRefArray:
      case Layout::kStructArray:
        ScanElements(at, type, 0);
        return VisitFixedPart<E>(at, type, visit);
      case Layout::kWeakRef:
        if (!buffers_.weak_references.TryPush(at)) Fail(CopyFailure::kMemory);
        return VisitFixedPart<E>(at, type, visit);
      case Layout::kEphemeron:
        ScanEphemeron(at);
        return VisitFixedPart<E>(at, type, visit);
    }
  }

  // Elements from `first` on: a piece of them, and the rest later.
  void ScanElements(uintptr_t at, const Type& type, size_t first) {
    const size_t length = LengthOf(type, at);
    if (length - first > kPiece &&
        !(stack_.TryPush(first + kPiece) && stack_.TryPush(at | kArrayRest))) {
      Fail(CopyFailure::kMemory);
      return;
    }
    // Elements that refer to nothing new take time as well.
    budget_ -= static_cast<int64_t>(kPiece * sizeof(Word));
    VisitElements<E>(at, type, first, kPiece, [this](Slot slot) { VisitLater(slot.address()); });
  }

  void ScanCustom(uintptr_t at, const Type& type, uintptr_t object) {
    custom_copy_ = at;
    custom_object_ = object;
    custom_size_ = ObjectSize(type, at);
    buffers_.custom_visited.assign(custom_size_ / kSlotSize<E>, false);
    // On the source's object: the copy may not be what the callback expects before it is complete.
    type.details->trace(ObjectPtr(object), *this);
  }
  void VisitSlot(Slot slot) override {
    const uintptr_t offset = slot.address() - custom_object_;
    if (offset < kHeaderSize || offset > custom_size_ - kSlotSize<E> ||
        offset % kSlotSize<E> != 0) {
      Fail(CopyFailure::kForeignSlot, custom_object_);
      return;
    }
    // A callback may visit a slot twice; by the second turn it would refer to a copy.
    std::vector<bool>::reference visited = buffers_.custom_visited[offset / kSlotSize<E>];
    if (visited) return;
    visited = true;
    VisitLater(custom_copy_ + offset);
  }

  // ---- Weak things

  static uintptr_t KeySlot(uintptr_t ephemeron) { return ephemeron + kHeaderSize; }
  static uintptr_t ValueSlot(uintptr_t ephemeron) { return ephemeron + kHeaderSize + kSlotSize<E>; }

  // Whether a source's word keeps what depends on it: it is no reference to a private object, or
  // that has been copied.
  bool IsReached(Word word) const {
    if (!encoding_.RefersInto(word, base_, size_)) return true;
    const uintptr_t object = encoding_.Decode(word);
    return (source_.TagOf(object) & tag::kShared) != 0 || copied_.Contains(object) ||
           buffers_.flips.count(object) != 0;
  }
  void FollowEphemeron(uintptr_t at) {
    Visit(KeySlot(at));
    Visit(ValueSlot(at));
  }
  void ScanEphemeron(uintptr_t at) {
    const Word key = LoadSlot(KeySlot(at));
    if (IsReached(key)) {
      FollowEphemeron(at);
    } else if (watching_keys_) {
      buffers_.ephemerons_by_key.emplace(encoding_.Decode(key), at);
    } else if (!buffers_.ephemerons.TryPush(at)) {
      Fail(CopyFailure::kMemory);
    }
  }

  // Values of keys that were reached, and what they reach: two rounds over all, which is enough for
  // most graphs; then each new object is looked up among the keys, so that it stays linear.
  void FollowEphemerons() {
    for (int round = 0; round < kRoundsBeforeIndex && ok(); ++round) {
      SegmentedVector<uintptr_t> waiting = std::move(buffers_.ephemerons);
      const size_t before = waiting.size();
      waiting.Filter([this](uintptr_t at) {
        if (!IsReached(LoadSlot(KeySlot(at)))) return true;
        FollowEphemeron(at);
        return false;
      });
      Drain();
      const bool progress = waiting.size() != before;
      buffers_.ephemerons.Splice(waiting);
      if (!progress || buffers_.ephemerons.empty()) return;
    }
    watching_keys_ = true;
    SegmentedVector<uintptr_t> waiting = std::move(buffers_.ephemerons);
    waiting.ForEach([this](uintptr_t at) { ScanEphemeron(at); });
    Drain();
    while (ok() && !buffers_.ready_ephemerons.empty()) {
      const uintptr_t at = buffers_.ready_ephemerons.back();
      buffers_.ready_ephemerons.pop_back();
      FollowEphemeron(at);
      Drain();
    }
    watching_keys_ = false;
    for (const auto& [key, at] : buffers_.ephemerons_by_key) {
      if (!buffers_.ephemerons.TryPush(at)) Fail(CopyFailure::kMemory);
    }
  }
  ATOLL_COLD void WakeEphemerons(uintptr_t key) {
    const auto [begin, end] = buffers_.ephemerons_by_key.equal_range(key);
    for (auto at = begin; at != end; ++at) buffers_.ready_ephemerons.push_back(at->second);
    buffers_.ephemerons_by_key.erase(begin, end);
  }
  void ClearEphemerons() {
    buffers_.ephemerons.ForEach([](uintptr_t at) {
      ClearSlot(KeySlot(at));
      ClearSlot(ValueSlot(at));
    });
  }

  void SettleWeakReferences() {
    buffers_.weak_references.ForEach([this](uintptr_t at) {
      const uintptr_t slot = at + kHeaderSize;
      if (IsReached(LoadSlot(slot))) {
        Visit(slot);
      } else {
        ClearSlot(slot);
      }
    });
  }

  CopyBuffers& buffers_;
  CopiedObjects& copied_;
  MarkStack& stack_;
  Mutator& source_;
  Sink& sink_;
  const CopyOptions& options_;
  const E encoding_;
  const uintptr_t base_;
  const size_t size_;
  const Type* const types_;
  int64_t budget_ = static_cast<int64_t>(options_.poll_bytes);  // until the next poll
  bool watching_keys_ = false;
  CopyFailure failure_ = CopyFailure::kNone;
  uintptr_t failed_object_ = 0;
  uintptr_t custom_copy_ = 0;
  uintptr_t custom_object_ = 0;
  size_t custom_size_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_GRAPH_COPY_INL_H_
