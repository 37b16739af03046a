#ifndef ATOLL_HEAP_GROUP_ALLOCATOR_H_
#define ATOLL_HEAP_GROUP_ALLOCATOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace Atoll {

/// The off-heap memory of one heap: counted, and given back as one when the heap ends. With
/// ATOLL_JEMALLOC it is a jemalloc arena of the heap's own, destroyed with it; beyond about 4,000
/// heaps in a process, and without jemalloc, the process's malloc with the same accounting.
///
/// Thread-safe. A null result is an ordinary answer: collectors have a way on without memory.
/// Cost: an allocation of the arena without a thread cache, tens of nanoseconds.
class GroupAllocator {
 public:
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

  /// Bytes handed out and not yet freed.
  // Relaxed: a statistic.
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  bool has_own_arena() const { return arena_ != kSharedArena; }

 private:
  static constexpr unsigned kSharedArena = ~0u;
  struct HugePageHooks;
  unsigned arena_ = kSharedArena;
  std::unique_ptr<HugePageHooks> huge_page_hooks_;  // of the arena; null: it has jemalloc's own
  std::atomic<size_t> bytes_{0};                    // statistic: all accesses relaxed
};

}  // namespace Atoll

#endif  // ATOLL_HEAP_GROUP_ALLOCATOR_H_
