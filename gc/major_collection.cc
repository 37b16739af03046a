#include "gc/major_collection.h"

#include <algorithm>
#include <vector>

#include "gc/minor_collection.h"
#include "heap/mutator_record.h"

namespace Atoll {
namespace {

// Blocks at least this empty are worth emptying: evacuating a quarter of a block frees it whole.
constexpr int kSparseFreeLines = kLinesPerBlock * 3 / 4;
// At most this share of the region's blocks' contents is copied by a collection that does not
// compact, so that evacuation stays a small part of the pause.
constexpr size_t kEvacuationShare = 16;
// Adopted blocks are emptied after the sweep where that gives back more than this share of what is
// live: all of it is looked at once more for that.
constexpr size_t kWorthwhileShare = 10;

// What its objects are holds the block in place.
bool MustStay(const BlockInfo& info) {
  return (info.flags & (block_flags::kPinned | block_flags::kNonMoving)) != 0;
}

}  // namespace

void MajorCollection::ForgetRemembered(RememberedSet& set) {
  const AddressSpace& space = *region_.heap.space;
  set.objects.ForEach([](uintptr_t object) { ClearFlag(object, header::kRemembered); });
  set.objects.Clear();
  set.slots.Clear();
  set.carded.ForEach([&](BlockIndex block) {
    auto* cards = static_cast<CardTable*>(space.info(block).cards);
    region_.heap.allocator.Free(cards, CardTable::BytesFor(cards->count));
    space.info(block).cards = nullptr;
  });
  set.carded.Clear();
  set.overflowed = false;
}

void MajorCollection::MergeAdoptedParts() {
  const AddressSpace& space = *region_.heap.space;
  Part& own = *region_.own;
  for (auto& part : region_.adopted) {
    auto retag = [&](BlockIndex block) {
      BlockInfo& info = space.info(block);
      for (uint32_t i = 0; i < info.run_blocks; ++i) space.set_tag(block + i, own.old_tag());
      if (info.space == Space::kNew) {  // parsed by mark bits from now on; the mark sets them
        info.space = Space::kOld;
        info.age = 0;
      }
    };
    const auto merge = [&](BlockList& list) {
      list.ForEach(space, [&](BlockIndex block) {
        retag(block);
        space.info(block).flags |= block_flags::kAdopted;
      });
      own.old.Splice(space, list);
    };
    merge(part->young);
    for (BlockList* list : part->OldLists()) merge(*list);
    for (BlockList* list : {&part->young_large, &part->large}) {
      list->ForEach(space, retag);
      own.large.Splice(space, *list);
    }
    for (auto* list : {&part->young_finalizers, &part->finalizers}) {
      own.finalizers.insert(own.finalizers.end(), list->begin(), list->end());
    }
    for (auto* list : {&part->young_unsendable, &part->unsendable}) {
      own.unsendable.insert(own.unsendable.end(), list->begin(), list->end());
    }
    own.weak_entries.merge(part->young_weak_entries);
    own.weak_entries.merge(part->weak_entries);
    region_.heap.space->ReturnPartId(part->raw_id);
  }
  region_.adopted.clear();
}

size_t MajorCollection::RoomInLines() const {
  const BlockPool& pool = region_.heap.pool;
  // A collection may use the reserve: it gives back more than it takes.
  const size_t used = pool.used_bytes();
  const size_t allowed = pool.limit_bytes() + pool.reserve_bytes();
  size_t room = (allowed > used ? allowed - used : 0) / kLineSize;
  // Relaxed: see RegionState.
  if (const size_t limit = region_.limit_bytes.load(std::memory_order_relaxed); limit != 0) {
    const size_t mine = region_.BytesUsed();
    const size_t most = limit + RegionState::ReserveOf(limit);
    room = std::min(room, (most > mine ? most - mine : 0) / kLineSize);
  }
  return room;
}

void MajorCollection::ChooseCandidate(BlockIndex block) {
  const AddressSpace& space = *region_.heap.space;
  BlockInfo& info = space.info(block);
  info.flags |= block_flags::kCandidate;
  space.set_tag(block, region_.own->old_tag() | tag::kMove);
  ++candidate_blocks_;
}

void MajorCollection::ChooseCandidates() {
  const AddressSpace& space = *region_.heap.space;
  const size_t room = RoomInLines();
  // Under stress, what is adopted waits for EvacuateAdopted.
  const uint8_t later = region_.heap.options.stress.move_everything ? block_flags::kAdopted : 0;
  size_t budget_lines =
      plan_.compact
          ? room
          : std::min(room, region_.own->old.block_count() * kLinesPerBlock / kEvacuationShare);
  std::vector<BlockIndex> blocks;
  region_.own->old.ForEach(space, [&](BlockIndex block) {
    const BlockInfo& info = space.info(block);
    if (MustStay(info) || (info.flags & later) != 0) return;
    if (plan_.compact || info.free_lines >= kSparseFreeLines) blocks.push_back(block);
  });
  // The sparsest first: they give the most for what they take.
  if (plan_.compact) {
    std::stable_sort(blocks.begin(), blocks.end(), [&](BlockIndex a, BlockIndex b) {
      return space.info(a).free_lines > space.info(b).free_lines;
    });
  }
  for (const BlockIndex block : blocks) {
    const auto lines = static_cast<size_t>(kLinesPerBlock - space.info(block).free_lines);
    if (lines > budget_lines) continue;
    budget_lines -= lines;
    ChooseCandidate(block);
  }
}

void MajorCollection::Prepare() {
  const AddressSpace& space = *region_.heap.space;
  Part& own = *region_.own;
  region_.RetireAllocators();
  region_.ForEachPart([this](Part& part) { ForgetRemembered(part.remembered); });
  for (Mutator* mutator : region_.mutators) ForgetRemembered(mutator->record().remembered);
  MergeAdoptedParts();
  own.old.Splice(space, own.recyclable);
  own.old.Splice(space, own.recyclable_non_moving);
  own.old.ForEach(space, [&](BlockIndex block) {
    std::fill_n(space.marks(block), kMarkWordsPerBlock, 0);
    std::fill_n(space.covers(block), kCoverWordsPerBlock, 0);
    space.info(block).flags &= block_flags::kNonMoving | block_flags::kAdopted;
  });
  own.large.ForEach(space, [&](BlockIndex block) { space.marks(block)[0] = 0; });
  for (const auto& [object, count] : region_.pins) {
    space.info(space.BlockOf(object)).flags |= block_flags::kPinned;
  }
  ChooseCandidates();
  cycle_ = Cycle::Create(region_, CycleKind::kMajor, plan_.workers);
}

void MajorCollection::SweepBlock(BlockIndex block) {
  const AddressSpace& space = *region_.heap.space;
  BlockInfo& info = space.info(block);
  if ((info.flags & block_flags::kCandidate) != 0) {
    info.flags &= static_cast<uint8_t>(~block_flags::kCandidate);
    space.set_tag(block, region_.own->old_tag());
    if ((info.flags & block_flags::kHasKept) != 0) ClearKeptFlags(region_, block);
  }
  const LineMap used = LineMap::Of(space, block);
  if (used.CountUsed() == 0) {
    ++freed_blocks_;
    region_.GiveBlocks(block, 1);
    return;
  }
  region_.FileOldBlock(block);
  if ((info.flags & block_flags::kAdopted) != 0) WeighAdopted(info);
  if (region_.heap.options.stress.poison) PoisonFreeLines(space, block, used);
}

void MajorCollection::Sweep() {
  const AddressSpace& space = *region_.heap.space;
  Part& own = *region_.own;
  BlockList survivors;  // none: nothing is young
  counters_ = cycle_->Finish(survivors);
  cycle_.reset();
  BlockList blocks = own.old.TakeAll();
  while (!blocks.empty()) SweepBlock(blocks.Pop(space));
  BlockList large = own.large.TakeAll();
  while (!large.empty()) {
    const BlockIndex block = large.Pop(space);
    if (space.IsMarked(space.AddressOf(block))) {
      own.large.Push(space, block);
    } else {
      freed_blocks_ += space.info(block).run_blocks;
      region_.FreeLarge(block);
    }
  }
  region_.old_used_bytes.store(counters_.old_bytes, std::memory_order_relaxed);  // stopped
}

void MajorCollection::WeighAdopted(BlockInfo& info) {
  const bool sparse = info.free_lines >= kSparseFreeLines;
  if (MustStay(info) || !(sparse || region_.heap.options.stress.move_everything)) {
    info.flags &= static_cast<uint8_t>(~block_flags::kAdopted);
    return;
  }
  ++sparse_adopted_blocks_;
  sparse_adopted_lines_ += static_cast<size_t>(kLinesPerBlock - info.free_lines);
}

size_t MajorCollection::ChooseAdopted() {
  const AddressSpace& space = *region_.heap.space;
  Part& own = *region_.own;
  const size_t gain = (sparse_adopted_blocks_ * kLinesPerBlock - sparse_adopted_lines_) * kLineSize;
  const bool worthwhile =
      gain > counters_.old_bytes / kWorthwhileShare || region_.heap.options.stress.move_everything;
  size_t room = worthwhile ? RoomInLines() : 0;
  size_t chosen = 0;
  auto choose = [&](BlockList& list, BlockIndex block) {
    BlockInfo& info = space.info(block);
    if ((info.flags & block_flags::kAdopted) == 0) return;
    info.flags &= static_cast<uint8_t>(~block_flags::kAdopted);
    const auto lines = static_cast<size_t>(kLinesPerBlock - info.free_lines);
    if (lines > room) return;
    room -= lines;
    ChooseCandidate(block);
    space.set_tag(block, own.old_tag() | tag::kMove | tag::kTrace);
    std::fill_n(space.marks(block), kMarkWordsPerBlock, 0);
    std::fill_n(space.covers(block), kCoverWordsPerBlock, 0);
    ++chosen;
    list.Remove(space, block);  // not to be allocated into
    own.old.Push(space, block);
  };
  for (BlockList* list : {&own.old, &own.recyclable}) {
    list->ForEach(space, [&](BlockIndex block) { choose(*list, block); });
  }
  return chosen;
}

void MajorCollection::EvacuateAdopted(std::vector<Finalizer>& due) {
  if (sparse_adopted_blocks_ == 0 || ChooseAdopted() == 0) return;
  const AddressSpace& space = *region_.heap.space;
  BlockList survivors;  // none: nothing is young
  cycle_ = Cycle::Create(region_, CycleKind::kEvacuation, /*workers=*/1);
  cycle_->Trace();
  cycle_->ProcessWeak(due);
  evacuated_adopted_bytes_ = cycle_->Finish(survivors).old_bytes;
  cycle_.reset();
  BlockList& old = region_.own->old;
  old.ForEach(space, [&](BlockIndex block) {
    if ((space.info(block).flags & block_flags::kCandidate) == 0) return;
    old.Remove(space, block);
    SweepBlock(block);
  });
}

}  // namespace Atoll
