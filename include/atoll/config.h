// Layer: safepoint
#ifndef ATOLL_CONFIG_H_
#define ATOLL_CONFIG_H_

/// How this copy of Atoll was built, and the few macros that every header leans on.
///
/// | macro           | 1 means                                                               |
/// |-----------------|-----------------------------------------------------------------------|
/// | ATOLL_SCHEDULES | protocol steps yield to a seeded scheduler (schedule exploration)     |
/// | ATOLL_CHECKS    | debug checks: ranks, states, bounds; they abort with a message        |
/// | ATOLL_TSAN      | ThreadSanitizer: read-modify-writes in place of fences and membarrier |
/// | ATOLL_ASAN      | AddressSanitizer                                                      |
/// | ATOLL_JEMALLOC  | off-heap memory comes from jemalloc arenas                            |
///
/// All are always 0 or 1. The build defines them for the library and, through its exported
/// target, for everything that includes its headers; the defaults below are for a reader, a tool
/// or an outside build that does not. They change class layouts: never mix two settings.

#ifndef ATOLL_SCHEDULES
#define ATOLL_SCHEDULES 0
#endif

#ifndef ATOLL_CHECKS
#ifdef NDEBUG
#define ATOLL_CHECKS 0
#else
#define ATOLL_CHECKS 1
#endif
#endif

#ifndef ATOLL_TSAN
#if defined(__SANITIZE_THREAD__)
#define ATOLL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ATOLL_TSAN 1
#endif
#endif
#ifndef ATOLL_TSAN
#define ATOLL_TSAN 0
#endif
#endif

#ifndef ATOLL_ASAN
#if defined(__SANITIZE_ADDRESS__)
#define ATOLL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ATOLL_ASAN 1
#endif
#endif
#ifndef ATOLL_ASAN
#define ATOLL_ASAN 0
#endif
#endif

#ifndef ATOLL_JEMALLOC
#define ATOLL_JEMALLOC 0
#endif

#define ATOLL_LIKELY(condition) (__builtin_expect(!!(condition), 1))
#define ATOLL_UNLIKELY(condition) (__builtin_expect(!!(condition), 0))
#define ATOLL_NOINLINE __attribute__((noinline))
#define ATOLL_COLD __attribute__((cold, noinline))
#define ATOLL_ALWAYS_INLINE inline __attribute__((always_inline))

namespace Atoll {

/// Prints "atoll: " and the message (printf style) to stderr and aborts. For broken invariants
/// and misuse that has no way to return a Status. Any thread, any state.
[[noreturn]] ATOLL_COLD void Fatal(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace Atoll

/// Always on: aborts with the printf-style message when `condition` does not hold.
#define ATOLL_CHECK(condition, ...)                                \
  do {                                                             \
    if (ATOLL_UNLIKELY(!(condition))) ::Atoll::Fatal(__VA_ARGS__); \
  } while (false)

/// As ATOLL_CHECK, in builds with ATOLL_CHECKS; else compiled and never run.
#define ATOLL_DCHECK(condition, ...)                                                    \
  do {                                                                                  \
    if (ATOLL_CHECKS != 0 && ATOLL_UNLIKELY(!(condition))) ::Atoll::Fatal(__VA_ARGS__); \
  } while (false)

#endif  // ATOLL_CONFIG_H_
