#include "heap/group_allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "atoll/config.h"
#include "safepoint/platform.h"

#if ATOLL_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

namespace Atoll {

#if ATOLL_JEMALLOC

// jemalloc's own thread caches would mix arenas: a cached block of another may be handed out.
int GroupAllocator::FlagsFor(Cache* cache) {
  if (cache != nullptr && cache->tcache_ == Cache::kNone && !cache->was_refused_) {
    size_t size = sizeof cache->tcache_;
    cache->was_refused_ = mallctl("tcache.create", &cache->tcache_, &size, nullptr, 0) != 0;
    if (cache->was_refused_) cache->tcache_ = Cache::kNone;
  }
  const bool cached = cache != nullptr && cache->tcache_ != Cache::kNone;
  return static_cast<int>(MALLOCX_ARENA(arena_)) |
         static_cast<int>(cached ? MALLOCX_TCACHE(cache->tcache_) : MALLOCX_TCACHE_NONE);
}

void GroupAllocator::Cache::Flush() {
  if (tcache_ == kNone) return;
  mallctl("tcache.flush", nullptr, nullptr, &tcache_, sizeof tcache_);
}

GroupAllocator::Cache::~Cache() {
  if (tcache_ != kNone) mallctl("tcache.destroy", nullptr, nullptr, &tcache_, sizeof tcache_);
  allocator_.Forget(*this);
}

// An arena's ways to get memory, and give it back: jemalloc's own, but for huge pages.
struct GroupAllocator::HugePageHooks : extent_hooks_t {
  extent_hooks_t* own = nullptr;
  // Relaxed: it does not matter which of two is the first.
  std::atomic<bool> has_grown{false};

  // The first piece is of small pages: a heap with little has no use for more.
  static void* Allocate(extent_hooks_t* hooks, void* new_address, size_t size, size_t alignment,
                        bool* zero, bool* commit, unsigned arena) {
    auto* self = static_cast<HugePageHooks*>(hooks);
    const bool huge = new_address == nullptr && size >= platform::kHugePageBytes &&
                      self->has_grown.exchange(true, std::memory_order_relaxed);
    const size_t aligned = huge ? std::max(alignment, platform::kHugePageBytes) : alignment;
    void* extent = self->own->alloc(self->own, new_address, size, aligned, zero, commit, arena);
    if (huge && extent != nullptr) platform::AdviseHugePages(extent, size);
    return extent;
  }
};

GroupAllocator::GroupAllocator(bool huge_pages) {
  unsigned arena = 0;
  size_t size = sizeof arena;
  if (mallctl("arenas.create", &arena, &size, nullptr, 0) != 0) return;
  arena_ = arena;
  if (!huge_pages) return;
  const std::string prefix = "arena." + std::to_string(arena);
  extent_hooks_t* own = nullptr;
  size = sizeof(void*);
  if (mallctl((prefix + ".extent_hooks").c_str(), &own, &size, nullptr, 0) != 0) return;
  huge_page_hooks_ = std::make_unique<HugePageHooks>();
  static_cast<extent_hooks_t&>(*huge_page_hooks_) = *own;
  huge_page_hooks_->own = own;
  huge_page_hooks_->alloc = HugePageHooks::Allocate;
  extent_hooks_t* hooks = huge_page_hooks_.get();
  mallctl((prefix + ".extent_hooks").c_str(), nullptr, nullptr, &hooks, sizeof(void*));
  // It would grow by ever larger pieces, whose ends are no huge pages.
  size_t grow_by = platform::kHugePageBytes;
  mallctl((prefix + ".retain_grow_limit").c_str(), nullptr, nullptr, &grow_by, sizeof grow_by);
}

GroupAllocator::~GroupAllocator() {
  if (!has_own_arena()) return;
  const std::string key = "arena." + std::to_string(arena_) + ".destroy";
  mallctl(key.c_str(), nullptr, nullptr, nullptr, 0);
}

void GroupAllocator::Trim() {
  if (!has_own_arena()) return;
  const std::string key = "arena." + std::to_string(arena_) + ".purge";
  mallctl(key.c_str(), nullptr, nullptr, nullptr, 0);
}

void* GroupAllocator::Allocate(size_t bytes) {
  if (platform::faults::ShouldFail(platform::faults::Request::kRaw)) return nullptr;
  Cache* cache = CacheOfThread();
  void* memory = has_own_arena() ? mallocx(bytes, FlagsFor(cache)) : std::malloc(bytes);
  if (memory != nullptr) Count(cache, static_cast<int64_t>(bytes));
  return memory;
}

void GroupAllocator::Free(void* memory, size_t bytes) {
  if (memory == nullptr) return;
  Cache* cache = CacheOfThread();
  Count(cache, -static_cast<int64_t>(bytes));
  if (has_own_arena()) {
    dallocx(memory, FlagsFor(cache));
  } else {
    std::free(memory);
  }
}

#else

struct GroupAllocator::HugePageHooks {};

GroupAllocator::GroupAllocator(bool) {}
GroupAllocator::~GroupAllocator() = default;
void GroupAllocator::Trim() {}
GroupAllocator::Cache::~Cache() { allocator_.Forget(*this); }
void GroupAllocator::Cache::Flush() {}

void* GroupAllocator::Allocate(size_t bytes) {
  void* memory = platform::AllocateRaw(bytes);
  if (memory != nullptr) Count(CacheOfThread(), static_cast<int64_t>(bytes));
  return memory;
}

void GroupAllocator::Free(void* memory, size_t bytes) {
  if (memory == nullptr) return;
  Count(CacheOfThread(), -static_cast<int64_t>(bytes));
  platform::FreeRaw(memory);
}

#endif

constinit thread_local GroupAllocator::Cache* GroupAllocator::Cache::current = nullptr;

GroupAllocator::Cache::Cache(GroupAllocator& allocator) : allocator_(allocator) {
  platform::MutexLock lock(allocator.caches_mutex_);
  allocator.caches_.push_back(this);
}

void GroupAllocator::Forget(Cache& cache) {
  platform::MutexLock lock(caches_mutex_);
  std::erase(caches_, &cache);
  // Relaxed, both: statistics.
  bytes_.fetch_add(cache.bytes_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

size_t GroupAllocator::bytes() const {
  platform::MutexLock lock(caches_mutex_);
  // Relaxed, all: statistics.
  int64_t sum = bytes_.load(std::memory_order_relaxed);
  for (const Cache* cache : caches_) sum += cache->bytes_.load(std::memory_order_relaxed);
  return sum > 0 ? static_cast<size_t>(sum) : 0;
}

void* GroupAllocator::AllocateZeroed(size_t bytes) {
  void* memory = Allocate(bytes);
  if (memory != nullptr) std::memset(memory, 0, bytes);
  return memory;
}

}  // namespace Atoll
