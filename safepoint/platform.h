// Layer: safepoint
#ifndef ATOLL_SAFEPOINT_PLATFORM_H_
#define ATOLL_SAFEPOINT_PLATFORM_H_

/// The seam between Atoll and the operating system: everything that blocks, starts threads, reads
/// the clock, maps memory or takes off-heap memory goes through here, and nowhere else. That is
/// what lets schedule exploration run the real protocols one thread at a time (in builds with
/// ATOLL_SCHEDULES, see safepoint/schedule.h), and fault injection refuse any one request.

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "atoll/config.h"
#include "atoll/fence.h"
#include "atoll/schedule_point.h"

namespace Atoll::platform {

// ---- Time ----------------------------------------------------------------------------------

/// Monotonic nanoseconds; about 24 ns a call. Virtual under a seeded scheduler.
uint64_t NowNanos();

// ---- Threads and waiting -------------------------------------------------------------------

/// A plain mutual exclusion lock: not recursive, 20 ns for an uncontended pair. A managed mutator
/// must not wait for one that is held for long: that is what SafepointMutex is for.
class Mutex {
 public:
  Mutex() = default;
  ~Mutex() { pthread_mutex_destroy(&mutex_); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock();
  void Unlock();
  bool TryLock();

 private:
  friend class ConditionVariable;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class [[nodiscard]] MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits may end without a notification: call them in a loop that tests the condition.
class ConditionVariable {
 public:
  ConditionVariable();
  ~ConditionVariable();
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;

  /// The caller holds `mutex`, and holds it again on return.
  void Wait(Mutex& mutex);
  /// As Wait, for at most `nanos`; false when the time ran out.
  bool WaitFor(Mutex& mutex, uint64_t nanos);
  void NotifyOne();
  void NotifyAll();

 private:
  pthread_cond_t condition_;
};

/// A thread of the library's own. Join() before destruction.
class Thread {
 public:
  Thread();
  /// Starts at once. The first 15 characters of `name` show in ps and debuggers. Aborts when the
  /// system has no thread left.
  Thread(const std::string& name, std::function<void()> entry);
  ~Thread();
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;

  bool joinable() const { return start_ != nullptr; }
  void Join();

 private:
  struct Start;
  static void* Main(void* start);
  std::unique_ptr<Start> start_;
};

/// Lets another runnable thread have this core.
void YieldThread();
/// The body of a bounded spin loop.
void SpinPause();

/// Processors this process may run on (its affinity mask), at least 1.
int ProcessorCount();
/// The memory this process may use: the least of the control group's limit (v1 or v2, any level)
/// and the physical memory.
size_t MemoryLimitBytes();
/// Of one core; 1 MiB where the system does not say.
size_t L2CacheBytes();

// ---- Memory --------------------------------------------------------------------------------
//
//   Reserve --> reserved (no access) --Commit--> usable, zero --Decommit--> reserved
//                                                 |      ^
//                                                 +------+ Discard: stays usable, reads zero again
//
// Addresses and sizes are multiples of the page size (4 KiB).

/// Address space only: no access, no swap accounting. `alignment` is a power of two. Null when
/// refused.
void* Reserve(size_t bytes, size_t alignment);
/// Makes reserved memory readable and writable. False when refused; then nothing changed that the
/// caller may rely on, and asking again is legal.
[[nodiscard]] bool Commit(void* address, size_t bytes);
/// Gives the memory back to the system and forbids access. False when the system refused to
/// forbid access (the memory is given back all the same).
bool Decommit(void* address, size_t bytes);
/// Gives the memory back; it stays accessible and reads as zero.
bool Discard(void* address, size_t bytes);
inline constexpr size_t kHugePageBytes = size_t{2} << 20;
/// A hint; ranges of that size and alignment may then be backed by huge pages.
void AdviseHugePages(void* address, size_t bytes);
/// Has the system back memory that is fresh from Commit, by one call instead of a fault for each
/// page; it stays zero.
void TouchFresh(void* address, size_t bytes);
/// Zeroed, accessible memory for side tables, backed as it is touched. `alignment` is a power of
/// two. Null when refused.
void* MapZeroed(size_t bytes, size_t alignment = 4096);
/// Ends a Reserve or a MapZeroed, whole.
void Unmap(void* address, size_t bytes);

/// Plain off-heap memory (malloc). Null when refused.
void* AllocateRaw(size_t bytes);
void FreeRaw(void* memory);

/// Fault injection: makes the system refuse, for tests. Disarmed it costs one relaxed load.
namespace faults {

/// kPartId is heap/'s: what it has no more of are numbers.
enum class Request : uint8_t { kReserve, kCommit, kMapZeroed, kRaw, kPartId, kCount };

/// From now on, the n-th request of this kind (1 is the next) is refused, and with
/// `and_all_after` every later one too. Replaces what was armed for this kind.
void FailNth(Request request, uint64_t n, bool and_all_after);
/// Disarms all kinds and zeroes the counts.
void Reset();
/// Requests of this kind since they were last armed or Reset(); counted only while anything is
/// armed. FailNth(kind, UINT64_MAX, false) counts without refusing.
uint64_t Count(Request request);
/// Counts a request made some other way than through this seam; true: treat it as refused.
bool ShouldFail(Request request);

}  // namespace faults

}  // namespace Atoll::platform

#endif  // ATOLL_SAFEPOINT_PLATFORM_H_
