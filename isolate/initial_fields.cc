#include "isolate/initial_fields.h"

#include <string>

#include "heap/group_allocator.h"

namespace Atoll {

InitialFields::~InitialFields() {
  for (int i = 0; i < kSegments; ++i) {
    if (segments_[i] != nullptr) allocator_.Free(segments_[i], SizeOfSegment(i) * sizeof(Word));
  }
}

Result<size_t> InitialFields::Add(std::span<const Ref> values) {
  platform::MutexLock lock(mutex_);
  // Relaxed: written under this lock alone.
  const size_t first = count_.load(std::memory_order_relaxed);
  if (values.size() > kMaximum - first) {
    return Status(StatusCode::kResourceExhausted,
                  "the program has " + std::to_string(first) + " fields and cannot have " +
                      std::to_string(values.size()) + " more: at most " + std::to_string(kMaximum));
  }
  const size_t end = first + values.size();
  for (int i = 0; i < kSegments && SizeOfSegment(i) - kFirst < end; ++i) {
    if (segments_[i] != nullptr) continue;
    auto* segment = static_cast<Word*>(allocator_.AllocateZeroed(SizeOfSegment(i) * sizeof(Word)));
    if (segment == nullptr) {
      return Status(StatusCode::kResourceExhausted,
                    "no memory for " + std::to_string(values.size()) +
                        " more fields of the program; let isolates end, or raise the limit");
    }
    segments_[i] = segment;
  }
  for (size_t i = 0; i < values.size(); ++i) SlotOf(first + i).StoreRaw(values[i]);
  // Release: see Get.
  count_.store(end, std::memory_order_release);
  return first;
}

void InitialFields::VisitRoots(RootVisitor& visitor) const {
  const size_t end = count();
  for (size_t i = 0; i < end; ++i) visitor.VisitSlot(SlotOf(i));
}

size_t InitialFields::native_bytes() const {
  platform::MutexLock lock(mutex_);
  size_t bytes = 0;
  for (int i = 0; i < kSegments; ++i) {
    if (segments_[i] != nullptr) bytes += SizeOfSegment(i) * sizeof(Word);
  }
  return bytes;
}

}  // namespace Atoll
