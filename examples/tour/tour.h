#ifndef ATOLL_EXAMPLES_TOUR_TOUR_H_
#define ATOLL_EXAMPLES_TOUR_TOUR_H_

// A tour of isolates. Each file shows one thing, whole, with a group of its own: isolates that send
// each other messages (ping_pong.cc), isolates that compute something large and hand it over
// (pool.cc), and data that all of them share (frozen_table.cc).

#include <atoll/atoll.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tour {

/// How much of each. What counts most is chosen by the program's argument.
struct Sizes {
  int64_t hits = 1'000'000;     ///< of the ball between two players
  int trees = 12;               ///< made by the pool
  int64_t nodes = 1'000'000;    ///< of each tree
  int64_t entries = 200'000;    ///< of the table
  int64_t lookups = 1'000'000;  ///< by each worker
  int workers = 4;              ///< that compute, or look things up, at the same time
};

void PingPong(const Sizes& sizes);
void Pool(const Sizes& sizes);
void FrozenTable(const Sizes& sizes);

/// Ends the program when what the tour claims is not so.
inline void Check(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "tour: not so: %s\n", claim);
  std::exit(1);
}
/// Ends the program where a virtual machine would report the error to whoever asked.
inline void OrEnd(const Atoll::Status& status) {
  if (!status.ok()) Check(false, status.message().c_str());
}
template <typename T>
T OrEnd(Atoll::Result<T> result) {
  OrEnd(result.status());
  return std::move(result).value();
}

/// A reference to a typed object, and back.
inline Atoll::Ref RefTo(const Atoll::Object* object) {
  return {reinterpret_cast<Atoll::Word>(object)};
}
template <typename T>
T* To(Atoll::Ref ref) {
  return reinterpret_cast<T*>(ref.word);
}

// [exits]
/// Hears how isolates end. A listener is called on any thread: hence the atomic.
struct Exits {
  std::atomic<int> as_they_should{0};

  Atoll::ExitListener listener() { return {OnExit, this}; }
  static void OnExit(void* data, const Atoll::ExitInfo& info) {
    if (info.reason == Atoll::ExitReason::kFailed) OrEnd(info.error);
    if (info.reason == Atoll::ExitReason::kReturned) ++static_cast<Exits*>(data)->as_they_should;
  }
};
// [/exits]

inline int64_t NowNanos() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}
inline double MillisSince(int64_t began) { return static_cast<double>(NowNanos() - began) / 1e6; }

}  // namespace tour

#endif  // ATOLL_EXAMPLES_TOUR_TOUR_H_
