#include "gc/cycle.h"

namespace Atoll {

uintptr_t SurvivorAllocator::AllocateSlow(RegionState& region, size_t size) {
  const AddressSpace& space = *region.heap.space;
  platform::MutexLock lock(region.allocation_mutex);
  const BlockIndex block = region.TakeYoungBlock(BlockPool::Allowance::kReserve);
  if (block == kNoBlock) return 0;
  Flush(space);
  space.info(block).age = 1;
  blocks_.Push(space, block);
  const uintptr_t at = space.AddressOf(block);
  cursor_ = at + size;
  limit_ = at + kBlockSize;
  return at;
}

namespace {

// A remembered set was refused memory since the last minor collection.
bool TakeOverflow(RegionState& region) {
  bool any = false;
  auto take = [&any](RememberedSet& set) {
    any |= set.overflowed;
    set.overflowed = false;
  };
  region.ForEachPart([&](Part& part) { take(part.remembered); });
  for (Mutator* mutator : region.mutators) take(mutator->record().remembered);
  return any;
}

}  // namespace

std::unique_ptr<Cycle> Cycle::Create(RegionState& region, CycleKind kind, int workers) {
  const bool overflowed = TakeOverflow(region);
  const bool scan_all_old =
      kind == CycleKind::kEvacuation || (overflowed && kind == CycleKind::kMinor);
  if (scan_all_old) workers = 1;
  const RefEncoding& encoding = region.heap.options.encoding;
  if (encoding == PlainPointers::kEncoding) {
    return CreateCycle<PlainPointers>(region, kind, workers, scan_all_old);
  }
  if (encoding == LowTagOne::kEncoding)
    return CreateCycle<LowTagOne>(region, kind, workers, scan_all_old);
  if (encoding == NanBoxing::kEncoding)
    return CreateCycle<NanBoxing>(region, kind, workers, scan_all_old);
  if (encoding == HeaderBefore::kEncoding)
    return CreateCycle<HeaderBefore>(region, kind, workers, scan_all_old);
  if (encoding == CompressedPointers::kEncoding)
    return CreateCycle<CompressedPointers>(region, kind, workers, scan_all_old);
  return CreateCycle<RuntimeEncoding>(region, kind, workers, scan_all_old);
}

}  // namespace Atoll
