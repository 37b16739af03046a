#include "heap/group_allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "atoll/config.h"
#include "safepoint/platform.h"

#if ATOLL_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

namespace Atoll {

#if ATOLL_JEMALLOC

namespace {

// The arena grows by ever larger pieces, the first of which has 2 MiB: further ones are likely to
// fill huge pages.
constexpr size_t kHugeFromBytes = (size_t{2} << 20) + 1;
constexpr size_t kHugePage = size_t{2} << 20;

// jemalloc's own ways to get memory, and give it back; all of its arenas have the same.
extent_hooks_t* own_hooks = nullptr;

void* AllocateExtent(extent_hooks_t*, void* new_address, size_t size, size_t alignment, bool* zero,
                     bool* commit, unsigned arena) {
  const bool huge = new_address == nullptr && size >= kHugeFromBytes;
  void* extent =
      own_hooks->alloc(own_hooks, new_address, size,
                       huge ? std::max(alignment, kHugePage) : alignment, zero, commit, arena);
  if (huge && extent != nullptr) platform::AdviseHugePages(extent, size);
  return extent;
}

// The hooks of an arena that shall have huge pages; null where jemalloc does not tell its own.
extent_hooks_t* HugePageHooks(unsigned arena) {
  static extent_hooks_t* const hooks = [arena]() -> extent_hooks_t* {
    const std::string key = "arena." + std::to_string(arena) + ".extent_hooks";
    size_t size = sizeof own_hooks;
    if (mallctl(key.c_str(), &own_hooks, &size, nullptr, 0) != 0) return nullptr;
    static extent_hooks_t huge = *own_hooks;
    huge.alloc = AllocateExtent;
    return &huge;
  }();
  return hooks;
}

// The thread cache would mix arenas: a cached block of another arena may be handed out.
int Flags(unsigned arena) {
  return static_cast<int>(MALLOCX_ARENA(arena)) | static_cast<int>(MALLOCX_TCACHE_NONE);
}
}  // namespace

GroupAllocator::GroupAllocator(bool huge_pages) {
  unsigned arena = 0;
  size_t size = sizeof arena;
  if (mallctl("arenas.create", &arena, &size, nullptr, 0) != 0) return;
  arena_ = arena;
  extent_hooks_t* hooks = huge_pages ? HugePageHooks(arena) : nullptr;
  if (hooks == nullptr) return;
  const std::string key = "arena." + std::to_string(arena) + ".extent_hooks";
  mallctl(key.c_str(), nullptr, nullptr, &hooks, sizeof hooks);
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
  void* memory = has_own_arena() ? mallocx(bytes, Flags(arena_)) : std::malloc(bytes);
  if (memory != nullptr) bytes_.fetch_add(bytes, std::memory_order_relaxed);  // statistic
  return memory;
}

void GroupAllocator::Free(void* memory, size_t bytes) {
  if (memory == nullptr) return;
  bytes_.fetch_sub(bytes, std::memory_order_relaxed);  // statistic
  if (has_own_arena()) {
    dallocx(memory, Flags(arena_));
  } else {
    std::free(memory);
  }
}

#else

GroupAllocator::GroupAllocator(bool) {}
GroupAllocator::~GroupAllocator() = default;
void GroupAllocator::Trim() {}

void* GroupAllocator::Allocate(size_t bytes) {
  void* memory = platform::AllocateRaw(bytes);
  if (memory != nullptr) bytes_.fetch_add(bytes, std::memory_order_relaxed);  // statistic
  return memory;
}

void GroupAllocator::Free(void* memory, size_t bytes) {
  if (memory == nullptr) return;
  bytes_.fetch_sub(bytes, std::memory_order_relaxed);  // statistic
  platform::FreeRaw(memory);
}

#endif

void* GroupAllocator::AllocateZeroed(size_t bytes) {
  void* memory = Allocate(bytes);
  if (memory != nullptr) std::memset(memory, 0, bytes);
  return memory;
}

}  // namespace Atoll
