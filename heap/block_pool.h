// The free blocks of one heap.
//
// Chunks of 64 blocks come from the address space; the free blocks of a chunk are one 64-bit mask,
// so neighbours coalesce by themselves. Single blocks are taken from chunks that are partly in use
// first: that keeps whole chunks free, for large objects, for huge pages, and to be given back.
// Threads that run at the same time take from chunks of their own: what one has just freed is in
// its processor's caches.
#ifndef ATOLL_HEAP_BLOCK_POOL_H_
#define ATOLL_HEAP_BLOCK_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "atoll/function_ref.h"
#include "heap/address_space.h"
#include "heap/block.h"
#include "heap/huge_page_policy.h"
#include "safepoint/platform.h"

namespace Atoll {

class BlockPool {
 public:
  struct Options {
    size_t limit_bytes;
    bool huge_pages;
    uint64_t decay_nanos;
    bool poison;
    bool compressible;  ///< see AddressSpace::TakeChunks
  };
  /// Who asks decides how far over the limit it may go: a collection may use the reserve, since it
  /// gives back more than it takes; so may an allocation that must not collect.
  enum class Allowance : uint8_t { kLimit, kReserve };

  BlockPool(AddressSpace& space, const Options& options);
  ~BlockPool();

  /// Maps and touches so much, in whole chunks; from then on what is mapped now is kept. False
  /// where the reservation or the system refuses some of it. Before any other call.
  bool MapInitial(size_t bytes);

  /// One block, or a run of adjacent ones; kNoBlock when the limit, the reservation or the system
  /// refuses. The info's run_blocks is set, all else zero. The contents are undefined, unless
  /// `*zeroed` is set to true.
  BlockIndex Take(size_t blocks, Allowance allowance, bool* zeroed = nullptr);
  void Give(BlockIndex first, size_t blocks);
  /// What the calling thread has left of its chunk is for others; it may take again.
  void Leave();

  /// External bytes count against the limit. False if they do not fit within it (counted anyway).
  bool AddExternalBytes(int64_t delta);

  static constexpr uint64_t kNever = UINT64_MAX;
  /// What the end of a collection or of a region pays for, some 0.3 ms: others may have freed much.
  static constexpr size_t kDecayInPassingChunks = 4;
  /// Gives chunks back that were free for decay_nanos and are not kept, at most `most`; looks at
  /// most four times in that time while none is due. Returns after how many nanoseconds there may
  /// be more to give back; kNever: no such chunk is free. Others take and give blocks meanwhile.
  uint64_t Decay(size_t most = SIZE_MAX);
  /// Gives every free chunk back that is not kept.
  void ReturnFreeChunks();

  size_t mapped_blocks() const;
  size_t free_blocks() const;
  size_t used_bytes() const;  ///< blocks taken, and external bytes
  size_t external_bytes() const;
  size_t limit_bytes() const { return options_.limit_bytes; }
  size_t reserve_bytes() const;
  /// Returns how many blocks are mapped at that moment: others may give memory back meanwhile.
  size_t ForEachFree(FunctionRef<void(BlockIndex)> fn) const;

 private:
  // Threads are numbered modulo this.
  static constexpr uint32_t kUsers = 16;
  static constexpr uint32_t kNoUser = kUsers;
  static uint32_t UserOfThread();

  struct Chunk {
    uint64_t free_mask = 0;
    uint64_t free_since = 0;  // NowNanos() when it became wholly free
    Chunk* previous = nullptr;
    Chunk* next = nullptr;
    BlockIndex first = kNoBlock;
    uint32_t user = kNoUser;  // whose `used_by_` this is
  };
  struct ChunkList {
    Chunk* head = nullptr;
    void Push(Chunk* chunk);
    void Remove(Chunk* chunk);
  };

  /// Moves the chunks that are wholly free since then and not kept to `due`, at most `most`.
  /// Returns when the oldest of those that stay became free; kNever: none stay.
  uint64_t TakeOutLocked(uint64_t free_since_before, size_t most, std::vector<BlockIndex>& due);
  /// Without the lock: what the system takes its time for is no matter of the heap's other regions.
  void ReturnToSystem(const std::vector<BlockIndex>& chunks) const;
  bool FitsLocked(size_t blocks, Allowance allowance) const;
  /// Lets go of the lock meanwhile: others may take what the limit leaves.
  Chunk* AddChunksLocked(size_t count);
  /// These return how long it took, in nanoseconds.
  uint64_t TouchHugePage(BlockIndex first, size_t count) const;
  uint64_t TouchSmallPages(BlockIndex chunk) const;
  Chunk* FindWholeChunksLocked(size_t count) const;
  /// A run of less than a chunk.
  BlockIndex TakeRunLocked(size_t blocks, Allowance allowance);
  BlockIndex TakeFromLocked(Chunk* chunk, int at, size_t blocks);
  /// From now on that is the chunk, or null, that the user takes from first.
  void UseLocked(Chunk* chunk, uint32_t user);
  void FileLocked(Chunk* chunk, uint64_t old_mask);
  void Prepare(BlockIndex first, size_t blocks) const;

  AddressSpace& space_;
  const Options options_;
  mutable platform::Mutex mutex_;
  std::unordered_map<BlockIndex, std::unique_ptr<Chunk>> chunks_;  // by the chunk's first block
  ChunkList partial_;                                              // 1 to 63 blocks free
  ChunkList whole_;                                                // all 64 free
  Chunk* used_by_[kUsers] = {};  // what each takes from first, or null
  size_t mapped_blocks_ = 0;
  size_t kept_blocks_ = 0;  // not to be given back
  size_t free_blocks_ = 0;
  int64_t external_bytes_ = 0;
  HugePagePolicy huge_page_policy_;
  uint64_t next_decay_ = 0;  // NowNanos() before which Decay does not look
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_BLOCK_POOL_H_
