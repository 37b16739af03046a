#include "atoll/transferable_buffer.h"

#include <new>

#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {
namespace {

// What a buffer's finalizer frees. Allocated bytes lie behind it.
struct alignas(16) Holder {
  GroupAllocator& allocator;
  void* bytes;
  size_t length;
  TransferableBuffer::FreeFn free;  // null: they were allocated
  void* context;
};

void FreeHolder(Holder* holder) {
  GroupAllocator& allocator = holder->allocator;
  allocator.Free(holder, sizeof(Holder) + (holder->free == nullptr ? holder->length : 0));
}

// A FinalizerFn.
void FreeBytes(void* data) {
  auto* holder = static_cast<Holder*>(data);
  if (holder->free != nullptr) holder->free(holder->bytes, holder->length, holder->context);
  FreeHolder(holder);
}

Word& WordAt(ObjectPtr object, uint32_t offset) {
  return *reinterpret_cast<Word*>(object.address() + offset);
}

// A TypeInfo::transfer.
void Move(ObjectPtr from, ObjectPtr to) {
  for (const uint32_t offset :
       {TransferableBuffer::kBytesOffset, TransferableBuffer::kLengthOffset}) {
    WordAt(to, offset) = WordAt(from, offset);
    WordAt(from, offset) = 0;
  }
}

bool HasRoom(const RegionState& region, size_t bytes) {
  const auto fits = [bytes](size_t used, size_t limit) {
    return used <= limit && bytes <= limit - used;
  };
  const size_t limit = region.limit_bytes.load(std::memory_order_relaxed);  // as in TakeBlocks
  return (limit == 0 || fits(region.BytesUsed(), limit)) &&
         fits(region.heap.pool.used_bytes(), region.heap.pool.limit_bytes());
}

Status Refuse(StatusCode code, const Type& type, const std::string& why) {
  return {code, "a buffer of type \"" + type.name() + "\" cannot be made: " + why};
}

Status Check(Mutator& mutator, const Type& type) {
  if (mutator.state() != MutatorState::kManaged) {
    mutator.ReportNotManaged("TransferableBuffer");
    return Refuse(StatusCode::kFailedPrecondition, type,
                  "mutator \"" + mutator.name() + "\" is not managed; LeaveNative first");
  }
  if (type.details->transfer != Move) {
    return Refuse(StatusCode::kInvalidArgument, type,
                  "it is not a type of buffers; make one by TransferableBuffer::RegisterType");
  }
  return Status::Ok();
}

// An object for the holder's bytes; if there is none, the holder goes, and adopted bytes stay.
Result<ObjectPtr> MakeObject(Mutator& mutator, const Type& type, Holder* holder) {
  const ObjectPtr object = mutator.Allocate(type);
  Status status;
  if (object) {
    status =
        mutator.AddFinalizer(object, FinalizerKind::kNative, FreeBytes, holder, holder->length);
  } else {
    status = mutator.last_error();
  }
  if (!status.ok()) {
    FreeHolder(holder);
    return status;
  }
  WordAt(object, TransferableBuffer::kBytesOffset) = reinterpret_cast<Word>(holder->bytes);
  WordAt(object, TransferableBuffer::kLengthOffset) = holder->length;
  return object;
}

}  // namespace

Result<const Type*> TransferableBuffer::RegisterType(Heap& heap, const std::string& name) {
  TypeInfo info;
  info.name = name;
  info.fixed_size = kObjectSize;
  info.transfer = Move;
  return heap.RegisterType(info);
}

Result<ObjectPtr> TransferableBuffer::Allocate(Mutator& mutator, const Type& type, size_t length) {
  if (Status status = Check(mutator, type); !status.ok()) return status;
  const RegionState& region = mutator.region().state();
  // Bytes of buffers that are garbage count until a major collection finds them.
  if (!HasRoom(region, length)) {
    const Status collected = mutator.Collect(Mutator::Collection::kMajor);
    if (!collected.ok() || !HasRoom(region, length)) {
      const size_t limit = region.limit_bytes.load(std::memory_order_relaxed);  // for a message
      return Refuse(
          StatusCode::kResourceExhausted, type,
          "it asks for " + std::to_string(length) + " bytes; heap \"" + region.heap.options.name +
              "\" uses " + std::to_string(region.heap.pool.used_bytes()) + " of " +
              std::to_string(region.heap.pool.limit_bytes()) +
              (limit == 0
                   ? std::string()
                   : ", and region \"" + region.options.name + "\" " +
                         std::to_string(region.BytesUsed()) + " of " + std::to_string(limit)) +
              "; drop objects, or raise the limit");
    }
  }
  GroupAllocator& allocator = region.heap.allocator;
  void* memory = allocator.AllocateZeroed(sizeof(Holder) + length);
  if (memory == nullptr) {
    return Refuse(StatusCode::kResourceExhausted, type,
                  "the system has no memory for " + std::to_string(length) + " bytes");
  }
  auto* bytes = static_cast<std::byte*>(memory) + sizeof(Holder);
  return MakeObject(mutator, type, new (memory) Holder{allocator, bytes, length, nullptr, nullptr});
}

Result<ObjectPtr> TransferableBuffer::Adopt(Mutator& mutator, const Type& type, void* bytes,
                                            size_t length, FreeFn free, void* context) {
  if (Status status = Check(mutator, type); !status.ok()) return status;
  if (bytes == nullptr || free == nullptr) {
    return Refuse(StatusCode::kInvalidArgument, type,
                  "there are no bytes, or no function that frees them");
  }
  GroupAllocator& allocator = mutator.region().state().heap.allocator;
  void* memory = allocator.Allocate(sizeof(Holder));
  if (memory == nullptr) {
    return Refuse(StatusCode::kResourceExhausted, type, "the system has no memory");
  }
  return MakeObject(mutator, type, new (memory) Holder{allocator, bytes, length, free, context});
}

}  // namespace Atoll
