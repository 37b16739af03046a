#include "gc/collector_impl.h"

#include <algorithm>
#include <atomic>

#include "atoll/gc.h"
#include "gc/become.h"
#include "gc/gc_log.h"
#include "gc/major_collection.h"
#include "gc/minor_collection.h"
#include "gc/pacing.h"
#include "gc/shared_collection.h"
#include "gc/verifier.h"
#include "heap/mutator_record.h"

namespace Atoll {
namespace {

// Regions smaller than this are marked by one thread: waking another costs more.
constexpr size_t kParallelMajorBytes = size_t{16} << 20;

int MajorWorkers(const RegionState& region) {
  const bool parallel =
      region.OldBytes() >= kParallelMajorBytes || region.heap.options.stress.parallel;
  return parallel ? pacing::FreeWorkers(region) : 1;
}

}  // namespace

void CollectorImpl::CheckCollected(const RegionState& region, const char* when,
                                   const Status& verified) {
  ATOLL_CHECK(verified.ok(), "heap \"%s\", region \"%s\", %s a collection: %s",
              region.heap.options.name.c_str(), region.options.name.c_str(), when,
              verified.message().c_str());
}

void CollectorImpl::CheckRegion(RegionState& region, const char* when) {
  if (heap_.options.stress.verify) CheckCollected(region, when, VerifyRegion(region));
}

void CollectorImpl::CheckStops(const RegionState& region, const MutatorThread* own) {
  if (heap_.options.stress.verify) CheckCollected(region, "at", VerifyStops(region, own));
}

const char* CollectorImpl::ToString(Kind kind) {
  return kind == Kind::kMinor ? "minor" : kind == Kind::kMajor ? "major" : "group";
}

void CollectorImpl::RunMinor(RegionState& region, Kind kind, int group_workers,
                             std::vector<Finalizer>& due) {
  MinorCollection::Plan plan = pacing::PlanMinor(region, group_workers);
  plan.promote_all |= kind != Kind::kMinor;
  if (heap_.options.stress.move_everything) plan.in_place = false;
  const uint64_t start = platform::NowNanos();
  MinorCollection minor(region, plan);
  minor.Prepare();
  minor.Trace();
  minor.ProcessWeak(due);
  minor.Reclaim();
  const uint64_t nanos = platform::NowNanos() - start;
  region.stats.survived_bytes += minor.counters().survivor_bytes;
  region.stats.promoted_bytes += minor.counters().old_bytes;
  pacing::AfterMinor(region, minor, nanos);
  if (heap_.options.gc_log != nullptr) {
    if (kind == Kind::kMinor && pacing::MajorIsDue(region)) kind = Kind::kMajor;
    LogMinor(region, ToString(kind), plan, minor, nanos);
  }
}

void CollectorImpl::CollectStopped(RegionState& region, Kind kind, int group_workers,
                                   std::vector<Finalizer>& due, bool compact) {
  if (region.OwnPart() == nullptr) return;  // owns nothing, and cannot be given a part
  CheckRegion(region, "before");
  const uint64_t start = platform::NowNanos();
  RunMinor(region, kind, group_workers, due);
  if (kind == Kind::kMinor && pacing::MajorIsDue(region)) {
    kind = Kind::kMajor;
    // What is still young has survived once; the major needs the nursery empty.
    if (!region.own->young.empty()) RunMinor(region, kind, 0, due);
  }
  if (kind != Kind::kMinor) {
    const uint64_t major_start = platform::NowNanos();
    // Chosen here: only now is all that is to be marked in the old space.
    const int workers = group_workers != 0 ? group_workers : MajorWorkers(region);
    MajorCollection major(
        region, {compact || kind == Kind::kGroup || heap_.options.stress.move_everything, workers});
    major.Prepare();
    major.Trace();
    major.ProcessWeak(due);
    major.Sweep();
    major.EvacuateAdopted(due);
    const uint64_t now = platform::NowNanos();
    pacing::AfterMajor(region, now - major_start, now);
    region.stats.live_bytes = major.counters().old_bytes;
    if (heap_.options.gc_log != nullptr) {
      LogMajor(region, ToString(kind), major, now - major_start);
    }
  }
  heap_.pool.Decay(BlockPool::kDecayInPassingChunks);
  const uint64_t pause = platform::NowNanos() - start;
  ++(kind == Kind::kMinor ? region.stats.minors : region.stats.majors);
  region.stats.collection_nanos += pause;
  ++region.collection_epoch;
  {
    platform::MutexLock lock(heap_.stats_mutex);
    if (kind != Kind::kGroup) {
      (kind == Kind::kMinor ? heap_.minor_pauses : heap_.major_pauses).Record(pause);
    }
    heap_.promoted_bytes += region.stats.promoted_bytes - region.promoted_reported;
    region.promoted_reported = region.stats.promoted_bytes;
  }
  CheckRegion(region, "after");
}

SharedCounters CollectorImpl::CollectShared(const StoppedScope& stopped) {
  SharedCounters counters;
  if (heap_.shared.block_count() == 0) return counters;
  for (const RegionState* region : heap_.regions) {
    // In the scope, one mutator may hold raw what another has stored over: no object refers to it.
    if (region->had_several_mutators && region->AnyNoCollectScope()) return counters;
  }
  const uint64_t start = platform::NowNanos();
  {
    SharedCollection collection(heap_, stopped);
    collection.Prepare();
    collection.Trace();
    collection.ProcessWeak();
    collection.Sweep();
    counters = collection.counters();
  }
  counters.nanos = platform::NowNanos() - start;
  if (heap_.options.stress.verify) {
    const Status status = VerifyAll(stopped);
    ATOLL_CHECK(status.ok(), "heap \"%s\", after a group collection: %s",
                heap_.options.name.c_str(), status.message().c_str());
  }
  return counters;
}

void CollectorImpl::Dispatch(const std::vector<Finalizer>& due, RegionState& region) {
  for (const Finalizer& finalizer : due) {
    if (finalizer.kind == FinalizerKind::kThreadAffine) {
      {
        platform::MutexLock lock(region.allocation_mutex);
        finalizer.owner->record().due_finalizers.push_back(finalizer);
      }
      finalizer.owner->RequestPoll(poll_bits::kFinalizers);
      continue;
    }
    finalizer.fn(finalizer.data);
    if (finalizer.external_bytes != 0) {
      region.AddExternalBytes(-static_cast<int64_t>(finalizer.external_bytes));
    }
  }
}

void CollectorImpl::WithRegionStopped(Mutator& mutator, FunctionRef<bool()> wanted,
                                      FunctionRef<void(RegionState&, std::vector<Finalizer>&)> fn) {
  RegionState& region = mutator.region().state();
  std::vector<Finalizer> due;
  {
    SafepointMutexLock lock(region.collection_mutex);
    if (!wanted()) return;
    const auto run = [&] {
      CheckStops(region, &mutator);
      fn(region, due);
    };
    if (region.mutators.size() == 1) {
      run();
    } else {
      const std::vector<MutatorThread*> set(region.mutators.begin(), region.mutators.end());
      heap_.safepoints.StopMutators(set, "region collection", [&](const StoppedScope&) {
        if (wanted()) run();
      });
    }
    Dispatch(due, region);
  }
}

void CollectorImpl::CollectForAllocation(Mutator& mutator, Urgency urgency) {
  const RegionState& own = mutator.region().state();
  const uint64_t epoch = own.collection_epoch;
  const auto wanted = [&] {
    return own.collection_epoch == epoch || urgency != Urgency::kNurseryFull;
  };
  WithRegionStopped(mutator, wanted, [&](RegionState& region, std::vector<Finalizer>& due) {
    if (region.AnyNoCollectScope()) return;
    const bool major = urgency == Urgency::kMemoryShort || pacing::MajorIsDue(region);
    CollectStopped(region, major ? Kind::kMajor : Kind::kMinor, /*group_workers=*/0, due);
    if (urgency != Urgency::kMemoryShort) return;
    // Nothing could be freed as a block, but perhaps much within blocks.
    if (const BlockIndex block = region.TakeBlocks(1, BlockPool::Allowance::kLimit);
        block != kNoBlock) {
      region.GiveBlocks(block, 1);
    } else if (region.own->recyclable.block_count() > 0 ||
               region.stats.live_bytes / 4 * 5 <
                   region.blocks.load(std::memory_order_relaxed) * kBlockSize) {  // a counter
      CollectStopped(region, Kind::kMajor, /*group_workers=*/0, due, /*compact=*/true);
    }
    heap_.pool.ReturnFreeChunks();
  });
}

Status CollectorImpl::Collect(Mutator& mutator, Mutator::Collection kind) {
  Status status;
  const auto always = [] { return true; };
  WithRegionStopped(mutator, always, [&](RegionState& region, std::vector<Finalizer>& due) {
    if (region.AnyNoCollectScope()) {
      status = {StatusCode::kFailedPrecondition,
                "region \"" + region.options.name +
                    "\" is not collected: one of its mutators has "
                    "a NoCollectScope open; try again when it has ended"};
      return;
    }
    const bool major = kind == Mutator::Collection::kMajor;
    CollectStopped(region, major ? Kind::kMajor : Kind::kMinor, /*group_workers=*/0, due);
  });
  return status;
}

Status CollectorImpl::CollectAll() {
  std::vector<std::pair<RegionState*, std::vector<Finalizer>>> due;
  Status status = heap_.safepoints.RunWithMutatorsStopped(
      SafepointLevel::kGC, "group collection", [&](const StoppedScope& stopped) {
        const uint64_t start = platform::NowNanos();
        platform::MutexLock regions(heap_.regions_mutex);
        for (RegionState* region : heap_.regions) {
          if (region->AnyNoCollectScope()) continue;
          CheckStops(*region, MutatorThread::Current());
          due.emplace_back(region, std::vector<Finalizer>());
        }
        const int workers = heap_.options.workers;
        // By I1 the regions are independent: with many, a thread takes one at a time; with few,
        // all threads trace one together.
        if (due.size() >= 2 * static_cast<size_t>(workers)) {
          std::atomic<size_t> next{0};  // relaxed: only that each is claimed once matters
          heap_.workers.Run(workers, [&](int) {
            for (;;) {
              const size_t i = next.fetch_add(1, std::memory_order_relaxed);
              if (i >= due.size()) return;
              CollectStopped(*due[i].first, Kind::kGroup, 1, due[i].second);
            }
          });
        } else {
          for (auto& [region, list] : due) CollectStopped(*region, Kind::kGroup, workers, list);
        }
        const SharedCounters shared = CollectShared(stopped);
        // Finalizers are run here: once the regions may be destroyed, nobody else would.
        for (auto& [region, list] : due) Dispatch(list, *region);
        const uint64_t pause = platform::NowNanos() - start;
        if (heap_.options.gc_log != nullptr) LogGroup(heap_, due.size(), shared, pause);
        platform::MutexLock lock(heap_.stats_mutex);
        heap_.group_pauses.Record(pause);
      });
  return status;
}

Status CollectorImpl::VerifyAll(const StoppedScope& stopped) {
  for (RegionState* region : heap_.regions) {
    if (Status status = VerifyStops(*region, MutatorThread::Current()); !status.ok()) return status;
    Status status = VerifyRegion(*region, /*regions_are_held=*/true);
    if (!status.ok()) return status;
  }
  if (Status status = VerifyBlocks(heap_); !status.ok()) return status;
  return VerifyShared(heap_, stopped);
}

Status CollectorImpl::Verify() {
  Status result;
  Status status = heap_.safepoints.RunWithMutatorsStopped(
      SafepointLevel::kGC, "verification", [&](const StoppedScope& stopped) {
        platform::MutexLock regions(heap_.regions_mutex);
        result = VerifyAll(stopped);
      });
  return status.ok() ? result : status;
}

Status CollectorImpl::Become(const StoppedScope& stopped, std::span<const Ref> before,
                             std::span<const Ref> after) {
  platform::MutexLock regions(heap_.regions_mutex);
  Status checked;
  {
    BecomeRun run(heap_, stopped);
    if (Status status = run.Prepare(before, after); !status.ok()) return status;
    const bool checks = heap_.options.stress.verify;
    if (checks) run.NoteForCheck();
    run.Rewrite();
    if (!checks) return Status::Ok();
    checked = run.Check();
  }
  if (checked.ok()) checked = VerifyAll(stopped);
  ATOLL_CHECK(checked.ok(), "heap \"%s\", after a Become: %s", heap_.options.name.c_str(),
              checked.message().c_str());
  return Status::Ok();
}

Result<std::unique_ptr<Heap>> CreateHeap(const HeapOptions& options) {
  const RefEncoding& encoding = options.encoding;
  if ((encoding.ref_pattern & ~encoding.ref_mask) != 0) {
    return Status(StatusCode::kInvalidArgument,
                  "heap \"" + options.name +
                      "\": the encoding's ref_pattern has bits outside its "
                      "ref_mask, so no word could ever be a reference");
  }
  if (encoding.bias % kGranule != 0) {
    return Status(StatusCode::kInvalidArgument,
                  "heap \"" + options.name + "\": the encoding's bias of " +
                      std::to_string(encoding.bias) + " is not a multiple of 8");
  }
  if (encoding.compressed && encoding != CompressedPointers::kEncoding) {
    return Status(StatusCode::kInvalidArgument,
                  "heap \"" + options.name +
                      "\": the encoding is compressed, and has masks or a bias of its own; "
                      "CompressedPointers is the one that is");
  }
  constexpr Word kAddressBits = (Word{1} << 47) - kGranule;
  if ((encoding.address_mask & kAddressBits) != kAddressBits ||
      (encoding.ref_pattern & encoding.address_mask & kAddressBits) != 0) {
    return Status(StatusCode::kInvalidArgument,
                  "heap \"" + options.name +
                      "\": the encoding's address_mask must hold bits 3 to "
                      "46, and its ref_pattern none of them: heap addresses use these bits");
  }
  Result<std::shared_ptr<AddressSpace>> space = AddressSpace::Acquire(options.reservation_bytes);
  if (!space.ok()) return space.status();
  auto state = std::make_unique<HeapState>(HeapState::Complete(options), std::move(space).value());
  if (!state->types.ok()) {
    return Status(StatusCode::kResourceExhausted,
                  "heap \"" + options.name +
                      "\": no memory for its type table; raise the address "
                      "space limit (ulimit -v)");
  }
  const HeapOptions& complete = state->options;
  if (complete.initial_bytes > complete.limit_bytes) {
    return Status(StatusCode::kInvalidArgument,
                  "heap \"" + options.name + "\": initial_bytes, " +
                      std::to_string(complete.initial_bytes) + ", is more than limit_bytes, " +
                      std::to_string(complete.limit_bytes) + "; lower it, or raise the limit");
  }
  if (!state->pool.MapInitial(complete.initial_bytes)) {
    return Status(StatusCode::kResourceExhausted,
                  "heap \"" + options.name + "\": the system refuses the " +
                      std::to_string(complete.initial_bytes) +
                      " bytes of initial_bytes; lower it, or raise reservation_bytes and the "
                      "address space limit (ulimit -v)");
  }
  state->collector = std::make_unique<CollectorImpl>(*state);
  return std::make_unique<Heap>(std::move(state));
}

}  // namespace Atoll
