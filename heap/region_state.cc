#include "heap/region_state.h"

#include <algorithm>
#include <utility>

#include "heap/heap_state.h"
#include "heap/mark_objects.h"
#include "heap/mutator_record.h"
#include "heap/object_model.h"
#include "heap/poison.h"

namespace Atoll {

namespace {
// Ranks of the heap's mutexes; a thread locks in ascending order.
constexpr int kCollectionMutexRank = 100;

// See LeastExtraBytes.
constexpr size_t kLeastExtraShareOfLimit = 16;
constexpr size_t kSmallestLeastExtra = size_t{2} << 20;
constexpr size_t kLargestLeastExtra = size_t{128} << 20;
}  // namespace

RegionState::RegionState(HeapState& heap_state, RegionOptions region_options)
    : heap(heap_state),
      options(std::move(region_options)),
      limit_bytes(options.limit_bytes),
      collection_mutex(kCollectionMutexRank, "region collection"),
      persistents(std::make_shared<PersistentTable>()),
      nursery_blocks(heap.options.nursery_bytes / kBlockSize),
      births_old(heap.options.stress.born_old) {}

RegionState::~RegionState() = default;

Part* RegionState::OwnPart() {
  if (own == nullptr) {
    const uint32_t id = heap.space->TakePartId();
    if (id != 0) own = std::make_unique<Part>(heap.allocator, id);
  }
  return own.get();
}

uintptr_t RegionState::LargeObjectAt(uintptr_t address) const {
  const AddressSpace& space = *heap.space;
  const BlockIndex block = space.BlockOf(address);
  const BlockInfo& info = space.info(block);
  return space.AddressOf(info.space == Space::kLargeTail ? info.next : block);
}

BlockIndex RegionState::TakeBlocks(size_t count, BlockPool::Allowance allowance, bool* zeroed) {
  // Relaxed, here and below: the limit and the counters are checked and changed by mutators of one
  // region under its allocation_mutex, or while it is stopped.
  const size_t limit = limit_bytes.load(std::memory_order_relaxed);
  if (limit != 0) {
    const size_t reserve = allowance == BlockPool::Allowance::kReserve ? ReserveOf(limit) : 0;
    if (BytesUsed() + count * kBlockSize > limit + reserve) return kNoBlock;
  }
  const BlockIndex first = heap.pool.Take(count, allowance, zeroed);
  if (first != kNoBlock) blocks.fetch_add(count, std::memory_order_relaxed);
  return first;
}

void RegionState::GiveBlocks(BlockIndex first, size_t count) {
  heap.pool.Give(first, count);
  blocks.fetch_sub(count, std::memory_order_relaxed);  // as in TakeBlocks
}

void RegionState::FreeLarge(BlockIndex head) {
  const AddressSpace& space = *heap.space;
  BlockInfo& info = space.info(head);
  if (auto* cards = static_cast<CardTable*>(info.cards)) {
    heap.allocator.Free(cards, CardTable::BytesFor(cards->count));
    info.cards = nullptr;
  }
  space.marks(head)[0] = 0;  // a large object's one mark bit
  GiveBlocks(head, info.run_blocks);
}

void RegionState::FreeList(BlockList& list) {
  const AddressSpace& space = *heap.space;
  while (!list.empty()) {
    const BlockIndex block = list.Pop(space);
    if (space.info(block).space == Space::kLarge) {
      FreeLarge(block);
    } else {
      if (space.info(block).space == Space::kOld) {
        std::fill_n(space.marks(block), kMarkWordsPerBlock, 0);
        std::fill_n(space.covers(block), kCoverWordsPerBlock, 0);
      }
      GiveBlocks(block, 1);
    }
  }
}

// Why CheckUnused says no.
ATOLL_COLD static Status IsUsed(const RegionState& region, const Mutator& mutator, bool scopes,
                                const char* done) {
  return {StatusCode::kFailedPrecondition,
          "region \"" + region.options.name + "\" cannot be " + done + ": its mutator \"" +
              mutator.name() + "\" " +
              (scopes ? "has a HandleScope, StackScope or NoCollectScope open; end the scopes"
                      : "is running; EnterNative or Detach it") +
              " first"};
}

Part* RegionState::PartOf(uint32_t object_tag) {
  Part* found = nullptr;
  ForEachPart([&](Part& part) {
    if (part.raw_id == object_tag >> tag::kPartShift) found = &part;
  });
  return found;
}

Status RegionState::CheckUnused(const char* done) const {
  for (const Mutator* mutator : mutators) {
    const bool scopes =
        mutator->record().has_open_handles() || mutator->record().in_no_collect_scope();
    if (ATOLL_LIKELY(mutator->state() == MutatorState::kNative && !scopes)) continue;
    return IsUsed(*this, *mutator, scopes, done);
  }
  return Status::Ok();
}

void RegionState::TakeFinalizersOf(Mutator& mutator) {
  if (!had_affine_finalizers) return;  // spares a look at all finalizers
  std::vector<Finalizer>& due = mutator.record().due_finalizers;
  const size_t before = due.size();
  ForEachFinalizerList([&](std::vector<Finalizer>& list) {
    std::erase_if(list, [&](const Finalizer& finalizer) {
      if (finalizer.owner != &mutator) return false;
      due.push_back(finalizer);
      return true;
    });
  });
  if (due.size() != before) mutator.RequestPoll(poll_bits::kFinalizers);
}

int64_t RegionState::DueExternalBytes() const {
  int64_t bytes = 0;
  for (const Mutator* mutator : mutators) {
    for (const Finalizer& finalizer : mutator->record().due_finalizers) {
      bytes += static_cast<int64_t>(finalizer.external_bytes);
    }
  }
  return bytes;
}

bool RegionState::RenewOwnPart(std::unique_ptr<Part>* old) {
  const uint32_t id = heap.space->TakePartId();
  if (id == 0) return false;
  for (Mutator* mutator : mutators) {
    mutator->record().RetireBuffer();
    TakeFinalizersOf(*mutator);
    if (own != nullptr) own->remembered.Splice(mutator->record().remembered);
  }
  had_affine_finalizers = false;  // only attached mutators have any
  *old = std::exchange(own, std::make_unique<Part>(heap.allocator, id));
  SetBirthsOld(heap.options.stress.born_old);
  return true;
}

void RegionState::SetBirthsOld(bool old) {
  births_old = old;
  born_old_bytes = 0;
  if (old) FreeList(spare_young);  // as large as the nursery was that did not help
  for (Mutator* mutator : mutators) mutator->record().UseYoungTag(BarrierTag());
}

void RegionState::CountBornOld(size_t bytes) {
  if (bytes == 0) return;
  born_old_bytes += bytes;
  stats.born_old_bytes += bytes;
  old_used_bytes.fetch_add(bytes, std::memory_order_relaxed);  // as in TakeBlocks
}

void RegionState::SettleBlock(BlockIndex block) {
  const AddressSpace& space = *heap.space;
  BlockInfo& info = space.info(block);
  MarkObjects(heap, space.AddressOf(block), space.AddressOf(block) + info.top);
  info.space = Space::kOld;
  info.flags = 0;
  space.set_tag(block, own->old_tag());
  FileOldBlock(block);
  CountBornOld(info.top);
}

void RegionState::SettleLarge(BlockIndex head) {
  const AddressSpace& space = *heap.space;
  space.marks(head)[0] = 1;
  space.set_tag(head, own->old_tag());
  own->large.Push(space, head);
  CountBornOld(space.info(head).run_blocks * kBlockSize);
}

std::vector<Finalizer> RegionState::FreeEverything() {
  const AddressSpace& space = *heap.space;
  ATOLL_DCHECK(filling_young.empty() && filling_large.empty(),
               "region \"%s\" is freed while objects are copied into it", options.name.c_str());
  RetireAllocators();
  for (Mutator* mutator : mutators) {
    mutator->record().RetireBuffer();
    mutator->record().remembered.Clear();
    TakeFinalizersOf(*mutator);
  }
  // The next object is allocated into a block that may still be in a cache.
  BlockIndex kept = own == nullptr ? kNoBlock : own->young.Pop(space);
  if (kept == kNoBlock) kept = spare_young.Pop(space);
  FreeList(spare_young);
  std::vector<Finalizer> finalizers;
  ForEachFinalizerList([&](std::vector<Finalizer>& list) {
    finalizers.insert(finalizers.end(), list.begin(), list.end());
    list.clear();
  });
  ForEachPart([&](Part& part) {
    FreeList(part.young);
    for (BlockList* list : part.OldLists()) FreeList(*list);
    FreeList(part.young_large);
    FreeList(part.large);
    part.remembered.Clear();
    part.young_unsendable.clear();
    part.unsendable.clear();
    part.young_weak_entries.clear();
    part.weak_entries.clear();
    if (&part != own.get()) heap.space->ReturnPartId(part.raw_id);
  });
  adopted.clear();
  if (kept != kNoBlock) spare_young.Push(space, kept);
  pins.clear();
  guarded.clear();
  had_finalizers.store(false, std::memory_order_relaxed);  // nobody uses the region
  had_affine_finalizers = false;
  had_several_mutators = mutators.size() > 1;
  unsendable_count = 0;
  eden_blocks = survivor_bytes = young_large_bytes = 0;
  old_used_bytes.store(0, std::memory_order_relaxed);  // as in TakeBlocks
  // What was learnt of these objects says nothing of the next.
  nursery_blocks = heap.options.nursery_bytes / kBlockSize;
  predicted_survival = kFirstPredictedSurvival;
  mass_survivals = 0;
  if (own != nullptr) SetBirthsOld(heap.options.stress.born_old);
  old_limit_bytes = 0;
  last_major_end_nanos = 0;
  // Relaxed: as in TakeBlocks.
  AddExternalBytes(DueExternalBytes() - external_bytes.load(std::memory_order_relaxed));
  return finalizers;
}

void RegionState::FileOldBlock(BlockIndex block) {
  const AddressSpace& space = *heap.space;
  BlockInfo& info = space.info(block);
  info.free_lines = static_cast<uint16_t>(kLinesPerBlock - LineMap::Of(space, block).CountUsed());
  own->OldListOf(info).Push(space, block);
}

BlockIndex RegionState::TakeYoungBlock(BlockPool::Allowance allowance) {
  const AddressSpace& space = *heap.space;
  BlockIndex block = spare_young.Pop(space);
  if (block == kNoBlock) {
    block = TakeBlocks(1, allowance);
    if (block == kNoBlock) return kNoBlock;
    space.info(block).space = Space::kNew;
  }
  UnpoisonMemory(space.AddressOf(block), kBlockSize);
  BlockInfo& info = space.info(block);
  info.top = 0;
  info.age = 0;
  space.set_tag(block, own->young_tag());
  return block;
}

BlockIndex RegionState::TakeLargeRun(size_t run, BlockPool::Allowance allowance, bool* zeroed) {
  const AddressSpace& space = *heap.space;
  const BlockIndex head = TakeBlocks(run, allowance, zeroed);
  if (head == kNoBlock) return kNoBlock;
  space.info(head).space = Space::kLarge;
  space.set_tag(head, own->young_tag());
  for (size_t i = 1; i < run; ++i) {
    const BlockIndex tail = head + static_cast<BlockIndex>(i);
    space.info(tail).space = Space::kLargeTail;
    space.info(tail).next = head;
    space.set_tag(tail, own->old_tag());
  }
  return head;
}

void RegionState::AddExternalBytes(int64_t delta) {
  external_bytes.fetch_add(delta, std::memory_order_relaxed);  // a counter
  heap.pool.AddExternalBytes(delta);
}

size_t RegionState::LeastExtraBytes() const {
  // Relaxed: a statistic.
  const size_t regions = std::max<size_t>(heap.region_count.load(std::memory_order_relaxed), 1);
  return std::clamp(heap.options.limit_bytes / kLeastExtraShareOfLimit / regions,
                    kSmallestLeastExtra, kLargestLeastExtra);
}

size_t RegionState::OldBytes() const {
  return old_used_bytes.load(std::memory_order_relaxed) + ExternalBytes();  // a statistic
}

size_t RegionState::BlocksOverLimit() const {
  const auto excess = [](size_t used, size_t limit) { return used > limit ? used - limit : 0; };
  const size_t limit = limit_bytes.load(std::memory_order_relaxed);  // as in TakeBlocks
  const size_t bytes = std::max(limit == 0 ? 0 : excess(BytesUsed(), limit),
                                excess(heap.pool.used_bytes(), heap.pool.limit_bytes()));
  return (bytes + kBlockSize - 1) / kBlockSize;
}

bool RegionState::HasAttachments() {
  // Relaxed: the caller's own.
  if (!pins.empty() || !guarded.empty() || unsendable_count != 0 || persistents->any_used() ||
      external_bytes.load(std::memory_order_relaxed) != 0) {
    return true;
  }
  bool any = false;
  ForEachPart([&](const Part& part) {
    any |= !part.young_finalizers.empty() || !part.finalizers.empty() ||
           !part.young_weak_entries.empty() || !part.weak_entries.empty();
  });
  return any;
}

bool RegionState::AnyNoCollectScope() const {
  return std::any_of(mutators.begin(), mutators.end(), [](const Mutator* mutator) {
    return mutator->record().in_no_collect_scope();
  });
}

}  // namespace Atoll
