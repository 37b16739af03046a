#include "tests/stress/check.h"

#include <signal.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "atoll/config.h"
#if ATOLL_ASAN || ATOLL_TSAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace Atoll::stress {
namespace {

Progress progress[kMaxWorkers];
std::atomic<const char*> scenario_name{"none"};
std::atomic<uint64_t> scenario_seed{0};
thread_local int current_worker = -1;

// Formatting that a signal handler may do.
void Append(char* buffer, size_t& at, size_t size, const char* text) {
  while (*text != 0 && at + 1 < size) buffer[at++] = *text++;
}
void AppendNumber(char* buffer, size_t& at, size_t size, uint64_t number) {
  char digits[24];
  size_t n = sizeof(digits);
  digits[--n] = 0;
  do {
    digits[--n] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  Append(buffer, at, size, digits + n);
}

void OnSignal(int signal_number) {
  PrintWhere();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

}  // namespace

Progress& ProgressOf(int worker) { return progress[worker]; }

void SetCurrentScenario(const char* name, uint64_t seed) {
  scenario_name.store(name);
  scenario_seed.store(seed);
}

void SetCurrentWorker(int worker) { current_worker = worker; }

void PrintWhere() {
  bool any = false;
  for (const Progress& one : progress) any |= one.active.load();
  if (!any) return;  // a sanitizer's report at exit
  char line[512];
  size_t at = 0;
  Append(line, at, sizeof(line), "stress: FAILED in ");
  Append(line, at, sizeof(line), scenario_name.load());
  Append(line, at, sizeof(line), ", ATOLL_SEED=");
  AppendNumber(line, at, sizeof(line), scenario_seed.load());
  for (int i = 0; i < kMaxWorkers; ++i) {
    if (!progress[i].active.load()) continue;
    Append(line, at, sizeof(line), i == current_worker ? ", (here) worker " : ", worker ");
    AppendNumber(line, at, sizeof(line), static_cast<uint64_t>(i));
    Append(line, at, sizeof(line), " in operation ");
    AppendNumber(line, at, sizeof(line), progress[i].operation.load());
  }
  Append(line, at, sizeof(line), "\n");
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line, at);
}

void InstallCrashHandler() {
#if ATOLL_ASAN || ATOLL_TSAN
  __sanitizer_set_death_callback(PrintWhere);
  signal(SIGABRT, OnSignal);
#else
  for (int number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTERM}) signal(number, OnSignal);
#endif
}

void Fail(const char* file, int line, const char* condition, const char* format, ...) {
  std::fprintf(stderr, "%s:%d: %s does not hold: ", file, line, condition);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n");
  std::abort();
}

}  // namespace Atoll::stress
