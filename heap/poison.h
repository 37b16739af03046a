// Making memory that was given up show itself when it is used.
#ifndef ATOLL_HEAP_POISON_H_
#define ATOLL_HEAP_POISON_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "atoll/config.h"
#if ATOLL_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace Atoll {

/// Every byte of memory given up, under StressOptions::poison. Read as a Ref it is an address
/// outside any reservation; read as a header, a type that is never registered.
inline constexpr unsigned char kPoisonByte = 0xDB;

/// In builds with AddressSanitizer: any access is reported until UnpoisonMemory.
inline void PoisonMemory([[maybe_unused]] uintptr_t address, [[maybe_unused]] size_t bytes) {
#if ATOLL_ASAN
  ASAN_POISON_MEMORY_REGION(reinterpret_cast<void*>(address), bytes);
#endif
}
inline void UnpoisonMemory([[maybe_unused]] uintptr_t address, [[maybe_unused]] size_t bytes) {
#if ATOLL_ASAN
  ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(address), bytes);
#endif
}

inline void FillPoison(uintptr_t address, size_t bytes) {
  UnpoisonMemory(address, bytes);  // given up for a while before, perhaps
  std::memset(reinterpret_cast<void*>(address), kPoisonByte, bytes);
}

}  // namespace Atoll

#endif  // ATOLL_HEAP_POISON_H_
