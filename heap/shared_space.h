#ifndef ATOLL_HEAP_SHARED_SPACE_H_
#define ATOLL_HEAP_SHARED_SPACE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <set>

#include "atoll/safepoint.h"
#include "heap/block_list.h"
#include "heap/block_pool.h"
#include "safepoint/platform.h"

namespace Atoll {

class SharedAllocator;

/// The Shared space: deeply immutable objects that the heap owns and all regions may refer to. They
/// never move. They come from SharedAllocators, or a region's large object becomes one where it is
/// (FlipToShared); group collections free those that nothing refers to.
///
///   full         blocks without free lines worth a visit
///   recyclable   blocks with free lines: allocators take them
///   large        heads of objects over kLargeObjectThreshold, in runs of blocks of their own
///   (no list)    what allocators have at hand, one or two blocks each
///
/// All blocks that hold the start of an object are tagged tag::kShared and are of Space::kShared,
/// the tails of runs of Space::kLargeTail. They are parsed by mark bits, like Old.
///
/// Invariant I2: an object here refers to objects of Shared and Program alone. Whoever fills one
/// sees to it; the verifier checks it.
class SharedSpace {
 public:
  SharedSpace(AddressSpace& space, BlockPool& pool) : space_(space), pool_(pool) {}
  /// Legal when its allocators are gone.
  ~SharedSpace();
  SharedSpace(const SharedSpace&) = delete;
  SharedSpace& operator=(const SharedSpace&) = delete;

  /// Blocks that the space owns, those at the allocators' hands too. Any thread, no lock.
  // Relaxed: a statistic; exact while all mutators are stopped.
  size_t block_count() const { return block_count_.load(std::memory_order_relaxed); }

  /// Takes over the blocks of a large object from the list and the count of its region. Its head is
  /// tagged from here on. A lock; O(1): tails keep the tags they have, which nobody reads.
  void TakeOverLarge(BlockIndex head);

  /// Takes over blocks of copies, their objects marked, from the list and the count of a region. A
  /// lock; O(blocks).
  void TakeOverBlocks(BlockList& blocks);

  /// The space as collections and the verifier see it, all mutators being stopped: the allocators
  /// are retired, so every block is in a list. Threads outside the heap that begin or end an
  /// allocator wait as long as this stands.
  class Stopped {
   public:
    Stopped(SharedSpace& shared, const StoppedScope& stopped);

    BlockList& full() { return shared_.full_; }
    BlockList& recyclable() { return shared_.recyclable_; }
    BlockList& large() { return shared_.large_; }
    /// Puts a block that is in no list into the one that its free lines call for.
    void File(BlockIndex block) { shared_.FileLocked(block); }
    /// Gives a block, or a large object's run, that is in no list to the pool.
    void Free(BlockIndex head) { shared_.FreeLocked(head); }

   private:
    SharedSpace& shared_;
    platform::MutexLock lock_;
  };

 private:
  friend class SharedAllocator;

  /// Zeroed but for its mark bit, or 0.
  uintptr_t AllocateLarge(size_t size);
  /// A block for an allocator alone; kNoBlock when memory is refused.
  BlockIndex TakeBlockLocked(bool recyclable);
  void FileLocked(BlockIndex block);
  void FreeLocked(BlockIndex head);

  AddressSpace& space_;
  BlockPool& pool_;
  platform::Mutex mutex_;  // guards all below
  BlockList full_;
  BlockList recyclable_;
  BlockList large_;
  std::set<SharedAllocator*> allocators_;
  std::atomic<size_t> block_count_{0};  // changed under the mutex; read as block_count() says
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_SHARED_SPACE_H_
