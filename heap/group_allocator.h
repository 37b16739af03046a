#ifndef ATOLL_HEAP_GROUP_ALLOCATOR_H_
#define ATOLL_HEAP_GROUP_ALLOCATOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "safepoint/platform.h"

namespace Atoll {

/// The off-heap memory of one heap: counted, and given back as one when the heap ends. With
/// ATOLL_JEMALLOC it is a jemalloc arena of the heap's own, destroyed with it; beyond about 4,000
/// heaps in a process, and without jemalloc, the process's malloc with the same accounting.
///
/// Thread-safe. A null result is an ordinary answer: collectors have a way on without memory.
/// Cost: on a thread that uses a Cache, some 15 ns; else an allocation of the arena, tens of
/// nanoseconds and more where threads meet.
class GroupAllocator {
 public:
  /// Free memory of one allocator at hand for one thread at a time, so that threads do not meet.
  /// Ends before its allocator does, used by no thread.
  class Cache {
   public:
    explicit Cache(GroupAllocator& allocator);
    ~Cache();
    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;

    /// The calling thread allocates by this one from now on; null: by none.
    static void Use(Cache* cache) { current = cache; }
    /// Gives back what is at hand. Of the thread that uses it, or while none does.
    void Flush();

   private:
    friend class GroupAllocator;
    static constexpr unsigned kNone = ~0u;
    static constinit thread_local Cache* current;

    // Only the thread that uses it writes: no read-modify-write. Relaxed: a statistic.
    void Count(int64_t bytes) {
      bytes_.store(bytes_.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
    }

    GroupAllocator& allocator_;
    unsigned tcache_ = kNone;  // jemalloc's, made with the first allocation
    bool was_refused_ = false;
    std::atomic<int64_t> bytes_{0};  // handed out less freed by it
  };

  /// `huge_pages`: asks for them once the arena has outgrown one.
  explicit GroupAllocator(bool huge_pages = false);
  ~GroupAllocator();
  GroupAllocator(const GroupAllocator&) = delete;
  GroupAllocator& operator=(const GroupAllocator&) = delete;

  void* Allocate(size_t bytes);
  void* AllocateZeroed(size_t bytes);
  void Free(void* memory, size_t bytes);

  /// Gives what is free back to the system.
  void Trim();

  /// Bytes handed out and not yet freed. Exact while nobody allocates or frees. O(caches), a lock.
  size_t bytes() const;
  bool has_own_arena() const { return arena_ != kSharedArena; }

 private:
  static constexpr unsigned kSharedArena = ~0u;
  struct HugePageHooks;
  // The calling thread's, of this allocator; null: it has none.
  Cache* CacheOfThread() const {
    Cache* cache = Cache::current;
    return cache != nullptr && &cache->allocator_ == this ? cache : nullptr;
  }
  void Count(Cache* cache, int64_t bytes) {
    if (cache != nullptr) {
      cache->Count(bytes);
    } else {
      bytes_.fetch_add(bytes, std::memory_order_relaxed);  // statistic
    }
  }
  // A cache that ends.
  void Forget(Cache& cache);
  // Which memory mallocx and dallocx use.
  int FlagsFor(Cache* cache);

  unsigned arena_ = kSharedArena;
  std::unique_ptr<HugePageHooks> huge_page_hooks_;  // of the arena; null: it has jemalloc's own
  std::atomic<int64_t> bytes_{0};                   // of no cache; relaxed: a statistic
  mutable platform::Mutex caches_mutex_;
  std::vector<Cache*> caches_;
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_GROUP_ALLOCATOR_H_
