#include "atoll/mutator.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "atoll/handles.h"
#include "heap/heap_state.h"
#include "heap/large_objects.h"
#include "heap/mark_objects.h"
#include "heap/mutator_record.h"
#include "heap/object_model.h"
#include "heap/region_state.h"

namespace Atoll {

Mutator::Mutator(Region& region, std::string name)
    : MutatorThread(std::move(name)),
      region_(&region),
      record_(new MutatorRecord(*this, region.state().heap.allocator)) {
  const HeapState& heap = region.state().heap;
  tags_ = heap.space->biased_tags();
  base_ = heap.space->base();
  reservation_size_ = heap.space->size();
  types_ = heap.types.types();
  encoding_ = heap.options.encoding;
  young_tag_ = region.state().BarrierTag();
}

Mutator::~Mutator() {
  if (manager() != nullptr) {
    if (record_->has_open_handles() || no_collect_depth_ != 0) {
      region_->state().heap.Report(Violation::Kind::kHandlesAtExit,
                                   "mutator \"" + name() +
                                       "\" is destroyed while a HandleScope, StackScope or "
                                       "NoCollectScope is open; its handles are "
                                       "dropped. End the scopes first, and call Detach to be told");
      ShrinkHandles(nullptr);
      stack_refs_ = nullptr;
      no_collect_depth_ = 0;
    }
    // Refused only for open scopes, which are closed now, or on a wrong thread, which is fatal.
    const Status status = Detach();
    ATOLL_CHECK(status.ok(), "%s", status.message().c_str());
  }
  delete record_;
}

Status Mutator::Detach() {
  if (record_->has_open_handles() || no_collect_depth_ != 0) {
    return {StatusCode::kFailedPrecondition,
            "mutator \"" + name() +
                "\" cannot detach while a HandleScope, StackScope or NoCollectScope "
                "of it is open; end the scopes first"};
  }
  if (manager() == nullptr || (state() != MutatorState::kNative && Current() != this)) {
    return {
        StatusCode::kFailedPrecondition,
        "mutator \"" + name() + "\" cannot detach: it is " +
            (manager() == nullptr ? "not attached" : "running on another thread; detach there")};
  }
  RegionState& region = region_->state();
  if (region.heap.safepoints.InsideStop()) {
    return {StatusCode::kFailedPrecondition,
            "mutator \"" + name() +
                "\" cannot detach inside a stop of this thread's; detach it after that"};
  }
  if (state() == MutatorState::kManaged) EnterNative();
  SafepointMutexLock collection(region.collection_mutex);
  {
    platform::MutexLock regions(region.heap.regions_mutex);  // waits for a group collection
    platform::MutexLock allocation(region.allocation_mutex);
    record_->RetireBuffer();
    region.own->remembered.Splice(record_->remembered);
    std::erase(region.mutators, this);
    region.TakeFinalizersOf(*this);
  }
  if (Status status = region.heap.safepoints.Detach(this); !status.ok()) return status;
  region.heap.pool.Leave();  // the thread may be about to end
  record_->RunDueFinalizers();
  return Status::Ok();
}

bool Mutator::TryRewind() {
  RegionState& region = region_->state();
  if (region.own == nullptr || region.HasAttachments() || !record_->remembered.empty() ||
      record_->has_open_handles() || no_collect_depth_ != 0 || region.heap.options.stress.poison) {
    return false;
  }
  // Relaxed: a counter that only this thread changes.
  const size_t blocks = region.blocks.load(std::memory_order_relaxed);
  const size_t used = record_->buffer_block == kNoBlock ? 0 : 1;
  if (region.own->young.block_count() != used ||
      blocks != used + region.spare_young.block_count() || region.survivor_bytes != 0) {
    return false;
  }
  if (used != 0) {
    top_ = region.heap.space->AddressOf(record_->buffer_block);
    if (limit_ != buffer_end_) limit_ = top_;
  }
  return true;
}

void Mutator::OnPoll(uint32_t client_bits) {
  if ((client_bits & poll_bits::kFinalizers) != 0) record_->RunDueFinalizers();
  if ((client_bits & poll_bits::kCollect) != 0) {
    if (no_collect_depth_ != 0) {
      RequestPoll(poll_bits::kCollect);  // at a poll outside the scope
    } else {
      region_->state().heap.collector->CollectForAllocation(*this,
                                                            Collector::Urgency::kNurseryFull);
    }
  }
}

void Mutator::ReportNotManaged(const char* call) {
  region_->state().heap.Report(
      Violation::Kind::kNotManaged,
      std::string(call) + " by mutator \"" + name() + "\" in state " + ToString(state()) +
          "; only managed mutators touch the heap: LeaveNative or a ManagedScope first");
}

void Mutator::ReportStoreInitialIntoOld(ObjectPtr object) {
  // Born old, and remembered as a whole until the next poll: legal.
  if ((LoadFlags(object.address()) & header::kRemembered) != 0) return;
  region_->state().heap.Report(
      Violation::Kind::kStoreInitialIntoOld,
      "StoreInitial into an object of type \"" + TypeOf(object).name() +
          "\" that is not young any more; only Store has the barrier it needs. Stored with it");
}

void Mutator::ReportWrongSlot(const char* call, bool takes_compressed, Slot slot, Ref value) {
  char word[32];
  std::snprintf(word, sizeof word, "0x%zx", static_cast<size_t>(value.word));
  const char* const kinds[] = {"words", "compressed"};
  std::string what = std::string(call) + " by mutator \"" + name() + "\" ";
  if (takes_compressed != encoding_.compressed) {
    what += std::string("under an encoding whose slots are ") + kinds[takes_compressed] +
            ", in a heap whose slots are " + kinds[encoding_.compressed] +
            "; name the heap's encoding as the template argument";
  } else if (slot.is_compressed() != takes_compressed) {
    what += std::string("into a slot made for ") + kinds[slot.is_compressed()] +
            " references, in a heap whose slots are " + kinds[takes_compressed] +
            "; make it by ObjectSlot";
  } else {
    what += std::string("of ") + word +
            ", which is neither zero nor a reference into the compressed range; immediates need "
            "another encoding";
  }
  region_->state().heap.Report(Violation::Kind::kWrongSlot, what + ". Not stored");
}

// ---- Identity and in-place changes

uint32_t Mutator::IdentityHash(ObjectPtr object) {
  std::atomic_ref<uint32_t> half(*reinterpret_cast<uint32_t*>(object.address() + 4));
  // Relaxed, both: the hash is a number and orders nothing.
  uint32_t hash = half.load(std::memory_order_relaxed);
  if (hash != 0) return hash;
  const uint32_t fresh = region_->state().heap.NewIdentityHash();
  return half.compare_exchange_strong(hash, fresh, std::memory_order_relaxed) ? fresh : hash;
}

size_t Mutator::SizeOf(ObjectPtr object) const {
  return ObjectSize(TypeOf(object), object.address());
}

size_t Mutator::LengthOf(ObjectPtr object) const {
  const Type& type = TypeOf(object);
  return type.has_elements() ? Atoll::LengthOf(type, object.address()) : 0;
}

bool Mutator::IsInShared(ObjectPtr object) const {
  const AddressSpace& space = *region_->state().heap.space;
  return (TagOf(object.address()) & tag::kShared) != 0 &&
         space.info(space.BlockOf(object.address())).space == Space::kShared;
}

// Lists an instance of an unsendable type, new or newly so.
void Mutator::NoteUnsendable(ObjectPtr object) {
  RegionState& region = region_->state();
  platform::MutexLock lock(region.allocation_mutex);
  const bool young = TagOf(object.address()) == young_tag_;
  (young ? region.own->young_unsendable : region.own->unsendable).push_back(object.address());
  ++region.unsendable_count;
}

Status Mutator::ChangeType(ObjectPtr object, const Type& type) {
  const Type& old_type = TypeOf(object);
  if (IsInShared(object)) {
    return {StatusCode::kInvalidArgument,
            "a shared object of type \"" + old_type.name() + "\" cannot become a \"" + type.name() +
                "\": shared objects are never written; copy it first"};
  }
  const bool same_shape =
      old_type.fixed_size == type.fixed_size && old_type.element_size == type.element_size &&
      old_type.length_offset == type.length_offset && old_type.length_width == type.length_width;
  if (!same_shape) {
    return {StatusCode::kInvalidArgument,
            "an object of type \"" + old_type.name() + "\" cannot become a \"" + type.name() +
                "\": sizes and length fields differ; types that change into each other are laid "
                "out alike"};
  }
  // The low half without the flags: three bytes of type id and embedder bits; as one word with the
  // flags byte re-read, since only this region's mutators and stopped collectors write it.
  std::atomic_ref<uint32_t> half(*reinterpret_cast<uint32_t*>(object.address()));
  constexpr uint32_t kIdMask = header::kMaxTypeId << header::kTypeShift;
  uint32_t old_half = half.load(std::memory_order_relaxed);  // relaxed: see IdentityHash
  while (!half.compare_exchange_weak(
      old_half, (old_half & ~kIdMask) | (static_cast<uint32_t>(type.header_word) & kIdMask))) {
  }
  if (type.flags.unsendable && !old_type.flags.unsendable) NoteUnsendable(object);
  return Status::Ok();
}

Status Mutator::ShrinkInPlace(ObjectPtr object, size_t length) {
  const Type& type = TypeOf(object);
  if (IsInShared(object)) {
    return {StatusCode::kInvalidArgument,
            "a shared object of type \"" + type.name() +
                "\" cannot shrink: shared objects are never written; copy it first"};
  }
  if (!type.has_elements() || length > Atoll::LengthOf(type, object.address())) {
    return {StatusCode::kInvalidArgument,
            "an object of type \"" + type.name() + "\" cannot shrink to " + std::to_string(length) +
                " elements: it has " +
                std::to_string(type.has_elements() ? Atoll::LengthOf(type, object.address()) : 0)};
  }
  const size_t old_size = ObjectSize(type, object.address());
  const size_t new_size = SizeForLength(type, length);
  StoreLength(type, object.address(), length);
  if (new_size < old_size) {
    const uintptr_t end = object.address() + new_size;
    if ((LoadFlags(object.address()) & header::kLarge) == 0) {
      WriteFiller(end, old_size - new_size);
    } else {  // slots in the part cut off may be remembered
      std::memset(reinterpret_cast<void*>(end), 0, old_size - new_size);
    }
  }
  return Status::Ok();
}

// ---- Pins, finalizers, external memory

Status Mutator::Pin(ObjectPtr object) {
  RegionState& region = region_->state();
  platform::MutexLock lock(region.allocation_mutex);  // under which objects become shared
  if (!InReservation(object.address()) || (TagOf(object.address()) & tag::kShared) != 0) {
    return {StatusCode::kInvalidArgument,
            "only private objects are pinned; shared ones never move and need none"};
  }
  if (region.PartOf(TagOf(object.address())) == nullptr) {
    return {StatusCode::kInvalidArgument,
            "mutator \"" + name() + "\" cannot pin an object that is not of its region \"" +
                region.options.name + "\"; pin it by a mutator of its own region"};
  }
  ++region.pins[object.address()];
  region.heap.space->info(region.heap.space->BlockOf(object.address())).flags |=
      block_flags::kPinned;
  return Status::Ok();
}

Status Mutator::Unpin(ObjectPtr object) {
  RegionState& region = region_->state();
  platform::MutexLock lock(region.allocation_mutex);
  const auto found = region.pins.find(object.address());
  if (found == region.pins.end()) {
    return {StatusCode::kInvalidArgument, "the object is not pinned; pins and unpins are paired"};
  }
  // The block's flag stays until the next major collection, which sets the flags anew.
  if (--found->second == 0) region.pins.erase(found);
  return Status::Ok();
}

Status Mutator::AddFinalizer(ObjectPtr object, FinalizerKind kind, FinalizerFn fn, void* data,
                             size_t external) {
  if (fn == nullptr && kind != FinalizerKind::kGuardian) {
    return {StatusCode::kInvalidArgument, "a finalizer needs a function; only guardians have none"};
  }
  RegionState& region = region_->state();
  {
    platform::MutexLock lock(region.allocation_mutex);  // under which objects become shared
    if ((TagOf(object.address()) & tag::kShared) != 0) {
      return {StatusCode::kInvalidArgument, "an object of type \"" + TypeOf(object).name() +
                                                "\" is shared; finalizers are for private objects"};
    }
    region.had_finalizers.store(true, std::memory_order_relaxed);  // see RegionState
    region.had_affine_finalizers |= kind == FinalizerKind::kThreadAffine;
    const bool young = TagOf(object.address()) == young_tag_;
    (young ? region.own->young_finalizers : region.own->finalizers)
        .push_back({object.address(), fn, data, external,
                    kind == FinalizerKind::kThreadAffine ? this : nullptr, kind});
  }
  if (external != 0) AdjustExternalBytes(static_cast<int64_t>(external));
  return Status::Ok();
}

void Mutator::AdjustExternalBytes(int64_t delta) {
  RegionState& region = region_->state();
  region.AddExternalBytes(delta);
  if (delta > 0 && region.OldBytes() > region.OldLimit()) {
    RequestPoll(poll_bits::kCollect);
  }
}

// ---- Barriers

void Mutator::RememberSlow(ObjectPtr object, Slot slot) {
  const uintptr_t at = object.address();
  RememberedSet& set = record_->remembered;
  if ((LoadFlags(at) & header::kLarge) == 0) {
    set.AddObject(at);
  } else {
    RememberSlotOfLarge(region_->state(), set, at, slot.address());
  }
}

void Mutator::RememberForStores(ObjectPtr object) {
  if (!CheckManaged("RememberForStores")) return;
  const uint32_t object_tag = TagOf(object.address());
  if (object_tag == young_tag_ || (object_tag & tag::kShared) != 0) return;
  record_->remembered.AddObject(object.address());
}

void Mutator::StoreIntoSharedSlow(ObjectPtr object, Slot slot, Ref value) {
  if (MayStoreIntoShared(object, value)) slot.StoreRawRelease(value);
}

bool Mutator::MayStoreIntoShared(ObjectPtr object, Ref value) {
  const HeapState& heap = region_->state().heap;
  const AddressSpace& space = *heap.space;
  const Type& type = TypeOf(object);
  const BlockIndex block = space.BlockOf(object.address());
  const uintptr_t target = encoding_.Decode(value.word);
  const bool is_ref = encoding_.IsRef(value.word) && InReservation(target);
  const bool shared_value = !is_ref || (TagOf(target) & tag::kShared) != 0;
  if (space.info(block).space == Space::kProgram) {
    if (shared_value) return true;
    heap.Report(Violation::Kind::kPrivateIntoProgram,
                "a private object of type \"" + TypeOf(ObjectPtr(target)).name() +
                    "\" was to be stored into a Program object of type \"" + type.name() +
                    "\"; Program objects hold shared values only: publish the value first. The "
                    "store was not done");
    return false;
  }
  heap.Report(Violation::Kind::kStoreIntoShared,
              "a value" + (is_ref ? " of type \"" + TypeOf(ObjectPtr(target)).name() + "\"" : "") +
                  " was to be stored into a shared object of type \"" + type.name() +
                  "\"; shared objects are never written: copy it first. The store was not done");
  return false;
}

// ---- Collecting

Status Mutator::Collect(Collection kind) {
  if (state() != MutatorState::kManaged) {
    ReportNotManaged("Collect");
    return {StatusCode::kFailedPrecondition, "mutator \"" + name() +
                                                 "\" asks for a collection in state " +
                                                 ToString(state()) + "; LeaveNative first"};
  }
  if (no_collect_depth_ != 0) {
    return {StatusCode::kFailedPrecondition,
            "mutator \"" + name() +
                "\" asks for a collection inside its own NoCollectScope; end "
                "the scope first"};
  }
  return region_->state().heap.collector->Collect(*this, kind);
}

// ---- Handles

Word* Mutator::GrowHandles() {
  auto segment = std::make_unique_for_overwrite<MutatorRecord::HandleSegment>();
  segment->previous = std::move(record_->handles);
  record_->handles = std::move(segment);
  handle_next_ = record_->handles->words;
  handle_limit_ = handle_next_ + MutatorRecord::kHandlesPerSegment;
  return handle_next_;
}

void Mutator::ShrinkHandles(Word* limit) {
  std::unique_ptr<MutatorRecord::HandleSegment>& handles = record_->handles;
  while (handle_limit_ != limit) {
    if (handles->previous == nullptr) {  // the scope began before there was a segment: one is kept
      handle_next_ = handles->words;
      return;
    }
    handles = std::move(handles->previous);
    handle_limit_ = handles->words + MutatorRecord::kHandlesPerSegment;
  }
}

// ---- The record

// Records what the buffer holds, and leaves the mutator without one.
void MutatorRecord::CloseBuffer() {
  const HeapState& heap = mutator.region_->state().heap;
  if (buffer_block != kNoBlock) {
    heap.space->info(buffer_block).top =
        static_cast<uint32_t>(mutator.top_ - heap.space->AddressOf(buffer_block));
  } else if (buffer_hole != 0) {
    MarkObjects(heap, buffer_hole, mutator.top_);
    born_old_bytes += mutator.top_ - buffer_hole;
  }
  buffer_block = kNoBlock;
  buffer_hole = 0;
  mutator.top_ = mutator.limit_ = mutator.buffer_end_ = 0;
}

void MutatorRecord::UseBuffer(uintptr_t start, uintptr_t end) {
  mutator.top_ = start;
  mutator.limit_ = mutator.buffer_end_ = end;
}

void MutatorRecord::RetireBuffer() {
  CloseBuffer();
  RegionState& region = mutator.region_->state();
  births.RetireLocked(region);
  region.CountBornOld(std::exchange(born_old_bytes, 0));
}

bool MutatorRecord::TakeBufferAtHand(size_t size) {
  RegionState& region = mutator.region_->state();
  if (!region.births_old) return false;
  const OldAllocator::Hole hole = births.TakeHole(*region.heap.space, size);
  if (hole.start == 0) return false;
  CloseBuffer();
  buffer_hole = hole.start;
  UseBuffer(hole.start, hole.end);
  return true;
}

bool MutatorRecord::TakeBuffer(size_t size, BlockPool::Allowance allowance) {
  RegionState& region = mutator.region_->state();
  const AddressSpace& space = *region.heap.space;
  CloseBuffer();
  if (region.births_old) {
    region.CountBornOld(std::exchange(born_old_bytes, 0));
    const OldAllocator::Hole hole = births.TakeHoleElsewhere(region, size, allowance);
    buffer_hole = hole.start;
    UseBuffer(hole.start, hole.end);
    return hole.start != 0;
  }
  const BlockIndex block = region.TakeYoungBlock(allowance);
  if (block == kNoBlock) return false;
  region.own->young.Push(space, block);
  ++region.eden_blocks;
  buffer_block = block;
  UseBuffer(space.AddressOf(block), space.AddressOf(block) + kBlockSize);
  return true;
}

void MutatorRecord::RunDueFinalizers() {
  std::vector<Finalizer> due;
  {
    platform::MutexLock lock(mutator.region_->state().allocation_mutex);
    due.swap(due_finalizers);
  }
  for (const Finalizer& finalizer : due) {
    finalizer.fn(finalizer.data);
    if (finalizer.external_bytes != 0) {
      mutator.region_->state().AddExternalBytes(-static_cast<int64_t>(finalizer.external_bytes));
    }
  }
}

}  // namespace Atoll
