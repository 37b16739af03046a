// What an isolate is woken by: a queue of envelopes that also says who may run the isolate.
//
// One word:
//   0        closed: the isolate is ending, or there is none. Memory given back reads like this.
//   1        idle: empty, and nobody runs the isolate or is about to
//   2        empty, but somebody owns the isolate
//   else     the envelope that came last, linked to those before it; somebody owns the isolate
//
// The owner is at any time one of: a scheduler's queue, the worker that runs the isolate, the
// thread that parks it, the sender that has just filled its idle inbox. Whoever takes the word from
// idle to anything else owns the isolate from then on, and must pass it to the scheduler, or give
// it up by TryIdle. So an isolate can end, and its memory be used for another, without a sender
// ever holding a pointer to what has gone: a sender touches the isolate behind an inbox only as its
// owner.
//
// Source: the list is Treiber's stack (1986), taken whole by its one consumer.
#ifndef ATOLL_ISOLATE_INBOX_H_
#define ATOLL_ISOLATE_INBOX_H_

#include <atomic>
#include <cstdint>

#include "atoll/config.h"
#include "atoll/heap.h"
#include "atoll/schedule_point.h"
#include "isolate/image.h"
#include "safepoint/platform.h"

namespace Atoll {

struct Envelope;
struct GroupState;
struct IsolateState;

/// What can be done with envelopes of one kind.
struct EnvelopeKind {
  /// Handles it, in the isolate's turn, managed; the envelope is the callee's.
  void (*deliver)(IsolateState& isolate, Envelope* envelope);
  /// Frees it, with all it carries: the isolate is gone. Any thread.
  void (*discard)(GroupState& group, Envelope* envelope);
  /// The graph that it carries packed. Null: it never carries one.
  PackedGraph (*packed)(Envelope* envelope);
  /// Also while the isolate is paused.
  bool is_control;
};

/// The head of anything that can lie in an inbox.
struct Envelope {
  const EnvelopeKind* kind;
  Envelope* next;
  /// The address of another that its sender sent not long before, which may have gone: fetched
  /// ahead of its turn, and never read. 0: none.
  uintptr_t sent_before = 0;
};

class Inbox {
 public:
  enum class Pushed : uint8_t {
    kClosed,  ///< not taken: the envelope is the caller's still
    kQueued,  ///< the isolate's owner will see it
    /// The same, but another thread pushed in between, and was let go first.
    kContended,
    kOwned,  ///< taken, and the caller owns the isolate: pass it to the scheduler
  };

  /// Closed to open, with one envelope in it; the caller owns the isolate.
  void Open(Envelope* first) {
    first->next = nullptr;
    // Sequentially consistent: a group that shuts down finds it open, or it finds the group shut.
    word_.store(reinterpret_cast<uintptr_t>(first));
  }

  Pushed Push(Envelope* envelope) {
    // Relaxed: only compared; what it points to is the owner's business.
    uintptr_t word = word_.load(std::memory_order_relaxed);
    Pushed pushed = Pushed::kQueued;
    for (;;) {
      if (ATOLL_UNLIKELY(word == kClosedWord)) return Pushed::kClosed;
      envelope->next = word <= kOwnedWord ? nullptr : reinterpret_cast<Envelope*>(word);
      ATOLL_SCHEDULE_POINT("inbox: push");
      // Release: the owner that takes the envelope sees what is in it. Acquire: see what the last
      // owner did before it left the isolate idle.
      if (ATOLL_LIKELY(word_.compare_exchange_weak(word, reinterpret_cast<uintptr_t>(envelope),
                                                   std::memory_order_acq_rel,
                                                   std::memory_order_relaxed))) {
        break;
      }
      StandBack();
      pushed = Pushed::kContended;
      word = word_.load(std::memory_order_relaxed);
    }
    return word == kIdleWord ? Pushed::kOwned : pushed;
  }

  /// Owner: all envelopes, oldest first; `last` is the newest of them.
  Envelope* Take(Envelope** last) {
    // Relaxed: looked at again by whoever gives up the isolate.
    if (word_.load(std::memory_order_relaxed) == kOwnedWord) return nullptr;
    ATOLL_SCHEDULE_POINT("inbox: take");
    const uintptr_t word = word_.exchange(kOwnedWord, std::memory_order_acquire);
    *last = reinterpret_cast<Envelope*>(word);
    return Reverse(word);
  }
  Envelope* Take() {
    Envelope* last = nullptr;
    return Take(&last);
  }
  bool has_envelopes() const { return word_.load(std::memory_order_relaxed) > kOwnedWord; }
  /// A look, which may be out of date at once.
  bool is_idle() const { return word_.load(std::memory_order_relaxed) == kIdleWord; }
  /// Sequentially consistent, see Open.
  bool is_closed() const { return word_.load() == kClosedWord; }

  /// Owner: gives up the isolate, unless something has come in.
  bool TryIdle() {
    uintptr_t word = kOwnedWord;
    ATOLL_SCHEDULE_POINT("inbox: try to be idle");
    // Release: the next owner sees what this one did.
    return word_.compare_exchange_strong(word, kIdleWord, std::memory_order_release,
                                         std::memory_order_relaxed);
  }
  /// Anybody: owns an idle isolate. Safe for isolates that may be gone.
  bool TryOwn() {
    uintptr_t word = kIdleWord;
    ATOLL_SCHEDULE_POINT("inbox: try to own");
    return word_.compare_exchange_strong(word, kOwnedWord, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }
  /// Owner: takes nothing any more. Returns what is in it, oldest first.
  Envelope* Close() {
    ATOLL_SCHEDULE_POINT("inbox: close");
    return Reverse(word_.exchange(kClosedWord, std::memory_order_acq_rel));
  }

  /// Calls fn(Envelope*) for each, newest first. While nobody takes any.
  template <typename Fn>
  void ForEach(Fn fn) const {
    const uintptr_t word = word_.load(std::memory_order_acquire);
    if (word <= kOwnedWord) return;
    for (auto* envelope = reinterpret_cast<Envelope*>(word); envelope != nullptr;
         envelope = envelope->next) {
      fn(envelope);
    }
  }

 private:
  static constexpr uintptr_t kClosedWord = 0;
  static constexpr uintptr_t kIdleWord = 1;
  static constexpr uintptr_t kOwnedWord = 2;

  static constexpr size_t kCacheLine = 64;

  /// Somebody else has just pushed, and is likely to push more: left alone for half a microsecond
  /// he does so in his own cache, while two that push by turns would fetch the word each time.
  ATOLL_COLD static void StandBack() {
    for (int i = 0; i < 64; ++i) platform::SpinPause();
  }

  static Envelope* Reverse(uintptr_t word) {
    if (word <= kOwnedWord) return nullptr;
    auto* envelope = reinterpret_cast<Envelope*>(word);
    Envelope* reversed = nullptr;
    while (envelope != nullptr) {
      // They lie in another core's cache, each found by the one before: without this the owner
      // waits for one after the other.
      __builtin_prefetch(reinterpret_cast<const void*>(envelope->sent_before));
      __builtin_prefetch(reinterpret_cast<const void*>(envelope->sent_before + kCacheLine));
      Envelope* next = envelope->next;
      envelope->next = reversed;
      reversed = envelope;
      envelope = next;
    }
    return reversed;
  }

  std::atomic<uintptr_t> word_{kClosedWord};
};

}  // namespace Atoll

#endif  // ATOLL_ISOLATE_INBOX_H_
