#include "heap/group_allocator.h"

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
// The thread cache would mix arenas: a cached block of another arena may be handed out.
int Flags(unsigned arena) {
  return static_cast<int>(MALLOCX_ARENA(arena)) | static_cast<int>(MALLOCX_TCACHE_NONE);
}
}  // namespace

GroupAllocator::GroupAllocator() {
  unsigned arena = 0;
  size_t size = sizeof arena;
  if (mallctl("arenas.create", &arena, &size, nullptr, 0) == 0) arena_ = arena;
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

GroupAllocator::GroupAllocator() = default;
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
