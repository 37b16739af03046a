#ifndef ATOLL_HEAP_FLIP_TO_SHARED_H_
#define ATOLL_HEAP_FLIP_TO_SHARED_H_

#include <unordered_set>

#include "atoll/function_ref.h"
#include "atoll/mutator.h"

namespace Atoll {

/// Makes a large object of the mutator's region shared where it is: its blocks go to the group, its
/// address, contents and identity hash stay. Whoever hands it to another region does so by a
/// release store or a lock. Managed state; not a safepoint.
///
/// Errors, which change nothing, name the type and the reason:
///  - kFailedPrecondition: not in managed state; or references stored into the object in the past
///    are still on record, until a major collection of the region;
///  - kInvalidArgument: the type is not deeply immutable, or has weak references; the object is not
///    large, not private to the region, pinned, has a finalizer or an entry in a weak table; or one
///    of its slots refers to a private object.
///
/// Cost: O(1) for objects of leaf types; else O(slots). O(parts of the region), and where it has
/// finalizers or weak table entries, a look through them. A lock of the region and one of the
/// space.
Status FlipToShared(Mutator& mutator, ObjectPtr object);

/// Whether FlipToShared would succeed now, for an object of the mutator's region. `poll` is called
/// now and then; nothing of the region moves meanwhile. Same cost.
bool CanFlipToShared(Mutator& mutator, ObjectPtr object, FunctionRef<void()> poll);

/// Flips objects of which CanFlipToShared has said so: all, or none if another mutator of the
/// region has pinned one meanwhile, or attached something to it. Those that are shared by now stay
/// so. Not a safepoint; under one lock. O(objects), whatever their slots: these do not change.
bool FlipAllToShared(Mutator& mutator, const std::unordered_set<uintptr_t>& objects);

}  // namespace Atoll

#endif  // ATOLL_HEAP_FLIP_TO_SHARED_H_
