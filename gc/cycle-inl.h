#ifndef ATOLL_GC_CYCLE_INL_H_
#define ATOLL_GC_CYCLE_INL_H_

#include <deque>

#include "gc/cycle.h"
#include "gc/region_walk.h"
#include "gc/tracer.h"
#include "gc/weak_processing.h"

namespace Atoll {

// Nurseries from this size on, 4 MiB, are not in a cache close by.
inline constexpr size_t kPrefetchBlocks = (size_t{4} << 20) / kBlockSize;

template <typename E, bool kMajor, bool kParallel>
class CycleOf final : public Cycle {
 public:
  using TracerOf = Tracer<E, kMajor, kParallel>;

  CycleOf(RegionState& region, CycleKind kind, int workers, bool scan_all_old)
      : region_(region),
        state_(region,
               kMajor ? OldAllocator::Source::kFresh : OldAllocator::Source::kHolesAndFresh) {
    state_.prefetch = kMajor || region.eden_blocks >= kPrefetchBlocks;
    for (int i = 0; i < workers; ++i) tracers_.emplace_back(state_);
    // The first goes on where the last minor collection left off.
    if (!kMajor) std::swap(tracers_[0].old, region.promotion);
    region.ForEachPart([this](Part& part) { parts_.push_back(&part); });
    scan_all_old_ = scan_all_old;
    settle_all_ = kind != CycleKind::kMinor;
  }

  void Trace() override {
    auto run = [this](int worker) {
      TracerOf& tracer = tracers_[static_cast<size_t>(worker)];
      state_.sharing.Join();
      for (;;) {
        // Relaxed: see TraceState.
        const size_t task = state_.next_root_task.fetch_add(1, std::memory_order_relaxed);
        if (task >= RootTasks()) break;
        VisitRoots(tracer, task);
      }
      tracer.Drain();
    };
    if constexpr (kParallel) {
      region_.heap.workers.Run(static_cast<int>(tracers_.size()), run);
    } else {
      run(0);
    }
    RescanAfterOverflow();
  }

  void ProcessWeak(std::vector<Finalizer>& due) override {
    TracerOf& first = tracers_[0];
    for (size_t i = 1; i < tracers_.size(); ++i) {
      first.weak_references.Splice(tracers_[i].weak_references);
      first.ephemerons.Splice(tracers_[i].ephemerons);
    }
    WeakProcessing<TracerOf>(region_, first, [&] {
      first.DrainOwn();
      RescanAfterOverflow();
    }).Run(/*major=*/settle_all_, due);
  }

  TraceCounters Finish(BlockList& survivors) override {
    const AddressSpace& space = *region_.heap.space;
    TraceCounters sum;
    for (TracerOf& tracer : tracers_) {
      sum.Add(tracer.counters);
      region_.own->remembered.Splice(tracer.remembered);
      BlockList blocks = tracer.survivors.TakeBlocks(space);
      survivors.Splice(space, blocks);
    }
    if (!kMajor) std::swap(tracers_[0].old, region_.promotion);
    for (TracerOf& tracer : tracers_) tracer.old.Retire(region_);
    return sum;
  }

 private:
  // Root tasks: 0 the region's own; then one per mutator; then (minor) one per part; then, for an
  // evacuation or if a remembered set was refused memory, one for all old objects.
  size_t RootTasks() const {
    return 1 + region_.mutators.size() + (kMajor ? 0 : parts_.size() + (scan_all_old_ ? 1 : 0));
  }

  void VisitRoots(TracerOf& tracer, size_t task) {
    if (task == 0) {
      if (region_.options.client != nullptr) region_.options.client->VisitRoots(tracer);
      region_.persistents->ForEach(/*weak=*/false, [&](Slot slot) { tracer.Visit(slot); });
      for (Word& word : region_.guarded) tracer.Visit(Slot(&word));
      for (const auto& [object, count] : region_.pins) {
        Word word = tracer.encoding().Make(object);
        tracer.Visit(Slot(&word));
      }
      return;
    }
    task -= 1;
    if (task < region_.mutators.size()) {
      MutatorRecord& record = region_.mutators[task]->record();
      record.ForEachHandle([&](Slot slot) { tracer.Visit(slot); });
      if (!kMajor) VisitRemembered(tracer, record.remembered);
      return;
    }
    task -= region_.mutators.size();
    if (task < parts_.size()) {
      VisitRemembered(tracer, parts_[task]->remembered);
      return;
    }
    ScanAllOld(tracer);
  }

  // Takes the set apart; what still refers to young objects is remembered anew.
  void VisitRemembered(TracerOf& tracer, RememberedSet& set) {
    const AddressSpace& space = *region_.heap.space;
    SegmentedVector<uintptr_t> objects = std::move(set.objects);
    SegmentedVector<uintptr_t> slots = std::move(set.slots);
    objects.ForEach([&](uintptr_t object) {
      ClearFlag(object, header::kRemembered);
      tracer.ScanOld(object);
    });
    slots.ForEach([&](uintptr_t slot) {
      tracer.ScanOldSlot(region_.LargeObjectAt(slot), ObjectSlot<E>(slot));
    });
    set.carded.ForEach([&](BlockIndex block) {
      auto& cards = *static_cast<CardTable*>(space.info(block).cards);
      const uintptr_t object = space.AddressOf(block);
      for (uint64_t i = 0; i < cards.count; ++i) {
        if (cards.card(i) == 0) continue;
        cards.card(i) = 0;
        const uintptr_t first = object + kHeaderSize + i * kCardSize;
        ScanOldCard(tracer, object, first, first + kCardSize);
      }
    });
  }
  // The slots of a large object that have a byte in [first, end), and perhaps others.
  void ScanOldCard(TracerOf& tracer, uintptr_t object, uintptr_t first, uintptr_t end) {
    // Relaxed: stopped.
    const Type& type =
        region_.heap.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
    if (type.layout != Layout::kRefArray && type.layout != Layout::kStructArray) {
      tracer.ScanOld(object);
      return;
    }
    const auto scan = [&](Slot slot) { tracer.ScanOldSlot(object, slot); };
    const uintptr_t elements = object + type.fixed_size;
    if (first < elements) VisitFixedPart<E>(object, type, scan);
    if (end <= elements) return;
    const size_t from = (std::max(first, elements) - elements) / type.element_size;
    const size_t to = (end - elements - 1) / type.element_size + 1;
    VisitElements<E>(object, type, from, to - from, scan);
  }

  // Every object that is old for this region or has been reached: for an evacuation, and after a
  // remembered set or a mark stack was refused memory. Done by one thread.
  void ScanAllOld(TracerOf& tracer) {
    tracer.old.Retire(region_);
    region_.non_moving.Retire(region_);                      // its block is in no list either
    std::vector<std::pair<BlockIndex, const Part*>> blocks;  // tracing changes the lists
    ForEachBlock(region_, [&](BlockIndex block, Part& part) { blocks.emplace_back(block, &part); });
    // From-space and what is promoted in place: only marked objects have been reached. In a major
    // that holds of all.
    auto reached_only = [&](BlockIndex block, const Part& part) {
      return kMajor ||
             (&part == region_.own.get() && (region_.heap.space->tag(block) & tag::kYoung) != 0);
    };
    // An object's lines are covered when it is scanned. Those that wait to be, or whose entry was
    // lost, are covered first: scanning allocates, perhaps into the holes of these very blocks.
    // New blocks of adopted parts have no covers; they are parsed from the start.
    for (const auto& [block, part] : blocks) {
      const Space use = region_.heap.space->info(block).space;
      if (use != Space::kLarge && (use == Space::kOld || reached_only(block, *part))) {
        ForEachMarked(block, [&](uintptr_t object) { tracer.Cover(object); });
      }
    }
    for (const auto& [block, part] : blocks) {
      if (reached_only(block, *part)) {
        ForEachMarked(block, [&](uintptr_t object) { tracer.ScanAgain(object); });
      } else {
        ForEachObject(region_.heap, block, [&](uintptr_t object) {
          // A flag whose entry was refused memory would keep the object out for good.
          ClearFlag(object, header::kRemembered);
          tracer.ScanAgain(object);
        });
      }
    }
  }
  template <typename Fn>
  void ForEachMarked(BlockIndex block, Fn fn) {
    const AddressSpace& space = *region_.heap.space;
    const uint64_t* marks = space.marks(block);
    const size_t words = space.info(block).space == Space::kLarge ? 1 : kMarkWordsPerBlock;
    for (size_t word = 0; word < words; ++word) {
      for (uint64_t bits = marks[word]; bits != 0; bits &= bits - 1) {
        fn(space.AddressOf(block) +
           (word * 64 + static_cast<size_t>(std::countr_zero(bits))) * kGranule);
      }
    }
  }

  // A mark stack was refused memory: everything reached is scanned again, until a whole pass
  // finds memory for what it reaches. Each pass reaches more, so this ends.
  void RescanAfterOverflow() {
    // Relaxed: the threads have joined.
    while (state_.overflowed.load(std::memory_order_relaxed)) {
      state_.overflowed.store(false, std::memory_order_relaxed);
      TracerOf& first = tracers_[0];
      const AddressSpace& space = *region_.heap.space;
      for (TracerOf& tracer : tracers_) {
        tracer.survivors.Flush(space);
        tracer.old.Retire(region_);
      }
      ScanAllOld(first);
      for (TracerOf& tracer : tracers_) {
        tracer.survivors.blocks().ForEach(space, [&](BlockIndex block) {
          ForEachObject(region_.heap, block, [&](uintptr_t object) { first.ScanAgain(object); });
        });
      }
      first.DrainOwn();
    }
  }

  RegionState& region_;
  TraceState state_;
  std::deque<TracerOf> tracers_;  // they do not move
  std::vector<Part*> parts_;
  bool scan_all_old_;
  bool settle_all_;  // weak things of old objects, too
};

template <typename E>
std::unique_ptr<Cycle> CreateCycle(RegionState& region, CycleKind kind, int workers,
                                   bool scan_all_old) {
  const bool major = kind == CycleKind::kMajor;
  if (workers > 1) {
    if (major) return std::make_unique<CycleOf<E, true, true>>(region, kind, workers, scan_all_old);
    return std::make_unique<CycleOf<E, false, true>>(region, kind, workers, scan_all_old);
  }
  if (major) return std::make_unique<CycleOf<E, true, false>>(region, kind, 1, scan_all_old);
  return std::make_unique<CycleOf<E, false, false>>(region, kind, 1, scan_all_old);
}

}  // namespace Atoll

#endif  // ATOLL_GC_CYCLE_INL_H_
