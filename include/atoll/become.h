// Layer: heap
#ifndef ATOLL_BECOME_H_
#define ATOLL_BECOME_H_

#include <span>

#include "atoll/ref.h"
#include "atoll/safepoint.h"
#include "atoll/status.h"

namespace Atoll {

class Heap;

/// Every reference to the object before[i] is one to after[i] from now on, wherever it is held: in
/// objects of all regions, those on their way in messages too, of Program and of Shared; in
/// handles, Persistents, the roots of clients; in messages that are packed and isolates that are
/// parked; as key of a weak table. All pairs at once, so an object may be in both lists:
///
///     before {a}, after {b}          a is *replaced*: all who knew it know b, and nobody knows a
///     before {a, b}, after {b, a}    they *change places*: who knew a knows b, who knew b knows a
///
/// A reload of classes rests on the first: objects of a new shape are made and filled, and take the
/// place of those of the old one.
///
/// Called in a stop of level kReload, on its thread (Program::Change, or
/// SafepointManager::RunWithMutatorsStopped). Getting there is a safepoint: the words of before and
/// after are read from handles inside the stop.
///
///  - *Contents* stay where they are: an object that is replaced is garbage, which the next
///    collection frees (in Program: never), and what it refers to is not copied: fill after[i]
///    first. A reference from after[i] to before[i] becomes one to itself.
///  - *Slots* keep the bits that their references have beside the address; an object keeps its type
///    and the embedder's flags in its header.
///  - *Identity* is the references': hash, finalizers, external bytes and entries in weak tables go
///    with those to before[i], and become after[i]'s. One that changes places, an after[i] that is
///    a `before` too, has given its own away, and so has none if before[i] had none. Any other
///    after[i] is known by references of its own as well: a hash that it has drawn it keeps (rehash
///    tables by identity that hold before[i], then), finalizers it has beside those that come, and
///    where both are in one weak table its own entry stays. What a finalizer frees is to be what
///    the references lead to then: fill the contents accordingly.
///  - *An exchange beside threads outside the heap*: while it is made, references to these objects
///    in Program and in the initial values of fields lead nowhere for a moment. Who reads them on a
///    thread that is no mutator holds the program's lock, as Program::Change does. Replacing alone
///    never shows anything but the one object or the other.
///  - *Weak* references count like others. What is kept weakly by a table of the group (symbols)
///    follows if after[i] can stand for before[i] there, and is forgotten else.
///  - *Copies* that are being made meanwhile (of messages, of frozen graphs) are made anew. A
///    ticket to exit is void. Objects inside messages that are packed have no identity yet: they
///    are nobody's, and keep their type.
///  - *Unsendable* instances are counted until a collection finds them dead.
///  - *Raw addresses* that the embedder holds are its own business: in compiled code, as keys of
///    call sites (Program::ResetCallSites), derived from a root (they move by as much as it does).
///
/// Errors name the pair, the cause and the way out; nothing has been changed then.
///  - kInvalidArgument: different lengths; a word that is no reference to an object of this heap;
///    an object that is twice in `before`; one that would be referred to where it may not: a
///    private object may become one of its own region, or a shared one, a shared object (of Shared
///    or Program) only a shared one; a shared after[i] for an object with a finalizer or an entry
///    in a weak table; before[i] pinned, or with a thread-affine finalizer.
///  - kFailedPrecondition: a stop of another heap, of a set of mutators, or of a lower level; some
///    mutator has a NoCollectScope open, inside which it may hold references raw.
///  - kResourceExhausted: no memory for a table of the pairs.
///
/// Cost: O(heap), of all regions, by all workers of the heap, twice where objects change places;
/// O(pairs) memory.
Status Become(Heap& heap, const StoppedScope& stopped, std::span<const Ref> before,
              std::span<const Ref> after);

}  // namespace Atoll

#endif  // ATOLL_BECOME_H_
