// Layer: heap
#ifndef ATOLL_JIT_H_
#define ATOLL_JIT_H_

#include <cstddef>
#include <cstdint>

#include "atoll/mutator.h"

namespace Atoll {

/// What a code generator needs to emit the inline paths of allocation, barrier and poll for itself.
/// All offsets are bytes from a `Mutator*`; fields are 8 bytes wide unless said otherwise.
///
///   allocate: top = [mutator + top]; if ([mutator + limit] - top < size) call the slow path;
///             [mutator + top] = top + size; zero the object; [top] = type->header_word
///   tag:      32 bits at [mutator + tags] + 4 * (address >> block_shift)
///   store:    see Atoll::Store: compare tags with the 32 bits at [mutator + young_tag]
///   poll:     call the slow path unless the 32 bits at [mutator + poll_word] are zero
///
/// Constant for a build of the library; obtained once. The slow paths are safepoints, except the
/// barrier's.
struct JitDescriptor {
  uint32_t version = 3;
  size_t top;
  size_t limit;
  size_t tags;
  size_t young_tag;
  size_t base;
  size_t reservation_size;
  size_t poll_word;
  size_t state;
  size_t handle_next;  ///< equal to the limit before a mutator's first handle: compare first
  size_t handle_limit;
  size_t type_header_word;
  size_t type_fixed_size;  ///< 32 bits wide
  /// 32 bits wide: the size to bump by. Where the slow path must be called it is more than there is
  /// room for, which the comparison with the room finds.
  size_t type_inline_size;
  int block_shift;
  uint32_t tag_shared;
  uint8_t flag_remembered;
  size_t header_size;
  size_t granule;
  size_t large_object_threshold;
  int compression_shift;  ///< a compressed slot holds the lower half of address >> shift
  const uintptr_t* compression_base;  ///< what to add to its value << shift, unless it is zero
  uintptr_t (*allocate_slow)(Mutator* mutator, const Type* type, size_t size);
  uintptr_t (*allocate_array_slow)(Mutator* mutator, const Type* type, size_t length);
  void (*remember_slow)(Mutator* mutator, uintptr_t object, uintptr_t slot);
  void (*store_into_shared_slow)(Mutator* mutator, uintptr_t object, uintptr_t slot, Word value);
  void (*poll_slow)(Mutator* mutator);

  static const JitDescriptor& Get();
};

}  // namespace Atoll

#endif  // ATOLL_JIT_H_
