// An isolate's inside.
#ifndef ATOLL_ISOLATE_ISOLATE_STATE_H_
#define ATOLL_ISOLATE_ISOLATE_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "atoll/function_ref.h"
#include "atoll/isolate.h"
#include "isolate/image.h"
#include "isolate/inbox.h"
#include "isolate/residence.h"

namespace Atoll {

struct EnteredThread;
struct IsolateRecord;
struct WorkerThread;

/// What a layer above keeps for an isolate.
struct IsolateExtension {
  /// In the isolate's last turn, managed: ends what it keeps.
  void (*end)(IsolateState& isolate);
};

/// Passes on all that an isolate owned, which lies in `residence` (its mutator native), after its
/// last turn. Takes the residence over. Or, with `takes_residence` false, passes on what it carries
/// itself: then it is called in managed state, without a residence.
struct HandOver {
  void (*fn)(HandOver& hand_over, Residence* residence);
  /// The graph that it carries packed, or an empty one.
  PackedGraph (*packed)(HandOver& hand_over);
  bool takes_residence = true;
  /// Whose; null from the end of the turn in which it was offered, if it was not committed.
  IsolateState* isolate = nullptr;
};

struct IsolateState final : Isolate {
  enum Flag : uint32_t {
    kInitialized = 1,  ///< InitializeIsolate has been called, and went well
    kPaused = 2,
    kExiting = 4,  ///< ends after the function that runs
    kInRing = 8,   ///< in a worker's ring of residents
    kSifted = 16,  ///< of one that is paused: no control envelope is among those that wait
  };

  IsolateState(GroupState& group, IsolateRecord& isolate_record, const SpawnOptions& options);
  ~IsolateState();

  bool Is(Flag flag) const { return (flags & flag) != 0; }
  void Set(Flag flag) { flags |= flag; }
  void Unset(Flag flag) { flags &= ~static_cast<uint32_t>(flag); }
  GroupState& group_state() const { return *group_; }
  bool IsKilled() const;

  void VisitRoots(RootVisitor& visitor);
  /// The graphs that it holds packed, outside every region: what it was parked as, and messages. At
  /// a stop of the group.
  void ForEachPacked(FunctionRef<void(const PackedGraph& graph, const char* what)> fn);
  /// Its own part of Heap::Verify, at a stop of the group.
  Status CheckPackedGraphs(const HeapState& heap);

  // A turn, in this order; see turn.cc. All in managed state of the residence's mutator.

  /// Takes up a residence, with what was parked. Error: no memory for that; it has moved in
  /// without.
  Status MoveIn(Residence& into);
  void EnterTurn();
  /// Handles what has come in, up to the turn's bound. Returns how many envelopes.
  int HandleMessages();
  bool ShallEnd() const { return Is(kExiting) || (holds_ == 0 && pending == nullptr); }
  /// The isolate's end: native afterwards, `this` is gone and the residence is given away.
  void End(WorkerThread& thread);
  void LeaveTurn();
  bool HasWork() const;
  /// Leaves the residence if no root refers to the heap. What lies there then is garbage, or, if
  /// it could be freed in passing, the residence `is_empty`.
  bool TryParkEmpty(bool* is_empty);
  /// Leaves the residence likewise, and packs what the roots reach. False: it cannot be parked;
  /// nothing has changed.
  bool TryPark(WorkerThread& thread, bool* is_empty);

  /// Ends after the function that runs, unless that has been decided already: what came first says
  /// why.
  void EndBecause(ExitReason why);
  /// Its offer was committed: it hands over what it owns when it ends.
  bool HandsOver() const { return reason == ExitReason::kHandedOver; }
  /// Takes back what is offered, if it has not been committed.
  void WithdrawOffer();
  void FailWith(Status status);
  /// Calls fn in no isolate, native, in the middle of a turn: for listeners.
  template <typename Fn>
  void RunOutside(Fn fn) {
    NativeScope native(*mutator_);
    current_ = nullptr;
    MutatorThread::ClearCurrent();
    fn();
    current_ = this;
  }
  /// Appends taken envelopes to those that wait.
  void AddPending(Envelope* first, Envelope* last);

  IsolateRecord& record;
  Residence* residence = nullptr;
  uint32_t flags = 0;
  ExitReason reason = ExitReason::kReturned;
  Envelope* pending = nullptr;  ///< taken from the inbox, oldest first
  Envelope* pending_last = nullptr;
  Envelope* in_hand = nullptr;  ///< being delivered, its references still its own
  Image parked;
  size_t limit_bytes;
  ExitListener on_exit;
  Envelope* listeners = nullptr;  ///< further ones, see control.h
  std::unique_ptr<Status> error;
  HandOver* offer = nullptr;  ///< made in this turn and not taken back, or committed
  IsolateExtension* extension = nullptr;
  uintptr_t extension_data = 0;
  void (*const entry)(Isolate& isolate, void* data);
  void* const entry_data;

 private:
  // A turn ends after the message that takes it beyond this; looked at every so many messages, so
  // that short turns read no clock.
  static constexpr uint64_t kTurnNanos = 200'000;
  static constexpr int kMessagesPerLook = 64;

  void HandleControl();
  void Sift(Envelope* waiting);
  Envelope* TakePending();
  void MoveOut();
};

/// An entry of the group's table of isolates: what may be looked at although its isolate has gone.
struct alignas(64) IsolateRecord {
  Inbox inbox;
  // 0: no isolate; until it has been cleaned up, it is the one that is ending, its inbox closed.
  // Relaxed: compared only; a reader that races is told so by the inbox.
  std::atomic<uint64_t> generation;
  // The generation of the isolate that shall end. Polls look at it, relaxed: who sees it late is
  // told by the envelope that comes with it. Written as PostKill says.
  std::atomic<uint64_t> kill;
  IsolateRecord* queue_next;  // of the owner
  EnteredThread* home;        // whose isolate it is; null: the workers'
  // The first envelope. Here, since it may be discarded when the isolate has gone.
  Envelope start;
  uint32_t index;
  // The worker that alone shall run the isolate for a while, see Scheduler::Gather; 0: any. A hint,
  // relaxed: senders write it, too, and late ones may meet the entry's next isolate.
  std::atomic<uint32_t> keeper;
  alignas(IsolateState) std::byte storage[sizeof(IsolateState)];

  IsolateState& state() { return *std::launder(reinterpret_cast<IsolateState*>(storage)); }
};
static_assert(sizeof(IsolateRecord) <= 256);

inline bool IsolateState::IsKilled() const {
  // Relaxed, both: see IsolateRecord.
  return record.kill.load(std::memory_order_relaxed) ==
         record.generation.load(std::memory_order_relaxed);
}

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_ISOLATE_STATE_H_
