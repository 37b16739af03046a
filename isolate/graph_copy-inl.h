// The copying of one graph, for one encoding and one sink.
//
// Depth first: an object is copied when the first reference to it is seen, and waits on a stack to
// have its own slots looked at; these are read in the copy, which holds the source's words until
// then. So each object is read once, siblings come to lie side by side, and a list of any length
// needs one entry of the stack. Arrays are looked at in pieces, so that a wide one needs few.
//
// Entries of the stack, by their low bits:
//   0  a copy whose slots are still the source's
//   1  the rest of such an array; below it: the first element that is left
//   2  a copy of a custom type; below it: the source's object, on which `trace` is called
//   3  a slot of a copy
#ifndef ATOLL_ISOLATE_GRAPH_COPY_INL_H_
#define ATOLL_ISOLATE_GRAPH_COPY_INL_H_

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "gc/mark_stack.h"
#include "gc/strong_slots.h"
#include "heap/heap_state.h"
#include "heap/segmented_vector.h"
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

  CopiedObjects copied;
  MarkStack stack;
  SegmentedVector<uintptr_t> weak_references;  // copies
  SegmentedVector<uintptr_t> ephemerons;       // copies whose keys have not been copied
  // By key (of the source), once there have been two rounds over `ephemerons`.
  std::unordered_multimap<uintptr_t, uintptr_t> ephemerons_by_key;
  std::vector<uintptr_t> ready_ephemerons;
};

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
    const auto push = [this](MarkEntry entry) { return stack_.TryPush(entry); };
    if (Reach(encoding_.Decode(word), &address, push) != CopiedObjects::Answer::kCopied)
      return word;
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
  static constexpr size_t kPiece = 128;          // elements of an array looked at in one go
  static constexpr int64_t kBudget = 64 * 1024;  // between two polls
  static constexpr int64_t kCostOfObject = 32;   // in bytes copied
  static constexpr size_t kLongLeaf = 128;
  static constexpr int kRoundsBeforeIndex = 2;
  static constexpr MarkEntry kKindMask = 7;
  static constexpr MarkEntry kArrayRest = 1;
  static constexpr MarkEntry kCustom = 2;
  static constexpr MarkEntry kSlot = 3;

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

  // ---- Reaching objects

  // Finds or makes the copy of a source object: kCopied and what references to it say, or kShared,
  // or kRefused. Push: bool(MarkEntry).
  template <typename Push>
  ATOLL_ALWAYS_INLINE CopiedObjects::Answer Reach(uintptr_t object, uintptr_t* address, Push push) {
    using Answer = CopiedObjects::Answer;
    CopiedObjects::Place place;
    const Answer answer = copied_.Find(object, &place);
    if (ATOLL_LIKELY(answer == Answer::kNew)) {
      return CopyObject(object, place, address, push) ? Answer::kCopied : Answer::kRefused;
    }
    if (answer == Answer::kCopied) {
      *address = sink_.AddressOf(place.destination);
    } else if (ATOLL_UNLIKELY(answer == Answer::kRefused)) {
      Fail(CopyFailure::kMemory);
    }
    return answer;
  }

  // The slot of a copy still holds the source's word.
  template <typename Push>
  ATOLL_ALWAYS_INLINE void Visit(uintptr_t slot, uintptr_t base, size_t size, Push push) {
    const Word word = At(slot);
    if (!encoding_.RefersInto(word, base, size)) return;
    uintptr_t address = 0;
    const CopiedObjects::Answer answer = Reach(encoding_.Decode(word), &address, push);
    if (ATOLL_LIKELY(answer == CopiedObjects::Answer::kCopied)) {
      At(slot) = encoding_.Encode(word, address);
      sink_.NoteInside(slot);
    } else if (answer == CopiedObjects::Answer::kShared) {
      sink_.NoteShared(slot);
    }
  }
  void Visit(uintptr_t slot) {
    Visit(slot, base_, size_, [this](MarkEntry entry) { return stack_.TryPush(entry); });
  }

  template <typename Push>
  ATOLL_ALWAYS_INLINE bool CopyObject(uintptr_t object, const CopiedObjects::Place& place,
                                      uintptr_t* address, Push push) {
    // Relaxed: the type was published with the object; flags and hash may change beside it.
    const Word header_word = HeaderOf(object).load(std::memory_order_relaxed);
    const Type& type = TypeOfHeader(header_word);
    if (ATOLL_UNLIKELY(type.flags.unsendable || type.flags.non_moving) && !MayCopy(object, type)) {
      return false;
    }
    const size_t length = type.has_elements() ? LengthOf(type, object) : 0;
    const size_t size = type.has_elements() ? SizeForLength(type, length) : type.fixed_size;
    const uintptr_t at = sink_.Allocate(size);
    if (ATOLL_UNLIKELY(at == 0)) {
      Fail(sink_.failure(), object);
      return false;
    }
    if (ATOLL_UNLIKELY(!copied_.Insert(object, place, sink_.DestinationOf(at)))) {
      Fail(CopyFailure::kMemory, object);
      return false;
    }
    const uint8_t flags = size >= Sink::kLargeFrom ? header::kLarge : 0;
    At(at) = (header_word & ~Word{0xFF}) | flags;
    if (ATOLL_LIKELY(size <= kLongLeaf)) {
      CopyWords(object, at, kHeaderSize, size);
    } else if (!CopyLong(object, at, size, type)) {
      return false;
    }
    // Another mutator of the region may have shrunk it meanwhile: the copy has the size it has.
    if (type.has_elements()) Mutator::StoreLength(type, at, length);
    budget_ -= static_cast<int64_t>(size) + kCostOfObject;
    *address = sink_.AddressAt(at);
    if (ATOLL_UNLIKELY(type.has_moved_hook)) {
      type.details->moved(ObjectPtr(at), object);
      sink_.NoteMoved();
    }
    if (ATOLL_UNLIKELY(watching_keys_)) WakeEphemerons(object);
    if (type.is_leaf()) return true;
    if (ATOLL_UNLIKELY(options_.for_shared &&
                       (type.layout == Layout::kWeakRef || type.layout == Layout::kEphemeron))) {
      Fail(CopyFailure::kWeak, object);
      return false;
    }
    if (ATOLL_UNLIKELY(type.layout == Layout::kCustom)) {
      if (push(object) && push(at | kCustom)) return true;
    } else if (ATOLL_LIKELY(push(at))) {
      return true;
    }
    Fail(CopyFailure::kMemory, object);
    return false;
  }

  bool MayCopy(uintptr_t object, const Type& type) {
    if (type.flags.non_moving) {
      Fail(CopyFailure::kNonMoving, object);
    } else if (!options_.may_copy_unsendable) {
      Fail(CopyFailure::kUnsendable, object);
    }
    return ok();
  }

  // Bytes [first, end) of an object: as slots, which other mutators of the region may store into.
  // Acquire: what they publish by a release store is copied next.
  ATOLL_ALWAYS_INLINE static void CopyWords(uintptr_t from, uintptr_t to, size_t first,
                                            size_t end) {
    for (size_t i = first; i < end; i += sizeof(Word)) {
      At(to + i) = Slot(from + i).LoadAcquire().word;
    }
  }
  ATOLL_COLD bool CopyLong(uintptr_t from, uintptr_t to, size_t size, const Type& type) {
    for (size_t at = kHeaderSize; at < size;) {
      const size_t end = std::min(size, at + static_cast<size_t>(kBudget));
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

  // Answers handshakes and stops; nothing of the source moves. False: cancelled.
  bool Poll() {
    source_.Poll();
    budget_ = kBudget;
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
    const Type* const types = types_;
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
        const Type& type = types[(At(entry) >> header::kTypeShift) & header::kMaxTypeId];
        if (ATOLL_LIKELY(type.layout == Layout::kFixed && !type.has_long_bitmap)) {
          VisitBitmap(
              entry + kHeaderSize, type.bitmap, [&](Slot slot) __attribute__((always_inline)) {
                Visit(slot.address(), base, size, push);
              });
          continue;
        }
      }
      stack_.Return(top);
      ScanEntry(entry);
      top = stack_.Borrow();
    }
    stack_.Return(top);
  }
  ATOLL_COLD bool PushSlow(MarkEntry entry) { return stack_.TryPush(entry); }
  ATOLL_COLD bool PopSlow(MarkEntry* entry) { return stack_.Pop(entry); }

  void ScanEntry(MarkEntry entry) {
    const uintptr_t at = entry & ~kKindMask;
    switch (entry & kKindMask) {
      case kArrayRest:
        ScanElements(at, TypeOfHeader(At(at)), PopWord());
        return;
      case kCustom:
        ScanCustom(at, PopWord());
        return;
      case kSlot:
        Visit(at);
        return;
      default:
        ScanCopy(at, TypeOfHeader(At(at)));
    }
  }
  Word PopWord() {
    MarkEntry word = 0;
    stack_.Pop(&word);
    return word;
  }

  void ScanCopy(uintptr_t at, const Type& type) {
    const auto visit = [this](Slot slot) { Visit(slot.address()); };
    switch (type.layout) {
      case Layout::kLeaf:
      case Layout::kCustom:  // has an entry of its own kind
        return;
      case Layout::kFixed:
        return VisitFixedPart(at, type, visit);
      case Layout::kRefArray:
      case Layout::kStructArray:
        ScanElements(at, type, 0);
        return VisitFixedPart(at, type, visit);
      case Layout::kWeakRef:
        if (!buffers_.weak_references.TryPush(at)) Fail(CopyFailure::kMemory);
        return VisitFixedPart(at, type, visit);
      case Layout::kEphemeron:
        ScanEphemeron(at);
        return VisitFixedPart(at, type, visit);
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
    VisitElements(at, type, first, kPiece, [this](Slot slot) { Visit(slot.address()); });
  }

  void ScanCustom(uintptr_t at, uintptr_t object) {
    custom_copy_ = at;
    custom_object_ = object;
    const Type& type = TypeOfHeader(At(at));
    custom_size_ = ObjectSize(type, at);
    // On the source's object: the copy may not be what the callback expects before it is complete.
    type.details->trace(ObjectPtr(object), *this);
  }
  void VisitSlot(Slot slot) override {
    const uintptr_t offset = slot.address() - custom_object_;
    if (offset < kHeaderSize || offset > custom_size_ - sizeof(Word) ||
        offset % sizeof(Word) != 0) {
      Fail(CopyFailure::kForeignSlot, custom_object_);
    } else if (!stack_.TryPush((custom_copy_ + offset) | kSlot)) {
      Fail(CopyFailure::kMemory, custom_object_);
    }
  }

  // ---- Weak things

  static uintptr_t KeySlot(uintptr_t ephemeron) { return ephemeron + kHeaderSize; }
  static uintptr_t ValueSlot(uintptr_t ephemeron) { return ephemeron + kHeaderSize + sizeof(Word); }

  // Whether a source's word keeps what depends on it: it is no reference to a private object, or
  // that has been copied.
  bool IsReached(Word word) const {
    if (!encoding_.RefersInto(word, base_, size_)) return true;
    const uintptr_t object = encoding_.Decode(word);
    return (source_.TagOf(object) & tag::kShared) != 0 || copied_.Contains(object);
  }
  void FollowEphemeron(uintptr_t at) {
    Visit(KeySlot(at));
    Visit(ValueSlot(at));
  }
  void ScanEphemeron(uintptr_t at) {
    const Word key = At(KeySlot(at));
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
        if (!IsReached(At(KeySlot(at)))) return true;
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
    buffers_.ephemerons.ForEach([](uintptr_t at) { At(KeySlot(at)) = At(ValueSlot(at)) = 0; });
  }

  void SettleWeakReferences() {
    buffers_.weak_references.ForEach([this](uintptr_t at) {
      const uintptr_t slot = at + kHeaderSize;
      if (IsReached(At(slot))) {
        Visit(slot);
      } else {
        At(slot) = 0;
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
  int64_t budget_ = kBudget;
  bool watching_keys_ = false;
  CopyFailure failure_ = CopyFailure::kNone;
  uintptr_t failed_object_ = 0;
  uintptr_t custom_copy_ = 0;
  uintptr_t custom_object_ = 0;
  size_t custom_size_ = 0;
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_GRAPH_COPY_INL_H_
