// The slow paths of allocation: taking blocks, large objects, and what is tried
// before an allocation is refused.
#include <algorithm>
#include <cstring>

#include "atoll/mutator.h"
#include "heap/heap_state.h"
#include "heap/mutator_record.h"
#include "heap/object_model.h"
#include "heap/poison.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// Large objects are born young, so their bytes ask for minor collections too, but in a larger
// nursery than small objects': tracing skips them, so little is saved by collecting often.
size_t LargeNurseryBytes(const RegionState& region) {
  return std::max(4 * region.nursery_blocks * kBlockSize, size_t{8} << 20);
}

// Tries what an allocation may try, one thing after another.
class Attempts {
 public:
  Attempts(Mutator& mutator, bool may_collect) : mutator_(mutator), may_collect_(may_collect) {}

  /// The nursery has no room: true when something was done and it is worth looking again.
  bool CollectNursery() {
    if (!may_collect_ || collected_nursery_) return false;
    collected_nursery_ = true;
    Collect(Collector::Urgency::kNurseryFull);
    return true;
  }
  /// Memory was refused: true when it is worth asking again.
  bool FindMemory(size_t bytes) {
    if (!may_collect_) return false;
    RegionState& region = mutator_.region().state();
    if (!collected_all_) {
      collected_all_ = true;
      Collect(Collector::Urgency::kMemoryShort);
      return true;
    }
    if (asked_client_ || region.options.client == nullptr) return false;
    asked_client_ = true;
    const size_t limit = region.limit_bytes.load(std::memory_order_relaxed);  // see RegionState
    const size_t effective = limit != 0 ? limit : region.heap.options.limit_bytes;
    const size_t needed = (limit != 0 ? region.BytesUsed() : region.heap.pool.used_bytes()) + bytes;
    if (needed <= effective) return false;  // it was not this limit that refused
    const size_t raised = region.options.client->NearLimit(needed, effective);
    if (raised <= effective || limit == 0) return false;
    region.limit_bytes.store(raised, std::memory_order_relaxed);  // see RegionState
    return true;
  }

 private:
  void Collect(Collector::Urgency urgency) {
    mutator_.region().state().heap.collector->CollectForAllocation(mutator_, urgency);
  }

  Mutator& mutator_;
  const bool may_collect_;
  bool collected_nursery_ = false;
  bool collected_all_ = false;
  bool asked_client_ = false;
};

BlockPool::Allowance AllowanceFor(bool may_collect) {
  return may_collect ? BlockPool::Allowance::kLimit : BlockPool::Allowance::kReserve;
}

}  // namespace

ObjectPtr Mutator::AllocateSlow(const Type& type, size_t size, CollectMode mode) {
  if (size != type.fixed_size) {
    last_error_ = {StatusCode::kInvalidArgument,
                   "an object of type \"" + type.name() + "\" was to be allocated with " +
                       std::to_string(size) + " bytes, but has " + std::to_string(type.fixed_size) +
                       (type.has_elements() ? " and elements; use AllocateArray" : "")};
    return {};
  }
  if (type.has_elements()) return AllocateArraySlow(type, 0, mode);
  return AllocateBytes(type, size, 0, mode);
}

ObjectPtr Mutator::AllocateArraySlow(const Type& type, size_t length, CollectMode mode) {
  if (!type.has_elements()) {
    last_error_ = {StatusCode::kInvalidArgument,
                   "type \"" + type.name() + "\" has no elements; use Allocate"};
    return {};
  }
  const size_t most = MaximumLength(type);
  if (length > most) {
    last_error_ = {StatusCode::kInvalidArgument,
                   "an object of type \"" + type.name() + "\" was to have " +
                       std::to_string(length) + " elements; " + std::to_string(most) +
                       " is the most that its length field and the address space allow"};
    return {};
  }
  return AllocateBytes(type, SizeForLength(type, length), length, mode);
}

ObjectPtr Mutator::AllocateNoCollect(const Type& type, size_t size) {
  return AllocateSlow(type, size, kNeverCollect);
}

ObjectPtr Mutator::AllocateArrayNoCollect(const Type& type, size_t length) {
  return AllocateArraySlow(type, length, kNeverCollect);
}

// What every slow allocation does first; false: the mutator is not managed, see last_error_.
bool Mutator::BeginSlowAllocation(const char* call, CollectMode* mode) {
  if (state() != MutatorState::kManaged) {
    ReportNotManaged(call);
    last_error_ = {StatusCode::kFailedPrecondition,
                   "mutator \"" + name() + "\" allocates in state " + ToString(state()) +
                       "; LeaveNative or a ManagedScope first"};
    return false;
  }
  RegionState& region = region_->state();
  const StressOptions& stress = region.heap.options.stress;
  if (no_collect_depth_ != 0) *mode = kNeverCollect;
  if (ATOLL_UNLIKELY(stress.collect_every != 0) && *mode == kMayCollect &&
      (region.slow_allocations.fetch_add(1, std::memory_order_relaxed) + 1) %
              stress.collect_every ==
          0) {
    region.heap.collector->CollectForAllocation(*this, Collector::Urgency::kNurseryFull);
  }
  return true;
}

void Mutator::RefuseMemory(size_t size, const std::string& what, CollectMode mode) {
  const RegionState& region = region_->state();
  const BlockPool& pool = region.heap.pool;
  // Relaxed: for a message.
  const size_t limit = region.limit_bytes.load(std::memory_order_relaxed);
  const size_t blocks = (size + kBlockSize - 1) / kBlockSize * kBlockSize;  // it may need
  const bool may_collect = mode == kMayCollect;
  const auto reserve_of = [&](size_t bytes) { return may_collect ? 0 : bytes; };
  const auto uses = [](size_t used, size_t limit_bytes) {
    return " uses " + std::to_string(used) + " bytes of its limit of " +
           std::to_string(limit_bytes);
  };
  std::string why;
  std::string way_out = "; drop objects, or raise the limit";
  if (limit != 0 && region.BytesUsed() + blocks > limit + reserve_of(region.ReserveOf(limit))) {
    why = "region \"" + region.options.name + "\"" + uses(region.BytesUsed(), limit);
  } else if (pool.used_bytes() + blocks > pool.limit_bytes() + reserve_of(pool.reserve_bytes())) {
    why = "heap \"" + region.heap.options.name + "\"" + uses(pool.used_bytes(), pool.limit_bytes());
  } else {
    why = "the system refuses memory, or the address space reserved for heaps is used up; heap \"" +
          region.heap.options.name + "\"" + uses(pool.used_bytes(), pool.limit_bytes());
    way_out =
        "; drop objects, or give the process more (HeapOptions::reservation_bytes, ulimit -v)";
  }
  last_error_ = {
      StatusCode::kResourceExhausted,
      "no " + std::to_string(size) + " bytes for " + what + ": " + why +
          (may_collect ? " after collecting" : " and its reserve, and may not collect here") +
          way_out};
}

ObjectPtr Mutator::AllocateBytes(const Type& type, size_t size, size_t length, CollectMode mode) {
  if (!BeginSlowAllocation("Allocate", &mode)) return {};
  const uintptr_t object = type.flags.non_moving          ? TakeNonMoving(size, mode)
                           : size > kLargeObjectThreshold ? TakeLarge(size, mode)
                                                          : TakeBytes(size, mode);
  if (object == 0) {
    RefuseMemory(size, "an object of type \"" + type.name() + "\"", mode);
    return {};
  }
  const uint8_t flags = size > kLargeObjectThreshold ? header::kLarge : 0;
  *reinterpret_cast<Word*>(object) = type.header_word | flags;
  if (type.has_elements()) StoreLength(type, object, length);
  if (ATOLL_UNLIKELY(region_->state().heap.options.stress.every_allocation)) limit_ = top_;
  const ObjectPtr result(object);
  // Born old: its first stores need no barrier, like those into a young object.
  if (type.flags.non_moving && size <= kLargeObjectThreshold) RememberForStores(result);
  if (type.flags.unsendable) NoteUnsendable(result);
  return result;
}

uintptr_t Mutator::AllocateRawSlow(size_t bytes) {
  CollectMode mode = kMayCollect;
  if (!BeginSlowAllocation("AllocateRaw", &mode)) return 0;
  ATOLL_DCHECK(bytes <= kLargeObjectThreshold && bytes % kGranule == 0,
               "%zu bytes of raw memory: it is a multiple of 8, at most %zu", bytes,
               kLargeObjectThreshold);
  const uintptr_t at = TakeBytes(bytes, mode);
  if (at == 0) RefuseMemory(bytes, "packed objects", mode);
  if (ATOLL_UNLIKELY(region_->state().heap.options.stress.every_allocation)) limit_ = top_;
  return at;
}

uintptr_t Mutator::TakeBytes(size_t size, CollectMode mode) {
  RegionState& region = region_->state();
  MutatorRecord& record = *record_;
  Attempts attempts(*this, mode == kMayCollect);
  for (;;) {
    if (buffer_end_ - top_ >= size) {
      const uintptr_t object = top_;
      top_ += size;
      ZeroBody(object, size);
      return object;
    }
    if (record.TakeBufferAtHand(size)) continue;
    bool full = false;
    {
      platform::MutexLock lock(region.allocation_mutex);
      full = !region.NurseryHasRoom();
      if (!full && record.TakeBuffer(size, AllowanceFor(mode == kMayCollect))) continue;
    }
    if (full) {
      if (attempts.CollectNursery()) continue;
      // Not allowed to collect, or somebody else's NoCollectScope forbids it: grow.
      RequestPoll(poll_bits::kCollect);
      platform::MutexLock lock(region.allocation_mutex);
      if (!record.TakeBuffer(size, BlockPool::Allowance::kReserve)) return 0;
      continue;
    }
    if (!attempts.FindMemory(kBlockSize)) return 0;
  }
}

uintptr_t Mutator::TakeLarge(size_t size, CollectMode mode) {
  RegionState& region = region_->state();
  const AddressSpace& space = *region.heap.space;
  const size_t run = (size + kBlockSize - 1) / kBlockSize;
  Attempts attempts(*this, mode == kMayCollect);
  for (;;) {
    bool wants_collection = false;
    {
      platform::MutexLock lock(region.allocation_mutex);
      const bool nursery_full = region.young_large_bytes != 0 &&
                                region.young_large_bytes + size > LargeNurseryBytes(region);
      const bool old_full = region.OldBytes() + region.young_large_bytes + size > region.OldLimit();
      wants_collection = nursery_full || old_full;
    }
    if (wants_collection) {
      if (attempts.CollectNursery()) continue;
      if (mode == kNeverCollect) RequestPoll(poll_bits::kCollect);
    }
    bool zeroed = false;
    BlockIndex head;
    {
      platform::MutexLock lock(region.allocation_mutex);
      head = region.TakeLargeRun(run, AllowanceFor(mode == kMayCollect), &zeroed);
    }
    if (head == kNoBlock) {
      if (!attempts.FindMemory(run * kBlockSize)) return 0;
      continue;
    }
    const uintptr_t object = space.AddressOf(head);
    if (!zeroed) std::memset(reinterpret_cast<void*>(object), 0, size);
    platform::MutexLock lock(region.allocation_mutex);
    if (region.births_old) {
      region.SettleLarge(head);
    } else {
      region.own->young_large.Push(space, head);
      region.young_large_bytes += run * kBlockSize;
    }
    return object;
  }
}

uintptr_t Mutator::TakeNonMoving(size_t size, CollectMode mode) {
  if (size > kLargeObjectThreshold) return TakeLarge(size, mode);  // never moves either
  RegionState& region = region_->state();
  const AddressSpace& space = *region.heap.space;
  Attempts attempts(*this, mode == kMayCollect);
  for (;;) {
    if (region.OldBytes() + size > region.OldLimit()) {
      if (attempts.CollectNursery()) continue;
      if (mode == kNeverCollect) RequestPoll(poll_bits::kCollect);
    }
    {
      platform::MutexLock lock(region.non_moving_mutex);
      const uintptr_t object = region.non_moving.Allocate(
          region, size, OldAllocator::Source::kNonMoving, AllowanceFor(mode == kMayCollect));
      if (object != 0) {
        std::memset(reinterpret_cast<void*>(object), 0, size);
        MarkBornOld(space, object, size);
        region.old_used_bytes.fetch_add(size, std::memory_order_relaxed);  // see RegionState
        return object;
      }
    }
    if (!attempts.FindMemory(kBlockSize)) return 0;
  }
}

}  // namespace Atoll
