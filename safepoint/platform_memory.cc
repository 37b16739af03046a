#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <atomic>

#include "safepoint/platform.h"

namespace Atoll::platform {

namespace faults {

namespace {

constexpr size_t kKinds = static_cast<size_t>(Request::kCount);

struct Kind {
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> refuse_at{0};  // 0: never
  std::atomic<bool> and_all_after{false};
};

// Relaxed everywhere: tests arm before they start the threads that are to be refused, and counts
// are read after those have been joined.
std::atomic<bool> armed{false};
Kind kinds[kKinds];

bool RefusedSlow(Request request) {
  Kind& kind = kinds[static_cast<size_t>(request)];
  const uint64_t number = kind.requests.fetch_add(1, std::memory_order_relaxed) + 1;
  const uint64_t at = kind.refuse_at.load(std::memory_order_relaxed);
  if (at == 0) return false;
  return number == at || (number > at && kind.and_all_after.load(std::memory_order_relaxed));
}

ATOLL_ALWAYS_INLINE bool Refused(Request request) {
  return ATOLL_UNLIKELY(armed.load(std::memory_order_relaxed)) && RefusedSlow(request);
}

}  // namespace

void FailNth(Request request, uint64_t n, bool and_all_after) {
  Kind& kind = kinds[static_cast<size_t>(request)];
  kind.requests.store(0, std::memory_order_relaxed);
  kind.refuse_at.store(n, std::memory_order_relaxed);
  kind.and_all_after.store(and_all_after, std::memory_order_relaxed);
  armed.store(true, std::memory_order_relaxed);
}

void Reset() {
  armed.store(false, std::memory_order_relaxed);
  for (Kind& kind : kinds) {
    kind.requests.store(0, std::memory_order_relaxed);
    kind.refuse_at.store(0, std::memory_order_relaxed);
    kind.and_all_after.store(false, std::memory_order_relaxed);
  }
}

uint64_t Count(Request request) {
  return kinds[static_cast<size_t>(request)].requests.load(std::memory_order_relaxed);
}

bool ShouldFail(Request request) { return Refused(request); }

}  // namespace faults

namespace {

constexpr size_t kPage = 4096;

// Null when refused.
void* Map(size_t bytes, size_t alignment, int protection) {
  // Over-reserve by the alignment, then give the ends back.
  const size_t slack = alignment > kPage ? alignment : 0;
  if (bytes + slack < bytes) return nullptr;
  void* mapped =
      mmap(nullptr, bytes + slack, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (slack == 0) return mapped;
  const uintptr_t start = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t aligned = (start + alignment - 1) & ~(static_cast<uintptr_t>(alignment) - 1);
  if (aligned > start) munmap(mapped, aligned - start);
  const uintptr_t end = start + bytes + slack;
  if (end > aligned + bytes) {
    munmap(reinterpret_cast<void*>(aligned + bytes), end - aligned - bytes);
  }
  return reinterpret_cast<void*>(aligned);
}

}  // namespace

void* Reserve(size_t bytes, size_t alignment) {
  if (faults::Refused(faults::Request::kReserve)) return nullptr;
  void* reserved = Map(bytes, alignment, PROT_NONE);
  // The heap would swamp a core dump; ignored where the kernel does not know it.
  if (reserved != nullptr) madvise(reserved, bytes, MADV_DONTDUMP);
  return reserved;
}

bool Commit(void* address, size_t bytes) {
  if (faults::Refused(faults::Request::kCommit)) return false;
  return mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0;
}

bool Decommit(void* address, size_t bytes) {
  const bool discarded = Discard(address, bytes);
  return mprotect(address, bytes, PROT_NONE) == 0 && discarded;
}

bool Discard(void* address, size_t bytes) {
  int result;
  do {
    result = madvise(address, bytes, MADV_DONTNEED);
  } while (result != 0 && errno == EAGAIN);
  return result == 0;
}

void AdviseHugePages(void* address, size_t bytes) { madvise(address, bytes, MADV_HUGEPAGE); }

void TouchFresh(void* address, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  madvise(address, bytes, MADV_POPULATE_WRITE);  // Linux 5.14; without it each write below faults
#endif
  auto* memory = static_cast<volatile uint8_t*>(address);
  for (size_t at = 0; at < bytes; at += kPage) memory[at] = 0;
}

void* MapZeroed(size_t bytes, size_t alignment) {
  if (faults::Refused(faults::Request::kMapZeroed)) return nullptr;
  return Map(bytes, alignment, PROT_READ | PROT_WRITE);
}

void Unmap(void* address, size_t bytes) { munmap(address, bytes); }

void* AllocateRaw(size_t bytes) {
  if (faults::Refused(faults::Request::kRaw)) return nullptr;
  return malloc(bytes);
}

void FreeRaw(void* memory) { free(memory); }

}  // namespace Atoll::platform
