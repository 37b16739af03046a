// What happens to weak things once everything strongly reachable has been traced:
//
//   1. ephemerons whose key is reached: their values are, to a fixpoint
//   2. weak references and weak handles to what is not reached are cleared
//   3. guardian finalizers bring their objects back, and what these reach; then 1 and 2 again
//   4. ephemerons whose key is still not reached lose key and value; entries of weak tables go
//   5. native and thread-affine finalizers of what is not reached are due
//   6. instances of unsendable types that are not reached are counted no more
//
// The fixpoint is linear: after two rounds over the waiting ephemerons they are indexed by key, and
// every object that is then reached is looked up. Done by one thread.
#ifndef ATOLL_GC_WEAK_PROCESSING_H_
#define ATOLL_GC_WEAK_PROCESSING_H_

#include <vector>

#include "atoll/function_ref.h"
#include "gc/tracer.h"

namespace Atoll {

template <typename T>
class WeakProcessing {
 public:
  /// `drain` scans what has been reached, all of it: also what a mark stack had no memory for. Each
  /// step's verdict on the dead needs that.
  WeakProcessing(RegionState& region, T& tracer, FunctionRef<void()> drain)
      : region_(region), tracer_(tracer), drain_(drain) {}

  void Run(bool major, std::vector<Finalizer>& due) {
    ReachThroughEphemerons();
    ClearWeakReferences();
    if (ResurrectGuarded(major)) {
      ReachThroughEphemerons();
      ClearWeakReferences();
    }
    ClearEphemerons();
    SettleWeakEntries(*region_.own, major);
    FinalizePart(*region_.own, major, due);
    CountUnsendable(*region_.own, major);
  }

 private:
  static constexpr int kRoundsBeforeIndex = 2;

  static Slot KeyOf(uintptr_t ephemeron) {
    return ObjectSlot<typename T::Encoding>(ephemeron + kHeaderSize);
  }
  static Slot ValueOf(uintptr_t ephemeron) { return KeyOf(ephemeron).Next(); }

  void Reach(uintptr_t ephemeron) {
    tracer_.Visit(KeyOf(ephemeron));
    tracer_.Visit(ValueOf(ephemeron));
    tracer_.RememberIfYoung(ephemeron, KeyOf(ephemeron));
    tracer_.RememberIfYoung(ephemeron, ValueOf(ephemeron));
  }

  // One round; true if some key was found reached.
  bool Round() {
    SegmentedVector<uintptr_t> waiting = std::move(tracer_.ephemerons);
    bool progress = false;
    waiting.Filter([&](uintptr_t ephemeron) {
      Word now;
      if (!tracer_.IsAlive(KeyOf(ephemeron).Load().word, &now)) return true;
      Reach(ephemeron);
      progress = true;
      return false;
    });
    drain_();
    tracer_.ephemerons.Splice(waiting);
    return progress;
  }

  void ReachThroughEphemerons() {
    for (int round = 0; round < kRoundsBeforeIndex; ++round) {
      if (tracer_.ephemerons.empty() || !Round()) return;
    }
    TraceState& state = tracer_.state();
    state.watching_keys = true;
    auto& by_key = state.ephemerons_by_key;
    tracer_.ephemerons.ForEach([&](uintptr_t ephemeron) {
      const Word key = KeyOf(ephemeron).Load().word;
      Word now;
      if (tracer_.IsAlive(key, &now)) {
        state.ready_ephemerons.push_back(ephemeron);
      } else {
        by_key.emplace(tracer_.encoding().Decode(key), ephemeron);
      }
    });
    tracer_.ephemerons.Clear();
    while (!state.ready_ephemerons.empty()) {
      const uintptr_t ephemeron = state.ready_ephemerons.back();
      state.ready_ephemerons.pop_back();
      Reach(ephemeron);
      drain_();
    }
    state.watching_keys = false;
    for (const auto& [key, ephemeron] : by_key) {
      // Refused memory: kept for good this time.
      if (!tracer_.ephemerons.TryPush(ephemeron)) Reach(ephemeron);
    }
    by_key.clear();
    drain_();
  }

  void ClearWeakReferences() {
    tracer_.weak_references.ForEach([this](uintptr_t weak_reference) {
      const auto slot = ObjectSlot<typename T::Encoding>(weak_reference + kHeaderSize);
      Settle(slot);
      tracer_.RememberIfYoung(weak_reference, slot);
    });
    tracer_.weak_references.Clear();
    region_.persistents->ForEach(/*weak=*/true, [this](Slot slot) { Settle(slot); });
  }

  // Updates a weak slot, or clears it.
  void Settle(Slot slot) {
    Word now;
    const bool alive = tracer_.IsAlive(slot.Load().word, &now);
    slot.StoreRaw(Ref{alive ? now : 0});
  }

  void ClearEphemerons() {
    tracer_.ephemerons.ForEach([](uintptr_t ephemeron) {
      KeyOf(ephemeron).StoreRaw(Ref{});
      ValueOf(ephemeron).StoreRaw(Ref{});
    });
    tracer_.ephemerons.Clear();
  }

  void SettleWeakEntries(Part& part, bool major) {
    auto settle = [&](WeakEntries& entries) {
      for (auto at = entries.begin(); at != entries.end();) {
        Word now;
        if (tracer_.IsAlive(WordOf(at->second.object), &now)) {
          at->second.object = tracer_.encoding().Decode(now);
          ++at;
        } else {
          at = entries.erase(at);
        }
      }
    };
    settle(part.young_weak_entries);
    if (major) settle(part.weak_entries);
    // Those of objects that are not young any more.
    for (auto at = part.young_weak_entries.begin(); at != part.young_weak_entries.end();) {
      const auto entry = at++;
      if (tracer_.IsYoung(WordOf(entry->second.object))) continue;
      part.weak_entries.insert(part.young_weak_entries.extract(entry));
    }
  }

  Word WordOf(uintptr_t object) const { return tracer_.encoding().Make(object); }

  bool ResurrectGuarded(bool major) {
    bool any = false;
    auto resurrect = [&](std::vector<Finalizer>& list) {
      std::erase_if(list, [&](const Finalizer& finalizer) {
        if (finalizer.kind != FinalizerKind::kGuardian) return false;
        Word word = WordOf(finalizer.object);
        Word now;
        if (tracer_.IsAlive(word, &now)) return false;
        tracer_.Visit(Slot(&word));
        region_.guarded.push_back(word);
        if (finalizer.external_bytes != 0) {
          region_.AddExternalBytes(-static_cast<int64_t>(finalizer.external_bytes));
        }
        any = true;
        return true;
      });
    };
    resurrect(region_.own->young_finalizers);
    if (major) resurrect(region_.own->finalizers);
    if (any) drain_();
    return any;
  }

  void FinalizePart(Part& part, bool major, std::vector<Finalizer>& due) {
    auto settle = [&](std::vector<Finalizer>& list) {
      std::erase_if(list, [&](Finalizer& finalizer) {
        Word now;
        if (tracer_.IsAlive(WordOf(finalizer.object), &now)) {
          finalizer.object = tracer_.encoding().Decode(now);
          return false;
        }
        due.push_back(finalizer);
        return true;
      });
    };
    settle(part.young_finalizers);
    if (major) settle(part.finalizers);
    // Those of objects that are not young any more.
    std::erase_if(part.young_finalizers, [&](const Finalizer& finalizer) {
      if (tracer_.IsYoung(WordOf(finalizer.object))) return false;
      part.finalizers.push_back(finalizer);
      return true;
    });
  }

  void CountUnsendable(Part& part, bool major) {
    auto settle = [&](std::vector<uintptr_t>& list) {
      region_.unsendable_count -= std::erase_if(list, [&](uintptr_t& object) {
        Word now;
        if (!tracer_.IsAlive(WordOf(object), &now)) return true;
        object = tracer_.encoding().Decode(now);
        return false;
      });
    };
    settle(part.young_unsendable);
    if (major) settle(part.unsendable);
    std::erase_if(part.young_unsendable, [&](uintptr_t object) {
      if (tracer_.IsYoung(WordOf(object))) return false;
      part.unsendable.push_back(object);
      return true;
    });
  }

  RegionState& region_;
  T& tracer_;
  const FunctionRef<void()> drain_;
};

}  // namespace Atoll

#endif  // ATOLL_GC_WEAK_PROCESSING_H_
