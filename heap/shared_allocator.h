#ifndef ATOLL_HEAP_SHARED_ALLOCATOR_H_
#define ATOLL_HEAP_SHARED_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "atoll/config.h"
#include "heap/line_map.h"
#include "heap/object_model.h"
#include "heap/shared_space.h"

namespace Atoll {

/// Allocates objects in the Shared space, for one thread: bump allocation into the free lines of
/// blocks that are the allocator's alone while it has them at hand, as OldAllocator does in Old.
///
/// Beginning and ending one takes the space's lock, and is legal on any thread in any state.
class SharedAllocator {
 public:
  explicit SharedAllocator(SharedSpace& shared);
  ~SharedAllocator();
  SharedAllocator(const SharedAllocator&) = delete;
  SharedAllocator& operator=(const SharedAllocator&) = delete;

  /// Zeroed memory for one object of `size` bytes (a multiple of 8, header included) that belongs
  /// to the group, or 0 when the heap's limit, the reservation or the system refuses; then nothing
  /// has changed, and after Heap::CollectAll it may be worth asking again. Never collects or polls.
  ///
  /// In managed state of the thread's mutator; what follows is the caller's:
  ///  - the header, and the length of an object with elements, are stored before the next poll.
  ///    Slots that are still zero harm nobody;
  ///  - until it is reachable from a root (a handle, an object, GroupRoots) a group collection,
  ///    that is any poll, may free it;
  ///  - slots are filled with shared values and immediates by plain stores, and the object is
  ///    published by a release store of its reference. From then on it is never written.
  ///
  /// Cost: a bump, zeroing, and the mark bit; a lock once per block, and for each object over
  /// kLargeObjectThreshold, which gets whole blocks of its own.
  uintptr_t Allocate(size_t size) {
    if (ATOLL_UNLIKELY(size > kLargeObjectThreshold)) return shared_.AllocateLarge(size);
    const uintptr_t at = AllocateRaw(size);
    if (ATOLL_UNLIKELY(at == 0)) return 0;
    std::memset(reinterpret_cast<void*>(at), 0, size);
    MarkBornOld(shared_.space_, at, size);
    return at;
  }
  /// The same for several objects side by side, kLargeObjectThreshold bytes at most: not zeroed,
  /// and no object of the space until each has been marked (MarkObjects). All before the next poll.
  uintptr_t AllocateRaw(size_t size) {
    const uintptr_t at = cursor_;
    if (ATOLL_UNLIKELY(limit_ - at < size)) {
      return size <= kLineSize ? TakeFromHole(size) : TakeFromOverflow(size);
    }
    cursor_ = at + size;
    return at;
  }

 private:
  friend class SharedSpace;

  bool NextHole();
  uintptr_t TakeFromHole(size_t size);
  /// Objects over a line's size that do not fit the hole at hand, so that they waste no small ones.
  uintptr_t TakeFromOverflow(size_t size);
  /// Gives the blocks at hand back to the space's lists.
  void RetireLocked();

  SharedSpace& shared_;
  uintptr_t cursor_ = 0;
  uintptr_t limit_ = 0;
  BlockIndex block_ = kNoBlock;  // of cursor_; its holes from next_line_ on are still unused
  int next_line_ = kLinesPerBlock;
  LineMap used_{};
  uintptr_t overflow_cursor_ = 0;
  uintptr_t overflow_limit_ = 0;
  BlockIndex overflow_block_ = kNoBlock;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_SHARED_ALLOCATOR_H_
