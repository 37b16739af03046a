// An inbox: its word is the queue of envelopes, and the right to run the isolate.
//
// Mirrors Inbox::{Open, Push, Take, TryIdle, TryOwn, Close} (isolate/inbox.h) and who calls them:
// GroupState::Post and PostMessage (Sender), RunTurn and IsolateState::End (Worker), StayResident
// and ParkResident (Parker), EnteredThread::Wait and Wake (Entered, with CASE=ENTERED: the isolate
// has a thread of its own, which waits with a time limit).
//
// Checked: at most one owner at any time; every envelope is delivered, discarded or refused, once;
// in the end none is left, and each that came while the isolate was open was looked at (no lost
// wake-up: somebody runs an isolate that has envelopes).
//
// Wrong on purpose: IDLE_BY_STORE (TryIdle looks and stores, instead of a compare-and-swap),
// SENDER_FORGETS (who finds it idle does not pass it on), PARKER_TAKES (owns by a plain store).

#define SENDERS 2
#define EACH 2
#define MESSAGES 4
#define CLOSED 0
#define IDLE 1
#define OWNED 2
#define FIRST 3  /* word FIRST + i: envelope i is the newest */

byte word = IDLE;
byte next[MESSAGES];
byte fate[MESSAGES];               // ghost: how often it was delivered, discarded or refused
byte owners;                       // ghost
bool closed_once;
chan ready = [4] of { bit };       // the scheduler's queue
bool entered_woken, entered_waits; // EnteredThread, under its mutex

inline BeOwner() { owners++; assert(owners == 1) }

// The isolate has something to do, and the caller owns it: Scheduler::Ready. Ownership goes along.
inline Ready() {
#ifdef ENTERED
  entered_woken = true
#else
  ready!0
#endif
}

proctype Sender(byte first) {
  byte i = first, w, old;
  do
  :: i == first + EACH -> break
  :: i < first + EACH ->
    w = word;
    do
    :: w == CLOSED -> fate[i]++; break
    :: w != CLOSED ->
      if
      :: w <= OWNED -> next[i] = 0
      :: else -> next[i] = w
      fi;
      atomic {
        if
        :: word == w ->
          word = FIRST + i;
          if
          :: w == IDLE -> BeOwner()
          :: else
          fi;
          old = w;
          w = CLOSED + 100
        :: else -> w = word
        fi
      }
      if
      :: w == CLOSED + 100 ->
        if
#ifndef SENDER_FORGETS
        :: old == IDLE -> Ready()
#else
        :: old == IDLE -> owners--
#endif
        :: else
        fi;
        break
      :: else
      fi
    od;
    i++
  od
}

// Delivers, or discards: each envelope of a list, newest first (the order does not matter here).
inline Handle(list) {
  do
  :: list > OWNED -> atomic { fate[list - FIRST]++; assert(fate[list - FIRST] == 1); list = next[list - FIRST] }
  :: else -> break
  od;
  list = 0
}

inline Take(list) {
  if
  :: word == OWNED -> list = 0
  :: else -> atomic { list = word; word = OWNED }
  fi
}

// `idle` becomes false if something has come in: then the caller owns it still.
inline TryIdle(idle) {
#ifdef IDLE_BY_STORE
  if
  :: word == OWNED -> atomic { word = IDLE; owners--; idle = true }
  :: else -> idle = false
  fi
#else
  atomic {
    if
    :: word == OWNED -> word = IDLE; owners--; idle = true
    :: else -> idle = false
    fi
  }
#endif
}

// The isolate ends: nobody owns what is closed. Its record may be used again, once.
inline End(list) {
  atomic { list = word; word = CLOSED; owners--; closed_once = true }
  Handle(list)
}

proctype Worker() {
  byte list = 0;
  bool idle;
end:
  do
  :: ready?_ ->
    assert(owners == 1 && word != CLOSED && word != IDLE);
    Take(list);
    Handle(list);
    if
    :: !closed_once -> End(list)
    :: true ->
      TryIdle(idle);
      if
      :: idle
      :: else -> Ready()
      fi
    fi
  od
}

// Takes an idle isolate out of the worker's ring, parks it, and gives it up.
proctype Parker() {
  bool idle;
  if
#ifdef PARKER_TAKES
  :: word == IDLE -> atomic { word = OWNED; BeOwner() }
#else
  :: atomic { word == IDLE -> word = OWNED; BeOwner() }
#endif
    TryIdle(idle);
    if
    :: idle
    :: else -> Ready()
    fi
  :: true
  fi
}

// EnteredIsolate::Receive in a loop. It owns the isolate in the beginning.
proctype Entered() {
  byte list = 0;
  bool idle;
  do
  :: Take(list);
    Handle(list);
    if
    :: entered_waits ->  // it leaves, some time
      End(list);
      break
    :: true ->
      TryIdle(idle);
      if
      :: !idle
      :: idle ->
        if
        :: atomic { entered_woken -> entered_woken = false }
        :: true ->                            // the time is up
          entered_waits = true;
          if
          :: atomic { word == IDLE -> word = OWNED; BeOwner() }  // TryOwn
          :: atomic { entered_woken -> entered_woken = false }  // who filled it is on the way
          fi
        fi;
        assert(owners == 1)
      fi
    fi
  od
}

proctype Checker() {
  byte i = 0;
  // When nobody else can go on.
  timeout;
  do
  :: i == MESSAGES -> break
  :: i < MESSAGES -> assert(fate[i] == 1); i++
  od;
  assert(word == IDLE || word == CLOSED);
  assert(owners == 0 && len(ready) == 0)
}

init {
  atomic {
    run Sender(0);
    run Sender(EACH);
#ifdef ENTERED
    word = OWNED;
    owners = 1;
    run Entered();
#else
    run Worker();
    run Worker();
    run Parker();
#endif
    run Checker()
  }
}
