#include "heap/large_objects.h"

#include <atomic>
#include <cstring>

#include "heap/heap_state.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// The cards of the object's block, made at first use; null when memory is refused.
CardTable* CardsOf(RegionState& region, RememberedSet& set, uintptr_t object) {
  const AddressSpace& space = *region.heap.space;
  const BlockIndex block = space.BlockOf(object);
  std::atomic_ref<void*> cards(space.info(block).cards);
  // Acquire: pairs with the release below, so the table's count and zeroes are seen.
  if (void* table = cards.load(std::memory_order_acquire)) return static_cast<CardTable*>(table);
  platform::MutexLock lock(region.allocation_mutex);
  // Relaxed: written under this lock only.
  if (void* table = cards.load(std::memory_order_relaxed)) return static_cast<CardTable*>(table);
  const Type& type = region.heap.types.OfHeader(HeaderOf(object).load(std::memory_order_relaxed));
  const uint64_t count = (ObjectSize(type, object) - kHeaderSize) / kCardSize + 1;
  auto* table =
      static_cast<CardTable*>(region.heap.allocator.AllocateZeroed(CardTable::BytesFor(count)));
  if (table == nullptr) return nullptr;
  table->count = count;
  if (!set.carded.TryPush(block)) {
    region.heap.allocator.Free(table, CardTable::BytesFor(count));
    return nullptr;
  }
  cards.store(table, std::memory_order_release);
  return table;
}

}  // namespace

void RememberSlotOfLarge(RegionState& region, RememberedSet& set, uintptr_t object,
                         uintptr_t slot) {
  if (set.slots.size() < RememberedSet::kMaxSlots && set.slots.TryPush(slot)) return;
  CardTable* cards = CardsOf(region, set, object);
  if (cards == nullptr) {
    set.overflowed = true;
    return;
  }
  std::atomic_ref<uint8_t> card(cards->card((slot - object - kHeaderSize) / kCardSize));
  // Relaxed: read while the region is stopped.
  if (card.load(std::memory_order_relaxed) == 0) card.store(1, std::memory_order_relaxed);
}

}  // namespace Atoll
