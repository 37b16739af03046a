// Layer: safepoint
#ifndef ATOLL_SAFEPOINT_SAFEPOINT_MANAGER_IMPL_H_
#define ATOLL_SAFEPOINT_SAFEPOINT_MANAGER_IMPL_H_

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "atoll/safepoint.h"
#include "safepoint/platform.h"

/// The inside of SafepointManager. The protocol is stated in atoll/safepoint.h; this adds:
///
/// **Who waits where.** A requester waits for its targets to arrive on a condition variable of its
/// own (Waiter), naming the one it waits for, so that an arrival wakes just those who need it. All
/// other waits (a held mutator's for its release, a requester's for its turn) are for holds to be
/// taken back, and share `resume`.
///
/// **Threads that are no mutators** ("foreign": no mutator at all, or one of another manager) have
/// no state by which others could see that they run a stop's function. They are counted instead:
/// a stop of the group waits until `foreign_running` is zero, and while the group is stopped by
/// another thread none starts to run. Like a mutator's, their waits count as being stopped.
///
/// **No lost wake-up at arrival.** A mutator that leaves managed state stores its state, runs a
/// light fence, and loads the poll word; finding a request there it takes the lock and wakes its
/// waiters. A requester has set the poll word long before it parks, but only a heavy fence makes
/// sure that one of the two sees the other; so a requester that has not run one parks for at most
/// kFirstPark, runs it, and looks again.

namespace Atoll {

/// One request's place among those who wait for mutators to arrive. On the requester's stack.
struct SafepointManager::Waiter {
  platform::ConditionVariable condition;
  const MutatorThread* awaiting = nullptr;  // wakes when it arrives, or gives up a claim
  bool awaiting_foreign = false;            // wakes when a foreign function ends or waits
  bool awaiting_release = false;            // wakes when any hold is taken back
};

/// What this thread's stops hold, innermost first; linked through a thread-local.
struct SafepointManager::Frame {
  enum Kind : uint8_t {
    kSet,      // holds `targets`
    kGroup,    // holds all
    kGranted,  // nested in kGroup: holds nothing more
  };
  const SafepointManager* manager;
  Kind kind;
  SafepointLevel level;
  std::span<MutatorThread* const> targets;
  Frame* previous;
};

/// A function that waits to be run on a mutator. On the requester's stack; guarded by the lock,
/// but for `done`.
struct MutatorThread::HandshakeRequest {
  FunctionRef<void(MutatorThread&)> fn;
  SafepointManager::Waiter* waiter;
  HandshakeRequest* next = nullptr;
  bool queued = true;
  // Set under the lock; read without it by a requester that spins, which then takes the lock.
  std::atomic<bool> done{false};
};

struct SafepointManager::Impl {
  Impl(SafepointManager* owner, SafepointOptions given);

  // ---- This thread's stops

  static constinit thread_local Frame* frames;

  /// The innermost frame of this thread in `manager`; null outside all stops.
  static const Frame* Innermost(const SafepointManager* manager);
  static bool OwnsGroup(const SafepointManager* manager);
  /// The holds that this thread's frames have on `target`.
  static uint32_t OwnHolds(const SafepointManager* manager, const MutatorThread& target);

  /// How long a requester whose spinning was in vain yields its core before it parks.
  static constexpr uint64_t kYieldNanos = 50'000;
  /// How long a stopped mutator spins for its release before it parks.
  static constexpr uint64_t kReleaseSpinNanos = 30'000;
  /// How long it may park without having run a heavy fence.
  static constexpr uint64_t kFirstPark = 200'000;

  // ---- Under the lock

  void Raise(MutatorThread& target, bool asked);
  void Lower(MutatorThread& target);
  /// A mutator that is stopped, as is known after a fence: if it is native, it is detained.
  static void Detain(MutatorThread& target);
  /// Before the mutator becomes managed, or is forgotten: it pays for having been detained once.
  static void Undetain(MutatorThread& mutator);
  /// After Lower, or when the group is given up: who waits for that with a Waiter of its own is
  /// woken here, the rest by NotifyReleased() after unlocking.
  void WakeReleased();
  void QueueHandshake(MutatorThread& target, MutatorThread::HandshakeRequest& request);
  void UnqueueHandshake(MutatorThread& target, MutatorThread::HandshakeRequest& request);
  void WakeWaitersFor(const MutatorThread& mutator);
  void WakeWaitersForForeign();
  /// Waits on `resume`; the lock is given up meanwhile.
  void WaitForRelease();
  /// A mutator that is held goes to kAtSafepoint.
  void ArriveIfHeld(MutatorThread& mutator);
  /// Waits while `mutator` is held, then makes it managed.
  void BecomeManaged(MutatorThread& mutator);
  void RunHandshakes(MutatorThread& mutator);
  void RecordArrival(uint64_t nanos, const MutatorThread* last);

  // ---- Without it

  void NotifyReleased();
  /// Spins, then yields, for up to kYieldNanos from `start`.
  template <typename Unanswered>
  void SpinWhile(uint64_t start, const Unanswered& unanswered) const;
  /// Waits until all of `targets`, on which holds have been raised, are stopped, and for a group
  /// no foreign function runs. Reorders `targets`. Returns with the lock held.
  void AwaitArrival(std::span<MutatorThread*> targets, bool group, const char* reason,
                    uint64_t start);
  /// The own thread's answer to kStop and kHandshake, from managed state and back.
  void Answer(MutatorThread& mutator);
  void Report(const std::string& name, uint64_t nanos, const char* reason) const;

  /// Is it anything but managed, until our hold is taken back? `fenced`: a heavy fence was run
  /// since the hold was raised. With a hold on it, or under the lock.
  static bool IsStopped(const MutatorThread& target, bool fenced);

  SafepointManager* const manager;
  const SafepointOptions options;

  mutable platform::Mutex mutex;
  // All below is guarded by the mutex, but for the two atomics.
  platform::ConditionVariable resume;
  // Threads that wait on `resume`. Atomic so that NotifyReleased can look without the lock: whoever
  // came later has seen, under the lock, what was released.
  std::atomic<int> parked{0};
  // Requesters that have given up spinning for arrivals: a mutator that arrives had better give up
  // its core at once than spin for its release. Relaxed: only a hint.
  std::atomic<int> impatient{0};
  std::vector<Waiter*> waiters;
  std::vector<MutatorThread*> mutators;
  bool group_owned = false;
  const char* group_reason = nullptr;
  int foreign_running = 0;

  Histogram time_to_safepoint;
  std::string slowest_mutator;
  uint64_t slowest_nanos = 0;
  uint64_t set_stops = 0;
  uint64_t handshakes = 0;
  uint64_t stop_fences = 0;
  uint64_t handshake_fences = 0;
  // Read without the lock. Relaxed: a statistic.
  std::atomic<uint64_t> group_stops{0};
};

/// The thread that makes a request: blocked while it waits, managed (or counted as foreign) while
/// its function runs, and in the end as it was before.
///
///   Requester requester(impl);            // from here blocked
///   lock; wait for what is needed; requester.WaitAndRun(); unlock;
///   fn();                                 // others wait for this thread now
///   lock; take back what was held; requester.Finish(); unlock;
class SafepointManager::Requester {
 public:
  explicit Requester(Impl& impl);
  ~Requester();
  Requester(const Requester&) = delete;
  Requester& operator=(const Requester&) = delete;

  /// Does this thread ask from inside a stop's function?
  bool nested() const { return nested_; }

  // All below under the lock.

  /// Nobody holds this thread back, in the way in which it can be.
  bool MayRun() const;
  /// From here others wait for this thread. MayRun() holds.
  void Run();
  void WaitAndRun();
  /// This thread has become the owner of the group's stop.
  void OwnGroup() { owns_group_ = true; }
  /// The thread's mutator is native in the end, whatever it was.
  void EndNative() { before_ = MutatorState::kNative; }
  void Finish();

 private:
  Impl& impl_;
  MutatorThread* const self_;
  const bool own_;  // self_ is a mutator of this manager, else the thread is foreign
  const bool nested_;
  bool owns_group_;
  MutatorState before_ = MutatorState::kNative;
  bool running_ = false;
};

}  // namespace Atoll

#endif  // ATOLL_SAFEPOINT_SAFEPOINT_MANAGER_IMPL_H_
