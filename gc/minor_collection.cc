#include "gc/minor_collection.h"

#include "gc/region_walk.h"
#include "heap/mutator_record.h"
#include "heap/poison.h"

namespace Atoll {

void MinorCollection::Prepare() {
  const AddressSpace& space = *region_.heap.space;
  Part& own = *region_.own;
  for (Mutator* mutator : region_.mutators) mutator->record().RetireBuffer();
  const uint32_t young = own.young_tag();
  own.young.ForEach(space, [&](BlockIndex block) {
    const BlockInfo& info = space.info(block);
    young_bytes_before_ += info.top;
    const bool stays = plan_.in_place || (info.flags & block_flags::kPinned) != 0;
    const bool promoted = stays || plan_.promote_all || info.age != 0;
    space.set_tag(block, young | (stays ? 0 : tag::kMove) | (promoted ? tag::kTrace : 0));
  });
  own.young_large.ForEach(space,
                          [&](BlockIndex block) { space.set_tag(block, young | tag::kTrace); });
  cycle_ = Cycle::Create(region_, CycleKind::kMinor, plan_.workers);
}

void ClearKeptFlags(RegionState& region, BlockIndex block) {
  ForEachObject(region.heap, block, [](uintptr_t object) { ClearFlag(object, header::kKept); });
  region.heap.space->info(block).flags &= static_cast<uint8_t>(~block_flags::kHasKept);
}

// Reached objects are marked already; the lines without any are free.
void MinorCollection::PromoteInPlace(BlockIndex block) {
  const AddressSpace& space = *region_.heap.space;
  BlockInfo& info = space.info(block);
  info.space = Space::kOld;
  info.age = 0;
  space.set_tag(block, region_.own->old_tag());
  if ((info.flags & block_flags::kHasKept) != 0) ClearKeptFlags(region_, block);
  if (LineMap::Of(space, block).CountUsed() == 0) {
    region_.GiveBlocks(block, 1);
  } else {
    region_.FileOldBlock(block);
  }
}

void MinorCollection::Recycle(BlockIndex block) {
  const AddressSpace& space = *region_.heap.space;
  const bool over_limit = blocks_over_limit_ != 0;
  if (over_limit || region_.spare_young.block_count() >= region_.nursery_blocks) {
    blocks_over_limit_ -= over_limit ? 1 : 0;
    region_.GiveBlocks(block, 1);
    return;
  }
  space.info(block).flags = 0;
  if (region_.heap.options.stress.poison) FillPoison(space.AddressOf(block), kBlockSize);
  PoisonMemory(space.AddressOf(block), kBlockSize);
  region_.spare_young.Push(space, block);
}

void MinorCollection::Reclaim() {
  const AddressSpace& space = *region_.heap.space;
  Part& own = *region_.own;
  BlockList survivors;
  counters_ = cycle_->Finish(survivors);
  cycle_.reset();
  BlockList from = own.young.TakeAll();
  own.young = survivors.TakeAll();
  // The copies may have taken from the reserve: mutators are not to fill as much again.
  blocks_over_limit_ = region_.BlocksOverLimit();
  while (!from.empty()) {
    const BlockIndex block = from.Pop(space);
    const bool moved_out = (space.tag(block) & tag::kMove) != 0 &&
                           (space.info(block).flags & block_flags::kHasKept) == 0;
    if (moved_out) {
      Recycle(block);
    } else {
      PromoteInPlace(block);
    }
  }
  BlockList large = own.young_large.TakeAll();
  while (!large.empty()) {
    const BlockIndex block = large.Pop(space);
    if (space.IsMarked(space.AddressOf(block))) {
      space.set_tag(block, own.old_tag());
      own.large.Push(space, block);
    } else {
      region_.FreeLarge(block);
    }
  }
  region_.eden_blocks = 0;
  region_.young_large_bytes = 0;
  region_.survivor_bytes = counters_.survivor_bytes;
  region_.old_used_bytes.fetch_add(counters_.old_bytes, std::memory_order_relaxed);  // stopped
}

}  // namespace Atoll
