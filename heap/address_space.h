// The one thing that heaps of a process share: the reserved address range, given out in chunks,
// and the side tables indexed by block.
#ifndef ATOLL_HEAP_ADDRESS_SPACE_H_
#define ATOLL_HEAP_ADDRESS_SPACE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "atoll/layout.h"
#include "atoll/status.h"
#include "heap/block.h"
#include "safepoint/platform.h"

namespace Atoll {

/// Reserved once per process, by the first heap; lives until the last heap is gone.
///
/// Thread-safety: chunk and part-id calls lock; table look-ups do not.
class AddressSpace {
 public:
  /// The process's address space: reserves it if no heap holds it. `bytes` 0: the default. Where
  /// the system refuses, halves the request down to 1 GiB and says so on standard error.
  static Result<std::shared_ptr<AddressSpace>> Acquire(size_t bytes);
  ~AddressSpace();

  uintptr_t base() const { return base_; }
  size_t size() const { return size_; }
  bool Contains(uintptr_t address) const { return address - base_ < size_; }

  BlockIndex BlockOf(uintptr_t address) const {
    return static_cast<BlockIndex>((address - base_) >> kBlockShift);
  }
  uintptr_t AddressOf(BlockIndex block) const {
    return base_ + (static_cast<uintptr_t>(block) << kBlockShift);
  }
  BlockInfo& info(BlockIndex block) const { return infos_[block]; }
  /// Biased: indexed by address >> kBlockShift.
  uint32_t* biased_tags() const { return tags_ - (base_ >> kBlockShift); }
  uint32_t tag(BlockIndex block) const {
    // Relaxed: see Mutator::TagOf; whoever needs order has stopped the region.
    return std::atomic_ref<uint32_t>(tags_[block]).load(std::memory_order_relaxed);
  }
  void set_tag(BlockIndex block, uint32_t tag) const {
    std::atomic_ref<uint32_t>(tags_[block]).store(tag, std::memory_order_relaxed);  // as above
  }
  uint64_t* marks(BlockIndex block) const { return marks_ + block * kMarkWordsPerBlock; }
  uint64_t* covers(BlockIndex block) const { return covers_ + block * kCoverWordsPerBlock; }
  /// The whole mark bitmap: bit (address - base) / kGranule.
  uint64_t* all_marks() const { return marks_; }
  bool IsMarked(uintptr_t object) const {
    const uintptr_t granule = (object - base_) / kGranule;
    // Relaxed: mark bits carry no other data.
    return (std::atomic_ref<uint64_t>(marks_[granule / 64]).load(std::memory_order_relaxed) >>
            (granule % 64)) &
           1;
  }

  /// `count` adjacent chunks, committed and zero: the first block of the first, or kNoBlock.
  /// `compressible`: in the first kCompressedRange bytes. Others lie behind these where the
  /// reservation is at least twice as large, and anywhere where it is not.
  BlockIndex TakeChunks(size_t count, bool compressible);
  /// Gives chunks back; their memory goes to the system.
  void ReturnChunks(BlockIndex first, size_t count);

  /// A raw part id that no block carries; 0 when all are in use.
  uint32_t TakePartId();
  void ReturnPartId(uint32_t id);

 private:
  AddressSpace() = default;
  // Chunks that are given out to one kind of heap.
  struct Zone {
    size_t first;
    size_t end;
    size_t* next;  // those from here on were never given out
  };

  bool MapTables();
  Zone ZoneFor(bool compressible);

  uintptr_t base_ = 0;
  size_t size_ = 0;
  uint32_t* tags_ = nullptr;
  BlockInfo* infos_ = nullptr;
  uint64_t* marks_ = nullptr;
  uint64_t* covers_ = nullptr;

  platform::Mutex mutex_;
  // Chunk 0 is never given out: no object lies at the start, so zero is no compressed reference.
  size_t next_compressible_ = 1;
  size_t next_other_ = kCompressedRange / kChunkSize;
  std::map<size_t, size_t> returned_;  // first chunk -> count, coalesced
  uint32_t next_part_id_ = 1;
  std::vector<uint32_t> free_part_ids_;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_ADDRESS_SPACE_H_
