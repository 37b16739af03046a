#include "atoll/heap.h"

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll {

Heap::Heap(std::unique_ptr<HeapState> state) : state_(std::move(state)) { state_->heap = this; }

Heap::~Heap() {
  platform::MutexLock lock(state_->regions_mutex);
  ATOLL_CHECK(state_->regions.empty(),
              "heap \"%s\" is destroyed while region \"%s\" exists; destroy its regions first",
              state_->options.name.c_str(), (*state_->regions.begin())->options.name.c_str());
}

Result<const Type*> Heap::RegisterType(const TypeInfo& info) {
  return state_->types.Register(info);
}

Result<std::unique_ptr<Region>> Heap::CreateRegion(RegionOptions options) {
  auto region_state = std::make_unique<RegionState>(*state_, std::move(options));
  RegionState* raw = region_state.get();
  std::unique_ptr<Region> region(new Region(std::move(region_state)));
  platform::MutexLock lock(state_->regions_mutex);
  state_->regions.insert(raw);
  state_->region_count.store(state_->regions.size(), std::memory_order_relaxed);  // statistic
  return region;
}

ObjectPtr Heap::AllocateProgram(const Type& type, size_t length) {
  if (length > (type.has_elements() ? MaximumLength(type) : 0)) return {};
  return ObjectPtr(state_->program.Allocate(type, length));
}

void Heap::AddGroupRoots(GroupRoots* roots) {
  platform::MutexLock lock(state_->regions_mutex);
  state_->group_roots.push_back(roots);
}

void Heap::RemoveGroupRoots(GroupRoots* roots) {
  platform::MutexLock lock(state_->regions_mutex);
  const size_t removed = std::erase(state_->group_roots, roots);
  ATOLL_CHECK(removed == 1,
              "heap \"%s\": group roots are removed that were added %zu times, not once",
              state_->options.name.c_str(), removed);
}

Status Heap::CollectAll() { return state_->collector->CollectAll(); }
uint64_t Heap::ReturnFreeMemory() { return state_->pool.Decay(); }
Status Heap::Verify() { return state_->collector->Verify(); }
SafepointManager& Heap::safepoints() const { return state_->safepoints; }
const RefEncoding& Heap::encoding() const { return state_->options.encoding; }

HeapStats Heap::stats() const {
  HeapStats stats;
  const BlockPool& pool = state_->pool;
  stats.mapped_bytes = pool.mapped_blocks() * kBlockSize;
  stats.free_bytes = pool.free_blocks() * kBlockSize;
  stats.external_bytes = pool.external_bytes();
  stats.program_bytes = state_->program.block_count() * kBlockSize;
  stats.shared_bytes = state_->shared.block_count() * kBlockSize;
  {
    platform::MutexLock lock(state_->regions_mutex);
    stats.regions = state_->regions.size();
    for (const RegionState* region : state_->regions) {
      stats.region_bytes +=
          region->blocks.load(std::memory_order_relaxed) * kBlockSize;       // statistic
      stats.adoptions += region->adoptions.load(std::memory_order_relaxed);  // statistic
    }
  }
  platform::MutexLock lock(state_->stats_mutex);
  auto pauses = [](const Histogram& histogram) {
    return PauseStats{histogram.Count(), histogram.Sum(), histogram.Quantile(0.5),
                      histogram.Quantile(0.99), histogram.Max()};
  };
  stats.minor = pauses(state_->minor_pauses);
  stats.major = pauses(state_->major_pauses);
  stats.group = pauses(state_->group_pauses);
  stats.promoted_bytes = state_->promoted_bytes;
  stats.adoptions += state_->adoptions_of_gone_regions;
  stats.safepoints = state_->safepoints.stats();
  return stats;
}

}  // namespace Atoll
