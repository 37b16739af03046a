#include "atoll/jit.h"

namespace Atoll {

// Mutator is not of standard layout, but has no virtual base: offsetof is what all compilers we
// support define it to be.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

const JitDescriptor& JitDescriptor::Get() {
  static const JitDescriptor descriptor = [] {
    JitDescriptor d{};
    d.version = 3;
    d.top = offsetof(Mutator, top_);
    d.limit = offsetof(Mutator, limit_);
    d.tags = offsetof(Mutator, tags_);
    d.young_tag = offsetof(Mutator, young_tag_);
    d.base = offsetof(Mutator, base_);
    d.reservation_size = offsetof(Mutator, reservation_size_);
    d.poll_word = MutatorThread::PollWordOffset();
    d.state = MutatorThread::StateOffset();
    d.handle_next = offsetof(Mutator, handle_next_);
    d.handle_limit = offsetof(Mutator, handle_limit_);
    d.type_header_word = offsetof(Type, header_word);
    d.type_fixed_size = offsetof(Type, fixed_size);
    d.type_inline_size = offsetof(Type, inline_size);
    d.block_shift = kBlockShift;
    d.tag_shared = tag::kShared;
    d.flag_remembered = header::kRemembered;
    d.header_size = kHeaderSize;
    d.granule = kGranule;
    d.large_object_threshold = kLargeObjectThreshold;
    d.compression_shift = kCompressionShift;
    d.compression_base = &internal::compression_base;
    d.allocate_slow = [](Mutator* mutator, const Type* type, size_t size) {
      return mutator->Allocate(*type, size).address();
    };
    d.allocate_array_slow = [](Mutator* mutator, const Type* type, size_t length) {
      return mutator->AllocateArray(*type, length).address();
    };
    d.remember_slow = [](Mutator* mutator, uintptr_t object, uintptr_t slot) {
      mutator->RememberSlow(ObjectPtr(object), Slot(slot));
    };
    d.store_into_shared_slow = [](Mutator* mutator, uintptr_t object, uintptr_t slot, Word value) {
      const Slot at = mutator->encoding().compressed ? Slot::Compressed(slot) : Slot(slot);
      mutator->StoreIntoSharedSlow(ObjectPtr(object), at, Ref{value});
    };
    d.poll_slow = [](Mutator* mutator) { mutator->Poll(); };
    return d;
  }();
  return descriptor;
}

#pragma GCC diagnostic pop

}  // namespace Atoll
