// Layer: safepoint
#ifndef ATOLL_SAFEPOINT_H_
#define ATOLL_SAFEPOINT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "atoll/config.h"
#include "atoll/fence.h"
#include "atoll/function_ref.h"
#include "atoll/histogram.h"
#include "atoll/schedule_point.h"
#include "atoll/status.h"

/// When may one thread look at another's roots, or move its objects? Only while that other thread
/// is at a safepoint (invariant I5). This header is how a virtual machine's threads promise that.
///
/// A mutator is always in one state:
///
///   state         | may touch the heap | others may stop it by        | left by
///   --------------+--------------------+------------------------------+---------------------------
///   kManaged      | yes                | asking; it answers at a poll | Poll, EnterNative
///   kNative       | no                 | holding its return           | LeaveNative
///   kBlocked      | no (it waits)      | holding its return           | the wait's end
///   kAtSafepoint  | no (it answered)   | it is stopped                | the end of all its stops
///
/// and has a poll word, which it reads at every poll and every transition:
///
///   bit 0      kStop: somebody holds this mutator: become or stay anything but managed
///   bit 1      kHandshake: a function waits to be run on this mutator
///   bit 2      kDetained: it was found native after a fence, and returns by way of the lock
///   bits 3..7  zero
///   bits 8..31 client bits (RequestPoll), handed to OnPoll at the next poll
///
/// How a stop works. The requester *raises a hold* on each target: under the manager's lock it
/// counts the target's holds up and sets kStop. A target is stopped when its state is not
/// kManaged; going back to kManaged from kBlocked and kAtSafepoint is done under the lock and only
/// with no holds. From kNative it is a plain store, a light fence and a load of the poll word, so
/// before it believes in kNative the requester runs one heavy fence (atoll/fence.h); a stop in
/// which every target answers for itself needs none. When all are stopped the requester runs its
/// function, then takes its holds back.
///
/// A mutator that StopMutators or a handshake found native after a fence is *detained*: it keeps
/// kDetained when that is over, so that it takes the lock to become managed, where it loses the
/// bit. As long as it is native with that bit, it is asked again without a fence: a thread that
/// sleeps through all collections of its region costs one, and pays with one lock when it comes
/// back.
///
/// Who may raise. A requester raises all its holds at once, and only while nobody holds the
/// requester itself and nobody else owns a stop of the whole group; it waits for that in kBlocked
/// state, so that others can stop it meanwhile. (Hence no deadlock: of all requesters that wait,
/// the one that raised last is held by nobody, and its targets need nothing but to poll.)

namespace Atoll {

class MutatorThread;
class SafepointManager;

enum class MutatorState : uint32_t { kManaged, kNative, kBlocked, kAtSafepoint };
const char* ToString(MutatorState state);

/// What a stop of the group is for. A higher level implies the lower ones: at kReload one may also
/// collect. Inside a stop the same thread may ask again for the same or a lower level, which is
/// free; asking for a higher one is an error, since the code outside was written for less.
enum class SafepointLevel : uint8_t {
  kGC,      ///< objects may move and die; code and classes stay as they are
  kDeopt,   ///< frames may be rewritten too
  kReload,  ///< classes and code may change too
};
const char* ToString(SafepointLevel level);

/// Proof that mutators are stopped: handed by StopMutators and RunWithMutatorsStopped to the
/// function they run, and to be had from nowhere else. Functions that must run stopped take a
/// `const StoppedScope&`.
class StoppedScope {
 public:
  StoppedScope(const StoppedScope&) = delete;
  StoppedScope& operator=(const StoppedScope&) = delete;

  /// kGC for StopMutators.
  SafepointLevel level() const { return level_; }
  /// True when every mutator of the manager is stopped, false for a set.
  bool whole_group() const { return whole_group_; }
  SafepointManager& manager() const { return manager_; }

 private:
  friend class SafepointManager;
  StoppedScope(SafepointManager& manager, SafepointLevel level, bool whole_group)
      : manager_(manager), level_(level), whole_group_(whole_group) {}

  SafepointManager& manager_;
  const SafepointLevel level_;
  const bool whole_group_;
};

/// One thread of execution (a thread, or a fiber) as safepoints see it; the base of heap's
/// Mutator. Used by one thread at a time. It may be handed to another thread while it is native:
/// the old one calls ClearCurrent(), the new one LeaveNative().
class MutatorThread {
 public:
  static constexpr uint32_t kStop = 1u << 0;
  static constexpr uint32_t kHandshake = 1u << 1;
  static constexpr uint32_t kDetained = 1u << 2;
  static constexpr uint32_t kInterruptMask = kStop | kHandshake | kDetained;
  static constexpr uint32_t kClientShift = 8;
  static constexpr uint32_t kMaximumClientBits = (1u << (32 - kClientShift)) - 1;

  /// Native, and not attached to any manager. The name appears in statistics and reports.
  explicit MutatorThread(std::string name);
  /// Must be detached.
  virtual ~MutatorThread();
  MutatorThread(const MutatorThread&) = delete;
  MutatorThread& operator=(const MutatorThread&) = delete;

  /// The mutator that runs on this thread: the last one that became managed here, or MakeCurrent()
  /// named; null if none. It may be native meanwhile.
  static MutatorThread* Current() { return current_; }
  void MakeCurrent() { current_ = this; }
  static void ClearCurrent() { current_ = nullptr; }

  /// Answers whatever is asked of this mutator. Managed state, own thread; to be called at loop
  /// back edges, calls and allocations. One load and a branch (under 0.5 ns) when nothing is.
  /// Anything may happen to the heap in it that happens in a collection.
  ATOLL_ALWAYS_INLINE void Poll() {
    ATOLL_SCHEDULE_POINT("poll");
    // Relaxed: the slow path synchronizes through the manager's lock, and a request seen one poll
    // late is only late.
    if (ATOLL_UNLIKELY(poll_word_.load(std::memory_order_relaxed) != 0)) PollSlow();
  }
  // Relaxed: as in Poll.
  bool PollPending() const { return poll_word_.load(std::memory_order_relaxed) != 0; }

  /// From managed to native, on the own thread: from here others may collect, and move what this
  /// mutator's roots refer to. A store, and a load to see whether somebody waits for just this.
  ATOLL_ALWAYS_INLINE void EnterNative() {
    ATOLL_DCHECK(state() == MutatorState::kManaged, "%s enters native state while %s",
                 name_.c_str(), ToString(state()));
    // Release: whoever finds this mutator stopped sees what it wrote before.
    state_.store(MutatorState::kNative, std::memory_order_release);
    ATOLL_SCHEDULE_POINT("enter native: state stored");
    platform::LightFence();
    // Relaxed: the fence orders it behind the store, and the slow path takes the lock.
    if (ATOLL_UNLIKELY((poll_word_.load(std::memory_order_relaxed) & kInterruptMask) != 0)) {
      EnterNativeSlow();
    }
  }

  /// From native to managed, on the thread that is to run it, attached. Waits while the mutator is
  /// held, and is a poll for handshakes (client bits wait for the next Poll()). Two stores and a
  /// load when nothing is asked.
  ATOLL_ALWAYS_INLINE void LeaveNative() {
    ATOLL_DCHECK(state() == MutatorState::kNative, "%s leaves native state while %s", name_.c_str(),
                 ToString(state()));
    ATOLL_DCHECK(manager() != nullptr, "%s leaves native state, but is not attached",
                 name_.c_str());
    current_ = this;
    // Relaxed: ordered before the load by the fence; publishes nothing.
    state_.store(MutatorState::kManaged, std::memory_order_relaxed);
    ATOLL_SCHEDULE_POINT("leave native: managed stored");
    platform::LightFence();
    // Acquire: reads the clearing of kStop by the last stop, and so all that was done in it.
    if (ATOLL_UNLIKELY((poll_word_.load(std::memory_order_acquire) & kInterruptMask) != 0)) {
      LeaveNativeSlow();
    }
  }

  /// As EnterNative and LeaveNative, for the time of a wait (a lock, a mailbox). Leaving takes the
  /// manager's lock, for which stopping a blocked mutator needs no heavy fence.
  void EnterBlocked();
  void LeaveBlocked();
  /// LeaveBlocked if that needs no wait, else false and still blocked. Runs no handshakes. For
  /// those who have got a lock and would otherwise wait holding it.
  [[nodiscard]] bool TryLeaveBlocked();

  /// For statistics and checks by the own thread. Others may see kManaged for a moment although the
  /// mutator is held: on its way out of native state, before it looks at the poll word.
  // Acquire: what the mutator wrote before it left managed state is visible to who sees it left.
  MutatorState state() const { return state_.load(std::memory_order_acquire); }
  const std::string& name() const { return name_; }
  /// Null while not attached.
  SafepointManager* manager() const { return manager_.load(std::memory_order_relaxed); }

  /// Asks for OnPoll(client_bits) on this mutator's thread at its next Poll(). Any thread, any
  /// state; bits (at most kMaximumClientBits) add up until then. Does not wait.
  void RequestPoll(uint32_t client_bits);

  /// How many stops (StopMutators, RunWithMutatorsStopped) were asked of this mutator by others.
  uint64_t stops_asked() const { return stops_asked_.load(std::memory_order_relaxed); }

  /// For code generators: where the 32-bit word is that must be zero at a poll, in this mutator
  /// and as a distance from a `MutatorThread*`.
  const void* poll_word_address() const { return &poll_word_; }
  static size_t PollWordOffset();
  static size_t StateOffset();

 protected:
  /// Called by Poll() with the bits that were asked for since the last call: managed state, own
  /// thread, no lock held. May do all that managed code may, polls included.
  virtual void OnPoll(uint32_t client_bits) = 0;

 private:
  friend class SafepointManager;
  struct HandshakeRequest;

  ATOLL_COLD void PollSlow();
  ATOLL_COLD void EnterNativeSlow();
  ATOLL_COLD void LeaveNativeSlow();

  // constinit: no dynamic initialization, hence no wrapper call at each access.
  static constinit thread_local MutatorThread* current_;

  // The stop protocol above. Written by any thread, always by read-modify-write.
  std::atomic<uint32_t> poll_word_{0};
  // The stop protocol above. Written by the own thread only, except that the manager's requesters
  // are their own threads too.
  std::atomic<MutatorState> state_{MutatorState::kNative};
  // Written by Attach and Detach, under the manager's lock; which manager a mutator belongs to is
  // for its users to know, so a reader that races sees one or the other. Relaxed: publishes
  // nothing.
  std::atomic<SafepointManager*> manager_{nullptr};
  // A statistic; written under the manager's lock.
  std::atomic<uint64_t> stops_asked_{0};

  // All below is guarded by the manager's lock.
  uint32_t hold_count_ = 0;
  bool held_by_group_ = false;
  size_t index_ = 0;  // in the manager's list
  // A handshake's function is being run for this mutator by its requester, who holds it. Atomic
  // because arriving requesters look at it without the lock, and look again with it.
  std::atomic<bool> claimed_{false};
  HandshakeRequest* handshakes_ = nullptr;  // oldest first
  const std::string name_;
};

/// Native for a block of code: managed before and after.
class [[nodiscard]] NativeScope {
 public:
  explicit NativeScope(MutatorThread& mutator) : mutator_(mutator) { mutator_.EnterNative(); }
  ~NativeScope() { mutator_.LeaveNative(); }
  NativeScope(const NativeScope&) = delete;
  NativeScope& operator=(const NativeScope&) = delete;

 private:
  MutatorThread& mutator_;
};

/// Managed for a block of code: native before and after. The thread's current mutator meanwhile;
/// the previous one is current again after, so that a thread can run several in turn.
class [[nodiscard]] ManagedScope {
 public:
  explicit ManagedScope(MutatorThread& mutator)
      : mutator_(mutator), previous_(MutatorThread::Current()) {
    mutator_.LeaveNative();
  }
  ~ManagedScope() {
    mutator_.EnterNative();
    if (previous_ != nullptr) {
      previous_->MakeCurrent();
    } else {
      MutatorThread::ClearCurrent();
    }
  }
  ManagedScope(const ManagedScope&) = delete;
  ManagedScope& operator=(const ManagedScope&) = delete;

 private:
  MutatorThread& mutator_;
  MutatorThread* const previous_;
};

struct SafepointOptions {
  /// A mutator that has not arrived after this long is reported; again after twice as long, and
  /// so on. 0: never.
  uint64_t watchdog_nanos = 1'000'000'000;
  /// Called on the requester's thread, no lock held: the mutator's name, and how long it has been
  /// waited for. It must not call the manager. Default: a line on stderr.
  std::function<void(const std::string& name, uint64_t nanos)> watchdog;
  /// How long a requester spins for the others before it gives up its core.
  uint64_t spin_nanos = 2'000;
};

/// Time from asking to all mutators having arrived, over all stops of a manager.
struct TimeToSafepointStats {
  uint64_t count = 0;
  uint64_t p50_nanos = 0;
  uint64_t p99_nanos = 0;
  uint64_t max_nanos = 0;
  /// The mutator that arrived last in the slowest stop; empty when none had to be waited for.
  std::string slowest_mutator;
  uint64_t group_stops = 0;
  uint64_t set_stops = 0;
  uint64_t handshakes = 0;
  /// Heavy fences that stops have run: at most one each.
  uint64_t stop_fences = 0;
  /// Heavy fences that handshakes have run: at most one each, none where all answer.
  uint64_t handshake_fences = 0;
  Histogram histogram;
};

/// Knows the mutators of one group (one heap) and stops them. Thread-safe.
///
/// All requests may be made by a mutator of this manager (managed or native), by one of another
/// manager, or by a thread that is no mutator. While it waits the requester is blocked, so that
/// others can stop it, and shake hands with it: **every request is itself a safepoint for the
/// mutator that makes it.** While its function runs it is managed. (A mutator of another manager
/// stays blocked there until the request has ended: its function must not touch its own heap.)
class SafepointManager {
 public:
  explicit SafepointManager(SafepointOptions options = {});
  /// All mutators are detached, and no request is running.
  ~SafepointManager();
  SafepointManager(const SafepointManager&) = delete;
  SafepointManager& operator=(const SafepointManager&) = delete;

  /// Makes the mutator known, in native state. Never waits: during a stop of the group the mutator
  /// is held like all others when it wants to become managed. O(1). Error: it is attached already.
  Status Attach(MutatorThread* mutator);
  /// Forgets the mutator, which must be native, or managed on the calling thread; then it is
  /// native. Waits for stops and handshakes that hold it. Errors: not attached here; running on
  /// another thread; held by a stop of the calling thread's own.
  Status Detach(MutatorThread* mutator);

  /// Runs fn(target) once, while the target is at a safepoint: on the target's thread at its next
  /// poll if it is managed, else on the requester, holding the target's return from native
  /// meanwhile. Returns when it is done. A mutator that shakes hands with itself calls fn directly.
  ///
  /// fn runs in managed state (if it runs on a mutator at all); it must be short and must not
  /// poll, block, stop anyone or shake hands. The target must be attached, and stay so.
  void Handshake(MutatorThread& target, FunctionRef<void(MutatorThread&)> fn);

  /// Runs fn(target) now, on this thread, if the target is native or blocked and held by nobody;
  /// else returns false. Never waits for a mutator: for those who watch over many. fn runs under
  /// the manager's lock, so it may store something and no more.
  bool TryHandshake(MutatorThread& target, FunctionRef<void(MutatorThread&)> fn);

  /// Handshake with each mutator that is attached now, the caller's too: they go on running while
  /// it waits for the others. When it returns each has been at a safepoint since it was called. Not
  /// inside a stop.
  void HandshakeAll(FunctionRef<void(MutatorThread&)> fn);

  /// Runs fn while the mutators in `set` are stopped. Nobody else is asked anything. The requester
  /// may be in the set: it is skipped. Two stops whose sets overlap run one after the other, unless
  /// one is asked for inside another stop's fn. All in the set must be attached, and stay so.
  /// `reason` is a string literal for logs.
  ///
  /// fn may ask for further stops, but not of mutators that wait for what this thread holds, and
  /// not from WorkerPool helpers.
  void StopMutators(std::span<MutatorThread* const> set, const char* reason,
                    FunctionRef<void(const StoppedScope&)> fn);

  /// Runs fn while all mutators of the group, but the requester, are stopped, and no other
  /// thread's StopMutators function runs. One such stop at a time; requesters take turns.
  ///
  /// Nested: asked by the thread that owns the stop (or runs a StopMutators function, which counts
  /// as kGC) for the same or a lower level, it is granted; for a higher one, the error names both
  /// levels and the way out, and fn is not run.
  Status RunWithMutatorsStopped(SafepointLevel level, const char* reason,
                                FunctionRef<void(const StoppedScope&)> fn);

  /// Does this thread run the function of a stop of this manager's?
  bool InsideStop() const;
  /// Is `target` held by a stop whose function this thread runs? For checks; a lock.
  bool Holds(const MutatorThread& target) const;

  TimeToSafepointStats stats() const;
  /// Stops of the whole group so far (nested ones that were granted at once do not count).
  uint64_t group_stops() const;
  /// What the stop that runs or is being waited for is for; null when there is none.
  const char* current_reason() const;
  size_t mutator_count() const;

 private:
  friend class MutatorThread;
  struct Frame;
  struct Waiter;
  struct Impl;
  class Requester;

  void AwaitHandshake(Requester& requester, MutatorThread& target,
                      MutatorThread::HandshakeRequest& request, bool fenced);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace Atoll

#include "atoll/safepoint_mutex.h"

#endif  // ATOLL_SAFEPOINT_H_
