#include <algorithm>
#include <optional>
#include <utility>

#include "atoll/handles.h"
#include "atoll/heap.h"
#include "heap/heap_state.h"
#include "heap/mutator_record.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

ATOLL_COLD Status NotToBeAdopted(const RegionState& to, const RegionState& from) {
  return {StatusCode::kInvalidArgument,
          "region \"" + to.options.name + "\" cannot adopt \"" + from.options.name +
              (&to == &from ? "\": it is the same region"
                            : "\": it is of another heap, \"" + from.heap.options.name + "\"")};
}
ATOLL_COLD Status NoPartIds(const RegionState& region) {
  return {StatusCode::kResourceExhausted,
          "region \"" + region.options.name +
              "\": all part ids of the process are in use; "
              "destroy regions, or let receivers collect what they adopted"};
}

// Keeps group collections, which read the lists of all regions, away from one. A managed mutator of
// the heap does so by itself, and must not wait for them; any other caller does by their lock.
class HoldOffGroupCollections {
 public:
  explicit HoldOffGroupCollections(HeapState& heap) {
    const MutatorThread* current = MutatorThread::Current();
    if (current != nullptr && current->manager() == &heap.safepoints &&
        current->state() == MutatorState::kManaged) {
      return;
    }
    lock_.emplace(heap.regions_mutex);
  }

 private:
  std::optional<platform::MutexLock> lock_;
};

void RunFinalizers(const std::vector<Finalizer>& finalizers) {
  for (const Finalizer& finalizer : finalizers) {
    if (finalizer.fn != nullptr) finalizer.fn(finalizer.data);
  }
}

}  // namespace

Region::Region(std::unique_ptr<RegionState> state) : state_(std::move(state)) {
  state_->region = this;
}

Region::~Region() {
  RegionState& region = *state_;
  ATOLL_CHECK(region.mutators.empty(),
              "region \"%s\" is destroyed while mutator \"%s\" is attached; detach it first",
              region.options.name.c_str(), region.mutators.front()->name().c_str());
  {
    // Waits for a group collection: after this no other thread knows the region.
    platform::MutexLock lock(region.heap.regions_mutex);
    region.heap.regions.erase(&region);
    region.heap.region_count.store(region.heap.regions.size(),
                                   std::memory_order_relaxed);  // statistic
  }
  {
    platform::MutexLock lock(region.heap.stats_mutex);
    region.heap.adoptions_of_gone_regions +=
        region.adoptions.load(std::memory_order_relaxed);  // statistic
  }
  region.persistents->Clear(/*close=*/true);
  RunFinalizers(region.FreeEverything());
  region.FreeList(region.spare_young);
  if (region.own != nullptr) region.heap.space->ReturnPartId(region.own->raw_id);
  region.heap.pool.Decay(BlockPool::kDecayInPassingChunks);
}

Heap& Region::heap() const { return *state_->heap.heap; }
const std::string& Region::name() const { return state_->options.name; }

Result<std::unique_ptr<Mutator>> Region::AttachMutator(std::string name) {
  RegionState& region = *state_;
  SafepointMutexLock collection(region.collection_mutex);
  platform::MutexLock regions(region.heap.regions_mutex);  // waits for a group collection
  platform::MutexLock allocation(region.allocation_mutex);
  if (region.OwnPart() == nullptr) return NoPartIds(region);
  std::unique_ptr<Mutator> mutator(new Mutator(*this, std::move(name)));
  if (Status status = region.heap.safepoints.Attach(mutator.get()); !status.ok()) return status;
  region.mutators.push_back(mutator.get());
  region.had_several_mutators |= region.mutators.size() > 1;
  return mutator;
}

Status Region::Adopt(Region& source) {
  RegionState& to = *state_;
  RegionState& from = *source.state_;
  if (ATOLL_UNLIKELY(&to == &from || &to.heap != &from.heap)) return NotToBeAdopted(to, from);
  const HoldOffGroupCollections hold_off(to.heap);
  std::unique_ptr<Part> surrendered;
  Status status = from.CheckUnused("adopted");
  if (status.ok()) from.RetireAllocators();
  {
    platform::MutexLock allocation(to.allocation_mutex);
    if (status.ok() && !from.mutators.empty() && !from.RenewOwnPart(&surrendered)) {
      status = NoPartIds(from);
    } else if (status.ok()) {
      if (surrendered == nullptr) surrendered = std::move(from.own);
      if (surrendered != nullptr) to.adopted.push_back(std::move(surrendered));
      to.adopted.splice(to.adopted.end(), from.adopted);
      to.spare_young.Splice(*to.heap.space, from.spare_young);
      if (!from.pins.empty()) to.pins.merge(from.pins);
      to.unsendable_count += std::exchange(from.unsendable_count, 0);
      // Relaxed: see RegionState.
      if (from.had_finalizers.load(std::memory_order_relaxed)) {
        from.had_finalizers.store(false, std::memory_order_relaxed);
        to.had_finalizers.store(true, std::memory_order_relaxed);
      }
      if (!from.guarded.empty()) {
        to.guarded.insert(to.guarded.end(), from.guarded.begin(), from.guarded.end());
        from.guarded.clear();
      }
      // Relaxed, all: counters that only this thread changes now.
      const size_t blocks = from.blocks.exchange(0, std::memory_order_relaxed);
      to.blocks.fetch_add(blocks, std::memory_order_relaxed);
      const int64_t due = from.DueExternalBytes();
      const int64_t external = from.external_bytes.exchange(due, std::memory_order_relaxed) - due;
      to.external_bytes.fetch_add(external, std::memory_order_relaxed);
      to.old_used_bytes.fetch_add(from.old_used_bytes.exchange(0, std::memory_order_relaxed) +
                                      from.eden_blocks * kBlockSize + from.survivor_bytes +
                                      from.young_large_bytes,
                                  std::memory_order_relaxed);
      from.eden_blocks = from.survivor_bytes = from.young_large_bytes = 0;
      to.adoptions.store(to.adoptions.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
      // As where they are added: whoever is given much may allocate little.
      if (external > 0 && to.OldBytes() > to.OldLimit()) {
        for (Mutator* mutator : to.mutators) mutator->RequestPoll(poll_bits::kCollect);
      }
    }
  }
  // Not under that lock, which collections take while they hold the table's.
  if (status.ok()) from.persistents->Clear(/*close=*/false);
  return status;
}

Status Region::Clear() {
  RegionState& region = *state_;
  std::vector<Finalizer> finalizers;
  {
    const HoldOffGroupCollections hold_off(region.heap);
    if (Status status = region.CheckUnused("cleared"); !status.ok()) return status;
    region.persistents->Clear(/*close=*/false);
    finalizers = region.FreeEverything();
  }
  RunFinalizers(finalizers);
  return Status::Ok();
}

Ref Region::NextGuarded() {
  platform::MutexLock lock(state_->allocation_mutex);
  if (state_->guarded.empty()) return {};
  const Word word = state_->guarded.front();
  state_->guarded.pop_front();
  return Ref{word};
}

void Region::SetLimit(size_t limit_bytes) {
  state_->limit_bytes.store(limit_bytes, std::memory_order_relaxed);  // see RegionState
}

RegionStats Region::stats() const {
  RegionState& region = *state_;
  platform::MutexLock lock(region.allocation_mutex);
  RegionStats stats = region.stats;
  stats.block_bytes = region.blocks.load(std::memory_order_relaxed) * kBlockSize;  // statistic
  stats.adoptions = region.adoptions.load(std::memory_order_relaxed);              // statistic
  stats.external_bytes = region.ExternalBytes();
  stats.nursery_bytes = region.nursery_blocks * kBlockSize;
  stats.old_limit_bytes = region.OldLimit();
  return stats;
}

// ---- Persistent handles

Persistent::Persistent(Region& region, Ref value) : Persistent(region, value, false) {}

Persistent::Persistent(Region& region, Ref value, bool weak)
    : table_(region.state().persistents), index_(table_->Add(value, weak)) {}

Ref Persistent::Get() const { return table_ == nullptr ? Ref{} : Ref{table_->at(index_).word}; }

void Persistent::Set(Ref value) {
  if (table_ != nullptr) table_->at(index_).word = value.word;
}

void Persistent::Reset() {
  if (table_ != nullptr) table_->Remove(index_);
  table_.reset();
}

}  // namespace Atoll
