// Tracing one region: the loops that copy, promote and mark.
//
// What happens to an object that is reached is said by its block's tag alone:
//
//   shared   move   trace     minor collection               major collection
//   ------   ----   -----     ----------------------------   ----------------------------
//     0        0      0       left alone (old, or survivor)  marked
//     0        0      1       marked: promoted in place      -
//     0        1      0       copied within the young        -
//     0        1      1       promoted by copying            evacuated
//     1        -      -       left alone                     left alone
//
// Moving never fails: where no block can be had the object stays (flag kKept, mark bit set, its
// block flagged kHasKept and kept as Old). Two threads that reach one object decide by one CAS on
// its header: either to a forwarding address or to the kept flag. A mark stack that cannot grow
// leaves the object marked and sets `overflowed`; then all marked objects are scanned again.
#ifndef ATOLL_GC_TRACER_H_
#define ATOLL_GC_TRACER_H_

#include <cstring>

#include "gc/area_prefetch.h"
#include "gc/strong_slots.h"
#include "gc/survivor_allocator.h"
#include "gc/trace_state.h"
#include "heap/large_objects.h"
#include "heap/mutator_record.h"
#include "heap/object_model.h"

namespace Atoll {

struct TraceCounters {
  size_t old_bytes = 0;       ///< promoted (minor) or live (major), objects of Old and Large
  size_t survivor_bytes = 0;  ///< copied within the young generation
  size_t objects = 0;
  void Add(const TraceCounters& other) {
    old_bytes += other.old_bytes;
    survivor_bytes += other.survivor_bytes;
    objects += other.objects;
  }
};

/// One thread's part in tracing one region.
/// E: the encoding. kMajor: which column of the table above. kParallel: other threads may trace the
/// same region at the same time, so marks and headers are changed by read-modify-writes.
template <typename E, bool kMajor, bool kParallel>
class Tracer final : public RootVisitor, public SlotVisitor {
 public:
  using Encoding = E;

  explicit Tracer(TraceState& state)
      : remembered(state.heap.allocator),
        weak_references(state.heap.allocator),
        ephemerons(state.heap.allocator),
        state_(state),
        encoding_(state.heap.options.encoding),
        base_(state.heap.space->base()),
        size_(state.heap.space->size()),
        tags_(state.heap.space->biased_tags()),
        marks_(state.heap.space->all_marks()),
        types_(state.heap.types.types()),
        young_tag_(state.region.own->young_tag()),
        stack_(state.heap.allocator) {
    if (state.prefetch) originals_.Enable();
  }

  // ---- Visiting slots

  /// RootVisitor and SlotVisitor: a root, or a slot of a custom object.
  void VisitSlot(Slot slot) override { young_seen_ |= Visit(slot); }

  /// True if the slot then refers to a young object.
  ATOLL_ALWAYS_INLINE bool Visit(Slot slot) {
    const Word word = slot.Load().word;
    if (!encoding_.RefersInto(word, base_, size_)) return false;
    const uintptr_t object = encoding_.Decode(word);
    const uint32_t object_tag = TagOf(object);
    if constexpr (kMajor) {
      if ((object_tag & tag::kShared) != 0) return false;
      if (ATOLL_LIKELY((object_tag & tag::kMove) == 0)) {
        Mark(object);
        return false;
      }
    } else {
      if ((object_tag & (tag::kMove | tag::kTrace)) == 0) return object_tag == young_tag_;
      if ((object_tag & tag::kMove) == 0) {
        Mark(object);
        return false;
      }
    }
    const uintptr_t moved = MoveAndPush(object, object_tag);
    if (moved != object) slot.StoreRaw(Ref{encoding_.Encode(word, moved)});
    return !kMajor && TagOf(moved) == young_tag_;
  }

  /// Is the object that `word` refers to reached (or not collected here at all)? Then `*now` is the
  /// word after moves. Legal when the tracing so far has been drained.
  bool IsAlive(Word word, Word* now) const {
    *now = word;
    if (!encoding_.IsRef(word)) return true;
    const uintptr_t object = encoding_.Decode(word);
    if (object - base_ >= size_) return true;
    const uint32_t object_tag = TagOf(object);
    if ((object_tag & tag::kShared) != 0) return true;
    if (!kMajor && (object_tag & (tag::kMove | tag::kTrace)) == 0) return true;
    if ((object_tag & tag::kMove) != 0) {
      // Acquire: another thread may have forwarded it, and what it copied is read next.
      const Word header_word = HeaderOf(object).load(std::memory_order_acquire);
      if ((header_word & header::kForwarded) != 0) {
        *now = encoding_.Encode(word, header_word & ~Word{header::kForwarded});
        return true;
      }
    }
    return state_.heap.space->IsMarked(object);
  }
  bool IsYoung(Word word) const {
    if (!encoding_.IsRef(word)) return false;
    const uintptr_t object = encoding_.Decode(word);
    return object - base_ < size_ && TagOf(object) == young_tag_;
  }

  // ---- Scanning

  /// Scans what has been reached until nothing is left; with kParallel, helps the other threads.
  void Drain() {
    for (;;) {
      DrainOwn();
      if constexpr (!kParallel) {
        return;
      } else {
        if (!state_.sharing.GetWork(stack_)) return;
      }
    }
  }
  /// The same without looking at other threads' work: for phases of one thread.
  ///
  /// What is to be moved waits as a slot, last in first out, and its slots are pushed as soon as it
  /// has been moved: so objects lie behind the one that refers to them, depth first, which is the
  /// order that programs walk them in. Marking misses the cache at each object, and its order
  /// matters to nobody: a short queue behind the stack gives the prefetch time to arrive (Cher,
  /// Hosking and Vitek, ASPLOS 2004).
  void DrainOwn() {
    MarkEntry queue[kPrefetch];
    size_t in = 0;
    size_t out = 0;
    uint32_t steps = 0;
    MarkStack::Top top = stack_.Borrow();
    for (;;) {
      while (in - out < kPrefetch) {
        MarkEntry entry;
        if (ATOLL_UNLIKELY(!top.Pop(&entry))) {
          bool any = false;
          MarkEntry popped;
          top = PopSlow(top, &popped, &any);
          if (!any) break;
          entry = popped;
        }
        if constexpr (kParallel) {
          if (++steps % 64 == 0 && ATOLL_UNLIKELY(state_.sharing.IsWanted())) {
            stack_.Return(top);
            state_.sharing.Give(stack_);
            top = stack_.Borrow();
          }
        }
        if ((entry & kSlotEntry) != 0) {
          Reached reached;
          if (VisitNow(ObjectSlot<E>(static_cast<uintptr_t>(entry & ~kSlotEntry)), &reached)) {
            ScanReached(reached, top);
          }
        } else if (state_.prefetch) {
          const uintptr_t object = entry & kAddressMask;
          __builtin_prefetch(reinterpret_cast<const void*>(object));
          __builtin_prefetch(&marks_[(object - base_) / kGranule / 64], /*for writing*/ 1);
          queue[in++ % kPrefetch] = entry;
        } else {
          MarkAndScan(entry, top);
        }
      }
      if (in == out) break;
      MarkAndScan(queue[out++ % kPrefetch], top);
    }
    stack_.Return(top);
  }

  /// Scans all slots of an object that is old for this region, and remembers it if it refers to
  /// young ones: remembered objects, and everything after an overflow.
  void ScanOld(uintptr_t object) {
    const Type& type = TypeOf(object);
    ScanFrom(object, type, 0, SIZE_MAX);
  }
  /// Covers the lines of an object of Old, or of one that is kept in place.
  void Cover(uintptr_t object) { CoverIfCrossing(object, ObjectSize(TypeOf(object), object)); }
  /// Scans all slots of any reached object, once more.
  void ScanAgain(uintptr_t object) {
    if (!kMajor && TagOf(object) == young_tag_) {
      ScanYoung(object, TypeOf(object));
    } else {
      ScanOld(object);
    }
  }
  /// Scans one slot of an old object, and remembers it.
  void ScanOldSlot(uintptr_t object, Slot slot) {
    if (VisitLater(slot)) RememberSlot(object, slot);
  }
  /// After weak processing changed `slot` of `holder`.
  void RememberIfYoung(uintptr_t holder, Slot slot) {
    if (!kMajor && TagOf(holder) != young_tag_ && IsYoung(slot.Load().word)) {
      RememberSlot(holder, slot);
    }
  }

  TraceState& state() { return state_; }
  E encoding() const { return encoding_; }

  TraceCounters counters;
  OldAllocator old;
  SurvivorAllocator survivors;
  RememberedSet remembered;                    ///< for the next minor collection
  SegmentedVector<uintptr_t> weak_references;  ///< reached ones, at their new addresses
  SegmentedVector<uintptr_t> ephemerons;       ///< reached ones whose key was not when they were

 private:
  static constexpr uint64_t kAddressMask = (uint64_t{1} << 48) - kGranule;
  static constexpr int kPieceShift = 48;
  static constexpr size_t kMinPiece = 512;       // elements of a large array scanned at once
  static constexpr size_t kMaxPieces = 1 << 16;  // fit above the address
  static constexpr size_t kPrefetch = 32;
  // In an entry's low bits: the address is a slot's; the object is to be marked first.
  static constexpr MarkEntry kSlotEntry = 1;
  static constexpr MarkEntry kUnmarked = 2;

  // An object whose slots are to be scanned, with what was learnt when it was marked or moved: to
  // load that from a copy again would wait for the stores.
  struct Reached {
    uintptr_t object = 0;
    const Type* type = nullptr;  // null: its slots have been scanned, or somebody else will
    bool in_old = false;
  };

  bool IsOld(uintptr_t object) const { return kMajor || TagOf(object) != young_tag_; }
  ATOLL_ALWAYS_INLINE uint32_t TagOf(uintptr_t address) const {
    // Relaxed: the region is stopped; its tags were set before its collecting threads started.
    return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(tags_[address >> kBlockShift]))
        .load(std::memory_order_relaxed);
  }
  const Type& TypeOf(uintptr_t object) const {
    return TypeOfHeader(HeaderOf(object).load(std::memory_order_relaxed));  // at its final place
  }
  const Type& TypeOfHeader(Word header_word) const {
    return types_[(header_word >> header::kTypeShift) & header::kMaxTypeId];
  }

  void Push(MarkEntry entry) {
    // Relaxed: see TraceState.
    if (!stack_.TryPush(entry)) state_.overflowed.store(true, std::memory_order_relaxed);
  }

  ATOLL_ALWAYS_INLINE void Mark(uintptr_t object) {
    if (TryMark(object)) Push(object);
  }
  // False if it was marked before.
  ATOLL_ALWAYS_INLINE bool TryMark(uintptr_t object) {
    const uintptr_t granule = (object - base_) / kGranule;
    uint64_t& word = marks_[granule / 64];
    const uint64_t bit = uint64_t{1} << (granule % 64);
    if constexpr (kParallel) {
      std::atomic_ref<uint64_t> atomic(word);
      // Relaxed, both: the mark bit only elects who scans the object, whose contents were written
      // before the collecting threads started.
      if ((atomic.load(std::memory_order_relaxed) & bit) != 0) return false;
      if ((atomic.fetch_or(bit, std::memory_order_relaxed) & bit) != 0) return false;
    } else {
      if ((word & bit) != 0) return false;
      word |= bit;
    }
    if (ATOLL_UNLIKELY(state_.watching_keys)) NoteLive(object);
    return true;
  }

  // What a slot of a scanned object refers to waits for its turn on the stack. True if the slot
  // will then refer to a young object; where memory is refused it may refer to an old one. `push`
  // refuses where the stack cannot grow; `visit` is what is done then, at once.
  template <typename Push, typename AtOnce>
  ATOLL_ALWAYS_INLINE bool VisitLater(Slot slot, Push push, AtOnce visit) {
    const Word word = slot.LoadAs<E>().word;
    // Compressed ones are nothing else but references.
    if (E::kCompressed ? word == 0 : !encoding_.RefersInto(word, base_, size_)) return false;
    const uintptr_t object = encoding_.Decode(word);
    const uint32_t object_tag = TagOf(object);
    if (kMajor ? (object_tag & tag::kShared) != 0
               : (object_tag & (tag::kMove | tag::kTrace)) == 0) {
      return !kMajor && object_tag == young_tag_;
    }
    const bool moves = (object_tag & tag::kMove) != 0;
    if (moves) __builtin_prefetch(reinterpret_cast<const void*>(object));
    if (ATOLL_UNLIKELY(!push(moves ? slot.address() | kSlotEntry : object | kUnmarked))) {
      return visit(slot);
    }
    return !kMajor && moves && (object_tag & tag::kTrace) == 0;
  }
  ATOLL_ALWAYS_INLINE bool VisitLater(Slot slot) {
    return VisitLater(
        slot, [this](MarkEntry entry) { return stack_.TryPush(entry); },
        [this](Slot at) { return Visit(at); });
  }
  // Its turn has come: moves what it refers to. Looks again, since it may have come twice. True if
  // the slots of what it then refers to are still to be scanned. Does not touch the stack.
  ATOLL_ALWAYS_INLINE bool VisitNow(Slot slot, Reached* reached) {
    const Word word = slot.LoadAs<E>().word;
    const uintptr_t object = encoding_.Decode(word);
    const uint32_t object_tag = TagOf(object);
    if ((object_tag & tag::kMove) == 0) return false;
    const uintptr_t moved = Move(object, object_tag, reached);
    if (moved != object) slot.StoreRawAs<E>(Ref{encoding_.Encode(word, moved)});
    return reached->type != nullptr;
  }
  uintptr_t MoveAndPush(uintptr_t object, uint32_t object_tag) {
    Reached reached;
    const uintptr_t moved = Move(object, object_tag, &reached);
    if (reached.type != nullptr) Push(moved);
    return moved;
  }

  // Sets `reached` if this call moved or kept it, and its slots are still to be scanned.
  ATOLL_ALWAYS_INLINE uintptr_t Move(uintptr_t object, uint32_t object_tag, Reached* reached) {
    if constexpr (!kMajor) originals_.Before(object);
    // Acquire: a forwarding address of another thread's comes with the copy it made.
    Word header_word =
        HeaderOf(object).load(kParallel ? std::memory_order_acquire : std::memory_order_relaxed);
    if ((header_word & header::kForwarded) != 0) return header_word & ~Word{header::kForwarded};
    if ((header_word & header::kKept) != 0) return object;
    const Type& type = TypeOfHeader(header_word);
    const size_t size = ObjectSize(type, object);
    uintptr_t to = 0;
    bool to_young = false;
    if (!kMajor && (object_tag & tag::kTrace) == 0) {
      to = survivors.Allocate(state_.region, size);
      to_young = to != 0;
    }
    if (to == 0) to = old.Allocate(state_.region, size, state_.promotion_source);
    if (to == 0) return Keep(object, header_word, reached);
    CopyWords(to, object, header_word, size);
    if (!to_young) SetMark(to);  // before others can see it and mark it themselves
    if constexpr (kParallel) {
      // Release: the copy comes with its address. Acquire on failure: so does the other's.
      if (!HeaderOf(object).compare_exchange_strong(header_word, to | header::kForwarded,
                                                    std::memory_order_release,
                                                    std::memory_order_acquire)) {
        if (!to_young) ClearMark(to);
        to_young ? survivors.Undo(to, size) : old.Undo(to, size);
        return (header_word & header::kForwarded) != 0 ? header_word & ~Word{header::kForwarded}
                                                       : object;
      }
    } else {
      // Relaxed: no other thread.
      HeaderOf(object).store(to | header::kForwarded, std::memory_order_relaxed);
    }
    if (to_young) counters.survivor_bytes += size;
    *reached = {to, &type, !to_young};
    if (ATOLL_UNLIKELY(type.has_moved_hook)) type.details->moved(ObjectPtr(to), object);
    if (ATOLL_UNLIKELY(state_.watching_keys)) NoteLive(object);
    return to;
  }

  // Only a parallel major can find another thread at the same mark word: in a minor the blocks that
  // are promoted into are the tracer's own.
  void SetMark(uintptr_t object) {
    const uintptr_t granule = (object - base_) / kGranule;
    const uint64_t bit = uint64_t{1} << (granule % 64);
    if constexpr (kParallel && kMajor) {
      // Relaxed: see Mark.
      std::atomic_ref<uint64_t>(marks_[granule / 64]).fetch_or(bit, std::memory_order_relaxed);
    } else {
      marks_[granule / 64] |= bit;
    }
  }
  void ClearMark(uintptr_t object) {
    const uintptr_t granule = (object - base_) / kGranule;
    const uint64_t bit = uint64_t{1} << (granule % 64);
    // Relaxed: see Mark.
    std::atomic_ref<uint64_t>(marks_[granule / 64]).fetch_and(~bit, std::memory_order_relaxed);
  }
  ATOLL_ALWAYS_INLINE void CoverIfCrossing(uintptr_t object, size_t size) {
    if (ATOLL_UNLIKELY(NeedsCover(object, size)) && size <= kLargeObjectThreshold) {
      CoverLines(*state_.heap.space, object, size);
    }
  }

  // No memory: the object stays where it is.
  ATOLL_COLD uintptr_t Keep(uintptr_t object, Word header_word, Reached* reached) {
    while ((header_word & header::kForwarded) == 0) {
      if ((header_word & header::kKept) != 0) return object;
      // As in Move.
      if (HeaderOf(object).compare_exchange_strong(header_word, header_word | header::kKept,
                                                   std::memory_order_release,
                                                   std::memory_order_acquire)) {
        std::atomic_ref<uint8_t> flags(
            state_.heap.space->info(state_.heap.space->BlockOf(object)).flags);
        // Relaxed: read when the threads have joined.
        flags.fetch_or(block_flags::kHasKept, std::memory_order_relaxed);
        if (TryMark(object)) *reached = {object, &TypeOfHeader(header_word), IsOld(object)};
        return object;
      }
    }
    return header_word & ~Word{header::kForwarded};
  }

  static void CopyWords(uintptr_t to, uintptr_t from, Word header_word, size_t size) {
    auto* target = reinterpret_cast<Word*>(to);
    const auto* source = reinterpret_cast<const Word*>(from);
    target[0] = header_word;
    if (size <= 8 * sizeof(Word)) {
      for (size_t i = 1; i < size / sizeof(Word); ++i) target[i] = source[i];
    } else {
      std::memcpy(target + 1, source + 1, size - sizeof(Word));
    }
  }

  void NoteLive(uintptr_t key) {
    const auto [first, last] = state_.ephemerons_by_key.equal_range(key);
    for (auto it = first; it != last; ++it) state_.ready_ephemerons.push_back(it->second);
    state_.ephemerons_by_key.erase(first, last);
  }

  // The segment at hand is full, or empty. (By value: a Top whose address is taken is not in
  // registers.)
  MarkStack::Top PushSlow(MarkStack::Top top, MarkEntry entry, bool* done) {
    stack_.Return(top);
    *done = stack_.TryPush(entry);
    return stack_.Borrow();
  }
  MarkStack::Top PopSlow(MarkStack::Top top, MarkEntry* entry, bool* done) {
    stack_.Return(top);
    *done = stack_.Pop(entry);
    return stack_.Borrow();
  }
  MarkStack::Top VisitSlow(MarkStack::Top top, Slot slot, bool* young) {
    stack_.Return(top);
    *young = Visit(slot);
    return stack_.Borrow();
  }

  ATOLL_ALWAYS_INLINE void MarkAndScan(MarkEntry entry, MarkStack::Top& top) {
    const uintptr_t object = entry & kAddressMask;
    if ((entry & kUnmarked) != 0 && !TryMark(object)) return;
    if ((entry >> kPieceShift) == 0) {
      ScanReached({object, &TypeOf(object), IsOld(object)}, top);
    } else {
      stack_.Return(top);
      ScanPiece(object, TypeOf(object), entry >> kPieceShift);
      top = stack_.Borrow();
    }
  }

  // The slots of an object that has just been marked or moved.
  ATOLL_ALWAYS_INLINE void ScanReached(const Reached& reached, MarkStack::Top& top) {
    const uintptr_t object = reached.object;
    const Type& type = *reached.type;
    const bool in_old = kMajor || reached.in_old;
    ++counters.objects;
    if (ATOLL_LIKELY(type.layout <= Layout::kFixed && !type.has_long_bitmap &&
                     type.fixed_size <= kLargeObjectThreshold && !type.has_elements())) {
      if (in_old) {
        counters.old_bytes += type.fixed_size;
        CoverIfCrossing(object, type.fixed_size);
      }
      bool young = false;
      VisitBitmap<E>(
          object + kHeaderSize, type.bitmap, [&](Slot slot) __attribute__((always_inline)) {
            young |= VisitLater(
                slot,
                [&](MarkEntry entry) __attribute__((always_inline)) {
                  if (ATOLL_LIKELY(top.Push(entry))) return true;
                  bool done = false;
                  top = PushSlow(top, entry, &done);
                  return done;
                },
                [&](Slot at) __attribute__((always_inline)) {
                  bool is_young = false;
                  top = VisitSlow(top, at, &is_young);
                  return is_young;
                });
          });
      if (!kMajor && young && in_old) remembered.AddObject(object);
      return;
    }
    stack_.Return(top);
    if (in_old) {
      const size_t size = ObjectSize(type, object);
      counters.old_bytes += size;
      CoverIfCrossing(object, size);
      if (!type.is_leaf()) ScanPiece(object, type, 0);
    } else {
      ScanYoung(object, type);
    }
    top = stack_.Borrow();
  }
  // A survivor is at most kLargeObjectThreshold long: one piece. It needs no remembering.
  void ScanYoung(uintptr_t object, const Type& type) {
    ForEachSlot(
        object, type, 0,
        SIZE_MAX, [this](Slot slot) __attribute__((always_inline)) { VisitLater(slot); });
  }

  // One piece of an object; pushes the next piece if there is one.
  void ScanPiece(uintptr_t object, const Type& type, size_t piece) {
    if (type.layout != Layout::kRefArray && type.layout != Layout::kStructArray) {
      ScanFrom(object, type, 0, SIZE_MAX);
      return;
    }
    const size_t length = LengthOf(type, object);
    const size_t per_piece = std::max(kMinPiece, length / (kMaxPieces - 1) + 1);
    const size_t first = piece * per_piece;
    if (first + per_piece < length) {
      Push(object | static_cast<uint64_t>(piece + 1) << kPieceShift);
    }
    ScanFrom(object, type, first, per_piece);
  }

  // Elements [first, first + count), and with first == 0 the fixed part; remembers what it must.
  void ScanFrom(uintptr_t object, const Type& type, size_t first, size_t count) {
    if constexpr (kMajor) {
      ForEachSlot(
          object, type, first,
          count, [this](Slot slot) __attribute__((always_inline)) { VisitLater(slot); });
    } else if ((LoadFlags(object) & header::kLarge) != 0) {
      ForEachSlot(
          object, type, first, count, [ this, object ](Slot slot) __attribute__((always_inline)) {
            if (VisitLater(slot)) RememberSlot(object, slot);
          });
    } else {
      bool young = false;
      ForEachSlot(
          object, type, first, count, [ this, &young ](Slot slot) __attribute__((always_inline)) {
            young |= VisitLater(slot);
          });
      if (young) remembered.AddObject(object);
    }
  }

  template <typename Fn>
  ATOLL_ALWAYS_INLINE void ForEachSlot(uintptr_t object, const Type& type, size_t first,
                                       size_t count, Fn visit) {
    switch (type.layout) {
      case Layout::kLeaf:
        return;
      case Layout::kFixed:
        VisitFixedPart<E>(object, type, visit);
        return;
      case Layout::kRefArray:
      case Layout::kStructArray:
        VisitElements<E>(object, type, first, count, visit);
        if (first == 0) VisitFixedPart<E>(object, type, visit);
        return;
      case Layout::kWeakRef:
        VisitFixedPart<E>(object, type, visit);
        // Refused memory: kept strongly this time.
        if (!weak_references.TryPush(object)) visit(ObjectSlot<E>(object + kHeaderSize));
        return;
      case Layout::kEphemeron:
        VisitFixedPart<E>(object, type, visit);
        ScanEphemeron(object, visit);
        return;
      case Layout::kCustom: {
        // The callback visits through VisitSlot, which notes whether any is young.
        young_seen_ = false;
        type.details->trace(ObjectPtr(object), *this);
        if (!kMajor && young_seen_ && TagOf(object) != young_tag_) remembered.AddObject(object);
        return;
      }
    }
  }

  template <typename Fn>
  void ScanEphemeron(uintptr_t object, Fn visit) {
    const auto key = ObjectSlot<E>(object + kHeaderSize);
    Word now;
    if (!IsAlive(key.Load().word, &now)) {
      if (state_.watching_keys) {
        state_.ephemerons_by_key.emplace(encoding_.Decode(key.Load().word), object);
        return;
      }
      if (ephemerons.TryPush(object)) return;
    }
    visit(key);
    visit(key.Next());
  }

  void RememberSlot(uintptr_t object, Slot slot) {
    if ((LoadFlags(object) & header::kLarge) == 0) {
      remembered.AddObject(object);
    } else {
      RememberSlotOfLarge(state_.region, remembered, object, slot.address());
    }
  }

  TraceState& state_;
  const E encoding_;
  const uintptr_t base_;
  const size_t size_;
  const uint32_t* const tags_;
  uint64_t* const marks_;
  const Type* const types_;
  const uint32_t young_tag_;
  MarkStack stack_;
  bool young_seen_ = false;
  AreaPrefetch originals_;
};

}  // namespace Atoll

#endif  // ATOLL_GC_TRACER_H_
