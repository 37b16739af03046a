// Layer: safepoint
#ifndef ATOLL_SAFEPOINT_SCHEDULE_H_
#define ATOLL_SAFEPOINT_SCHEDULE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "atoll/config.h"

/// Does the protocol hold under every order of its steps? Schedule exploration: real threads, run
/// one at a time, the next one chosen by a seed at every step.
///
/// A step is a schedule point (atoll/schedule_point.h), or any call of safepoint/platform.h that
/// blocks or could: mutexes, condition variables, thread start, end and join, yields, the clock.
/// The same seed gives the same trace, so that a failing seed replays exactly; another seed
/// another order. Memory is sequentially consistent in this mode: it finds wrong orders of steps,
/// not missing fences (the Promela models and ThreadSanitizer are for those).
///
/// Time is virtual: it advances a little at every step, and where a thread waits with a timeout
/// it may be chosen to time out, long before or after anything else happens.

#if ATOLL_SCHEDULES

namespace Atoll {

class SeededScheduler {
 public:
  /// One step: which thread (its index in Run's vector; threads they start count on), and what it
  /// was about to do when it was scheduled away.
  struct Step {
    int thread;
    const char* point;
    bool operator==(const Step& other) const;
  };

  struct Outcome {
    bool finished = false;  ///< every thread returned
    std::string report;     ///< else: the deadlock or lack of progress, each thread's last point
    std::vector<Step> trace;
  };

  /// Steps after which a run counts as not making progress.
  static constexpr uint64_t kDefaultMaxSteps = 200'000;

  explicit SeededScheduler(uint64_t max_steps = kDefaultMaxSteps) : max_steps_(max_steps) {}

  /// Runs `threads` until all have returned, or none can go on. In the latter case they stay
  /// blocked forever (and what they captured must stay alive, so make it static or leak it): good
  /// enough to report the seed. One Run at a time in a process; the calling thread is not
  /// scheduled and must not touch what the threads use meanwhile.
  Outcome Run(uint64_t seed, std::vector<std::function<void()>> threads);

  /// "thread 1: name" lines of the last `last` steps.
  static std::string Format(const std::vector<Step>& trace, size_t last = 60);

 private:
  uint64_t max_steps_;
};

/// For code that should behave differently under exploration (do work inline, spin less).
bool UnderSeededScheduler();

}  // namespace Atoll

#else

namespace Atoll {
constexpr bool UnderSeededScheduler() { return false; }
}  // namespace Atoll

#endif  // ATOLL_SCHEDULES

#endif  // ATOLL_SAFEPOINT_SCHEDULE_H_
