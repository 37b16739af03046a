// Stopping mutators: polls, native transitions, the asymmetric fence, and who waits for whom.
//
// Mirrors, step by step: MutatorThread::{Poll, EnterNative, LeaveNative}, and in the manager Raise,
// Lower, Undetain, Answer, ArriveIfHeld, BecomeManaged, AwaitArrival, WaitForRelease,
// NotifyReleased, StopMutators, TryHandshake, and of Handshake QueueHandshake, UnqueueHandshake,
// RunHandshakes and AwaitHandshake.
//
// Memory: what a mutator stores into its state goes through a store buffer (x86: TSO), which the
// process Memory empties at some time. A light fence does nothing, the heavy one waits until all
// buffers are empty, and so does who locks. Reads of others see memory only.
//
// Checked: while a stop's function runs no target runs managed code, nor while a handshake's does
// unless the target runs that itself; a handshake's function runs once; nobody waits for ever (each
// process comes to its end).
//
// Three cases, or there were too many states: a StopMutators of two mutators; with TRIES, a
// StopMutators and a TryHandshake that want the same one; with SHAKES, a Handshake and a
// TryHandshake.
//
// Wrong on purpose: NO_HEAVY_FENCE (native is believed at once), NO_BOUND (a requester parks for
// good without having run a heavy fence), NO_HOLD (going back to managed state looks at no holds),
// UNQUEUED_FIRST (who claims a target takes its request off before it raises its hold),
// DETAINED_UNSEEN (leaving native state looks at the other bits only).

#define MUTATORS 2
#define STEPS 2

mtype = { kManaged, kNative, kAtSafepoint };

mtype state[MUTATORS] = kNative;                // as others see it
chan buffer[MUTATORS] = [2] of { mtype };       // stores on their way
bool kstop[MUTATORS];                           // the poll word's bits
bool khandshake[MUTATORS];
bool kdetained[MUTATORS];
byte holds[MUTATORS];
bool mutex;
byte parked, resumed;                           // the condition `resume`: how often it was notified
bool awaits[MUTATORS], woken;                   // the stop's or handshake's Waiter: whom it awaits
bool queued, answered;                              // the handshake's request

bool runs[MUTATORS];                            // ghost: runs managed code
byte stopped[MUTATORS];                         // ghost: stops and handshakes that rely on it
byte shaken;                                    // ghost: how often the handshake's function ran

active proctype Memory() {
  mtype s;
end:
  do
  :: atomic { buffer[0]?s -> state[0] = s; s = 0 }
  :: atomic { buffer[1]?s -> state[1] = s; s = 0 }
  od
}

inline Lock() { atomic { !mutex -> mutex = true } }
inline LockOf(m) { atomic { !mutex && len(buffer[m]) == 0 -> mutex = true } }
inline Unlock() { mutex = false }
inline UnlockOf(m) { atomic { len(buffer[m]) == 0 -> mutex = false } }
inline HeavyFence() { atomic { len(buffer[0]) == 0 && len(buffer[1]) == 0 -> skip } }

// Under the lock, of a thread without stores on their way.
inline WaitForRelease(seen) {
  atomic { parked++; seen = resumed; mutex = false }
  atomic { resumed != seen && !mutex -> mutex = true; parked--; seen = 0 }
}
inline NotifyReleased() {
  if
  :: atomic { parked > 0 -> resumed++ }
  :: else
  fi
}
inline Raise(m) { atomic { holds[m]++; kstop[m] = true } }
inline Lower(m) {
  atomic {
    assert(holds[m] > 0);
    holds[m]--;
    if
    :: holds[m] == 0 -> kstop[m] = false
    :: else
    fi
  }
}
inline WakeWaitersFor(m) {
  atomic {
    if
    :: awaits[m] -> woken = true
    :: else
    fi
  }
}

inline Run(m) { atomic { runs[m] = true; assert(stopped[m] == 0) } }

inline ArriveAndBecomeManaged(m, seen) {
  if
  :: holds[m] > 0 -> state[m] = kAtSafepoint; WakeWaitersFor(m)
  :: else
  fi;
#ifndef NO_HOLD
  do
  :: holds[m] > 0 -> WaitForRelease(seen)
  :: else -> break
  od;
#endif
  kdetained[m] = false;
  buffer[m]!kManaged
}

inline Answer(m, seen) {
  if
  :: kstop[m] -> buffer[m]!kAtSafepoint
  :: else
  fi;
  LockOf(m);
  ArriveAndBecomeManaged(m, seen);
#ifdef SHAKES
  if
  :: queued ->
    atomic { queued = false; khandshake[m] = false }
    UnlockOf(m);
    Run(m);                                             // the function, by the target itself
    shaken++;
    runs[m] = false;
    LockOf(m);
    atomic { answered = true; woken = true }
    ArriveAndBecomeManaged(m, seen)
  :: else
  fi;
#endif
  UnlockOf(m);
  Run(m)
}

#ifdef DETAINED_UNSEEN
#define DETAINED(m) false
#else
#define DETAINED(m) kdetained[m]
#endif

inline LeaveNative(m, seen) {
  buffer[m]!kManaged;
  if
  :: kstop[m] || khandshake[m] || DETAINED(m) -> Answer(m, seen)
  :: else -> Run(m)
  fi
}

inline EnterNative(m) {
  runs[m] = false;
  buffer[m]!kNative;
  if
  :: kstop[m] || khandshake[m] -> LockOf(m); WakeWaitersFor(m); UnlockOf(m)
  :: else
  fi
}

proctype Mutator(byte m) {
  byte steps = 0, seen = 0;
  LeaveNative(m, seen);
  do
  :: steps == STEPS -> break
  :: steps < STEPS -> steps++;
    if
    :: kstop[m] || khandshake[m] -> runs[m] = false; Answer(m, seen)  // Poll
    :: !kstop[m] && !khandshake[m]
    :: EnterNative(m); LeaveNative(m, seen)
    fi
  od;
  EnterNative(m)
}

inline Look(m) {
  if
  :: arrived[m]
  :: !arrived[m] && state[m] == kManaged -> any_managed = true
  :: !arrived[m] && state[m] == kAtSafepoint -> arrived[m] = true
#ifdef NO_HEAVY_FENCE
  :: !arrived[m] && state[m] == kNative -> arrived[m] = true
#else
  :: !arrived[m] && state[m] == kNative ->
    if
    :: fenced -> arrived[m] = true; kdetained[m] = true
    :: !fenced && kdetained[m] -> arrived[m] = true
    :: else -> any_native = true
    fi
#endif
  fi
}
inline LookAtAll() {
  atomic { any_native = false; any_managed = false }
  atomic { Look(0) }
  atomic { Look(1) }
}

inline AwaitArrival() {
  Lock();
  do
  :: LookAtAll();
    if
    :: !any_native && !any_managed -> break
    :: any_native && !fenced -> Unlock(); HeavyFence(); fenced = true; Lock()
    :: (any_managed || any_native) && !(any_native && !fenced) ->
      atomic {
        woken = false;
        if
        :: !arrived[0] -> awaits[0] = true
        :: else -> awaits[1] = true
        fi;
        mutex = false
      }
      if
      :: atomic { woken && !mutex -> mutex = true; awaits[0] = false; awaits[1] = false }
#ifndef NO_BOUND
      :: !fenced ->                                        // kFirstPark is over
        HeavyFence();
        fenced = true;
        atomic { !mutex -> mutex = true; awaits[0] = false; awaits[1] = false }
#endif
      fi
    fi
  od
}

// StopMutators of both, by a thread that is no mutator.
proctype Stopper() {
  bool fenced, any_native, any_managed;
  bool arrived[MUTATORS];
  byte seen = 0, rounds = 0;
  do
  :: rounds == STEPS -> break
  :: rounds < STEPS -> rounds++;
    atomic { fenced = false; arrived[0] = false; arrived[1] = false }
    Lock();
    do
    :: holds[0] > 0 || holds[1] > 0 -> WaitForRelease(seen)
    :: else -> break
    od;
    Raise(0);
    Raise(1);
    Unlock();
    AwaitArrival();
    Unlock();
    // The function, for some time.
    atomic { stopped[0]++; stopped[1]++; assert(!runs[0] && !runs[1]) }
    atomic { assert(!runs[0] && !runs[1]); stopped[0]--; stopped[1]-- }
    Lock();
    Lower(0);
    Lower(1);
    Unlock();
    NotifyReleased()
  od
}

// TryHandshake with one of them, again and again.
proctype Trier(byte m) {
  byte rounds = 0;
  do
  :: rounds == STEPS -> break
  :: rounds < STEPS -> rounds++;
    Lock();
    if
    :: holds[m] != 0 || state[m] != kNative -> Unlock()
    :: else ->
      Raise(m);
      Unlock();
#ifndef NO_HEAVY_FENCE
      HeavyFence();
#endif
      Lock();
      if
      :: holds[m] == 1 && state[m] == kNative ->
        atomic { stopped[m]++; assert(!runs[m] && stopped[m] == 1) }
        atomic { assert(!runs[m]); stopped[m]-- }
      :: else
      fi;
      Lower(m);
      Unlock();
      NotifyReleased()
    fi
  od
}

#ifdef SHAKES
// Handshake with one of them, once.
proctype Shaker(byte m) {
  bool fenced = false;
  byte seen = 0;
  Lock();
  atomic { queued = true; khandshake[m] = true }
  Unlock();
  Lock();
  do
  :: answered -> break
  :: !answered && queued && state[m] == kNative && !fenced && !kdetained[m] ->
#ifndef NO_HEAVY_FENCE
    Unlock();
    HeavyFence();
    Lock();
#endif
    fenced = true
  :: !answered && queued && (state[m] == kAtSafepoint ||
                          (state[m] == kNative && (fenced || kdetained[m]))) ->
    if
    :: holds[m] > 0 -> WaitForRelease(seen)
    :: else ->
#ifdef UNQUEUED_FIRST
      atomic { queued = false; khandshake[m] = false }
      Raise(m);
#else
      Raise(m);
      atomic { queued = false; khandshake[m] = false }
#endif
      Unlock();
      atomic { stopped[m]++; assert(!runs[m] && stopped[m] == 1); shaken++ }
      atomic { assert(!runs[m]); stopped[m]-- }
      Lock();
      Lower(m);
      break
    fi
  :: !answered && (!queued || state[m] == kManaged) ->
    atomic { woken = false; awaits[m] = true; mutex = false }
    if
    :: atomic { woken && !mutex -> mutex = true; awaits[m] = false }
    :: queued && !fenced ->                               // kFirstPark is over
      HeavyFence();
      fenced = true;
      atomic { !mutex -> mutex = true; awaits[m] = false }
    fi
  od;
  Unlock();
  NotifyReleased();
  assert(shaken == 1)
}
#endif

init {
#ifdef SHAKES
  atomic { run Mutator(0); run Shaker(0); run Trier(0) }  // the other one stays native
#else
#ifdef TRIES
  atomic { run Mutator(0); run Stopper(); run Trier(0) }  // the other one stays native
#else
  atomic { run Mutator(0); run Mutator(1); run Stopper() }
#endif
#endif
}
