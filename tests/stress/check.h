// How does a failure say what to run again? It prints seed, scenario, worker and operation, and
// aborts: with a heap that is not what it should be, nothing after it means anything.
#ifndef ATOLL_TESTS_STRESS_CHECK_H_
#define ATOLL_TESTS_STRESS_CHECK_H_

#include <atomic>
#include <cstdint>

namespace Atoll::stress {

/// Where one worker is. Static, so that the signal handler can read it.
struct Progress {
  std::atomic<bool> active{false};
  std::atomic<uint64_t> operation{0};
};
inline constexpr int kMaxWorkers = 8;
Progress& ProgressOf(int worker);

/// What runs now, for failure messages: a name that lives as long as the process, and its seed.
void SetCurrentScenario(const char* name, uint64_t seed);
/// The worker that this thread runs, -1 for none.
void SetCurrentWorker(int worker);

/// Prints where everyone is on standard error; async-signal-safe.
void PrintWhere();
/// Makes crashes print where everyone was.
void InstallCrashHandler();

[[noreturn]] void Fail(const char* file, int line, const char* condition, const char* format, ...)
    __attribute__((format(printf, 4, 5)));

}  // namespace Atoll::stress

#define STRESS_CHECK(condition, ...)                                      \
  do {                                                                    \
    if (__builtin_expect(!(condition), 0)) {                              \
      ::Atoll::stress::Fail(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    }                                                                     \
  } while (false)

#endif  // ATOLL_TESTS_STRESS_CHECK_H_
