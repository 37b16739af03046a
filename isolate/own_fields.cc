#include "isolate/own_fields.h"

#include <new>

namespace Atoll {
namespace {
constexpr size_t kFirstEntries = 4;
}  // namespace

OwnFields* OwnFields::New(GroupAllocator& allocator) {
  void* memory = allocator.Allocate(sizeof(OwnFields));
  if (memory == nullptr) return nullptr;
  auto* fields = new (memory) OwnFields;
  if (fields->Grow(allocator)) return fields;
  Delete(fields, allocator);
  return nullptr;
}

void OwnFields::Delete(OwnFields* fields, GroupAllocator& allocator) {
  if (fields->entries_ != nullptr) {
    for (size_t at = 0; at <= fields->mask_; ++at) {
      if (fields->entries_[at].chunk != nullptr) {
        allocator.Free(fields->entries_[at].chunk, sizeof(Chunk));
      }
    }
    allocator.Free(fields->entries_, (fields->mask_ + 1) * sizeof(Entry));
  }
  allocator.Free(fields, sizeof(OwnFields));
}

OwnFields::Chunk* OwnFields::FindOrMake(size_t index, GroupAllocator& allocator) {
  if (Chunk* chunk = Find(index)) return chunk;
  // At most three quarters full.
  if ((count_ + 1) * 4 > (mask_ + 1) * 3 && !Grow(allocator)) return nullptr;
  void* memory = allocator.Allocate(sizeof(Chunk));
  if (memory == nullptr) return nullptr;
  const size_t number = index / kFieldsPerChunk;
  size_t at = number & mask_;
  while (entries_[at].chunk != nullptr) at = (at + 1) & mask_;
  entries_[at] = {number, new (memory) Chunk};
  ++count_;
  return entries_[at].chunk;
}

bool OwnFields::Grow(GroupAllocator& allocator) {
  const size_t capacity = entries_ == nullptr ? kFirstEntries : (mask_ + 1) * 2;
  auto* entries = static_cast<Entry*>(allocator.AllocateZeroed(capacity * sizeof(Entry)));
  if (entries == nullptr) return false;
  if (entries_ != nullptr) {
    for (size_t old = 0; old <= mask_; ++old) {
      if (entries_[old].chunk == nullptr) continue;
      size_t at = entries_[old].number & (capacity - 1);
      while (entries[at].chunk != nullptr) at = (at + 1) & (capacity - 1);
      entries[at] = entries_[old];
    }
    allocator.Free(entries_, (mask_ + 1) * sizeof(Entry));
  }
  entries_ = entries;
  mask_ = capacity - 1;
  return true;
}

}  // namespace Atoll
