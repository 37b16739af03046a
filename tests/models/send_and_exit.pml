// sendAndExit: who owns the sender's region, and where a stop of the group finds what it carries.
//
// Mirrors PrepareExit, ExitTicket::{Commit, ~ExitTicket}, ExitOffer::Pass (messaging/exit.cc),
// IsolateState::{LeaveTurn, End} and LeaveMutator (isolate/), PostMessage, DeliverRegion and
// DiscardRegion (messaging/message.cc), Region::Adopt's demand that the source's mutator is native,
// and GroupState::VisitRoots.
//
// The sender prepares, drops its ticket or commits it, and may be killed before; the receiver may
// close its port or end at any moment; somebody stops the group at any moment at which nobody is
// managed (that this is so, safepoint.pml shows), and must find each root that is still needed.
// The message is the region, or, if it is tiny, a copy with references to shared objects.
//
// Checked: the region has one owner, and goes to the receiver or back to the pool, once; nobody
// adopts it while the sender's mutator is managed; every stop finds what the message carries; the
// port's count of what waits is back to zero.
//
// Wrong on purpose: PASSED_TOO_SOON (posted before the mutator is native), TINY_TOO_LATE (the
// tiny message posted when it is), KEPT_COUNT (a dropped ticket leaves the port's count).

mtype = { kSender, kPool, kFlying, kReceiver };

mtype region = kSender;            // who owns it
byte waiting;                      // PortEntry::waiting
bool port_open = true, inbox_open = true, sender_open = true;
bool sender_managed, receiver_managed;
bool offered, tenant = true, carried, killed;
bool tiny, tiny_in_offer;          // the tiny message's references; in the offer, which is visited
byte posted;                       // envelopes in the receiver's inbox: 0 or 1
bool needed;                       // ghost: committed, and not yet delivered or discarded
byte ends;                         // ghost: how often the message came to an end

inline Discard() {                 // by a thread that is native
  atomic {
    if
    :: !tiny -> assert(region == kFlying); region = kPool; carried = false
    :: else
    fi;
    waiting--;
    needed = false;
    ends++
  }
}

// PostMessage; the inbox takes it, or it is discarded.
inline Pass() {
  atomic {
    if
    :: !tiny -> assert(region == kSender); region = kFlying
    :: else -> tiny_in_offer = false
    fi;
    if
    :: inbox_open -> posted++
    :: else -> Discard()
    fi
  }
}

proctype Sender() {
  bool has_ticket = false, committed = false;
  sender_managed = true;
  // PrepareExit.
  if
  :: port_open ->
    if
    :: tiny = true
    :: tiny = false
    fi;
    atomic { offered = true; has_ticket = true; tiny_in_offer = tiny; carried = !tiny }
    waiting++
  :: !port_open
  fi;
  if
  :: has_ticket && !killed -> atomic { committed = true; needed = true }  // Commit
  :: has_ticket ->                                                        // ~ExitTicket
    atomic { offered = false; carried = false; tiny_in_offer = false }
#ifndef KEPT_COUNT
    waiting--
#endif
  :: else
  fi;
  // End. LeaveTurn has withdrawn the offer if it was not committed.
  tenant = false;
  atomic { sender_open = false; offered = false }  // its inbox closes, its state is gone
#ifndef TINY_TOO_LATE
  if
  :: committed && tiny -> Pass()
  :: else
  fi;
#endif
#ifdef PASSED_TOO_SOON
  if
  :: committed && !tiny -> Pass()
  :: else
  fi;
#endif
  sender_managed = false;                          // LeaveMutator
#ifdef TINY_TOO_LATE
  if
  :: committed && tiny -> Pass()
  :: else
  fi;
#endif
#ifndef PASSED_TOO_SOON
  if
  :: committed && !tiny -> Pass()
  :: else
  fi;
#endif
  if
  :: !committed || tiny -> assert(region == kSender); region = kPool
  :: else
  fi
}

proctype Receiver() {
  do
  :: atomic { posted > 0 && inbox_open -> receiver_managed = true }       // a turn
    if
    :: port_open ->
      atomic {
        if
        :: !tiny ->
          assert(region == kFlying && !sender_managed && carried);        // Adopt
          region = kReceiver;
          carried = false
        :: else
        fi;
        posted--;
        waiting--;
        needed = false;
        ends++
      }
    :: else -> atomic { posted--; Discard() }
    fi;
    receiver_managed = false
  :: port_open -> atomic { receiver_managed = true; port_open = false }   // Close
    receiver_managed = false
  :: inbox_open ->                                                        // it ends
    receiver_managed = true;
    port_open = false;
    // Its inbox is closed while it is managed; what was in it is discarded afterwards.
    atomic { inbox_open = false; receiver_managed = false }
    if
    :: atomic { posted > 0 -> posted--; Discard() }
    :: posted == 0
    fi;
    break
  :: atomic { timeout -> break }                                          // nothing comes any more
  od
}

proctype Killer() { killed = true }

// GroupState::VisitRoots and the clients of all regions, at a stop.
proctype Stop() {
  atomic {
    !sender_managed && !receiver_managed;
    if
    :: needed && !tiny -> assert(tenant || carried)
    :: needed && tiny -> assert((sender_open && offered && tiny_in_offer) || posted > 0 || !inbox_open)
    :: else
    fi
  }
}

proctype Checker() {
  timeout;
  assert(region == kPool || region == kReceiver);
  assert(!needed && ends <= 1 && posted == 0);
  assert(waiting == 0);
  assert(!carried)
}

init {
  atomic { run Sender(); run Receiver(); run Killer(); run Stop(); run Checker() }
}
