#ifndef ATOLL_HEAP_PROGRAM_SPACE_H_
#define ATOLL_HEAP_PROGRAM_SPACE_H_

#include <cstddef>
#include <cstdint>

#include "atoll/type.h"
#include "heap/block_list.h"
#include "heap/block_pool.h"
#include "safepoint/platform.h"

namespace Atoll {

/// The Program space: bump allocation of objects that never move and live as long as the heap
/// (classes, code, constants). Their blocks carry the shared tag. Allocation locks.
class ProgramSpace {
 public:
  ProgramSpace(AddressSpace& space, BlockPool& pool) : space_(space), pool_(pool) {}
  ~ProgramSpace();

  /// What `top` of a block can say.
  static constexpr size_t kLargestObject = size_t{UINT32_MAX} / kBlockSize * kBlockSize;

  /// A zeroed object with its header and length, or 0: memory is refused, or it would be larger.
  uintptr_t Allocate(const Type& type, size_t length);
  size_t block_count() const;
  template <typename Fn>
  void ForEachBlock(Fn fn) const {
    platform::MutexLock lock(mutex_);
    blocks_.ForEach(space_, fn);
  }

 private:
  AddressSpace& space_;
  BlockPool& pool_;
  mutable platform::Mutex mutex_;
  BlockList blocks_;  // the head is allocated into
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_PROGRAM_SPACE_H_
