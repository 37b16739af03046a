// Layer: safepoint
#ifndef ATOLL_SAFEPOINT_SCHEDULE_HOOKS_H_
#define ATOLL_SAFEPOINT_SCHEDULE_HOOKS_H_

#include <cstdint>
#include <functional>

#include "atoll/schedule_point.h"

/// What safepoint/platform asks of the seeded scheduler. All but Active() are legal only on a
/// thread for which Active() is true; on such a thread nothing else runs until the next call here.

#if ATOLL_SCHEDULES

namespace Atoll::platform::schedule {

/// Is this thread run by a scheduler? One relaxed load when there is none.
bool Active();

/// Virtual nanoseconds.
uint64_t Now();

/// A point at which others go first, if any can.
void Yield(const char* name);

/// Waits until WakeOne or WakeAll of the same address.
void Block(const void* address, const char* name);
/// As Block, or until the scheduler lets `nanos` pass; then false.
bool BlockFor(const void* address, uint64_t nanos, const char* name);
/// Which of several is woken, the seed decides. No points themselves.
void WakeOne(const void* address);
void WakeAll(const void* address);

/// Threads started by scheduled threads are scheduled too.
struct Child;
Child* AddChild();
void RunChild(Child* child, const std::function<void()>& entry);
void JoinChild(Child* child);

}  // namespace Atoll::platform::schedule

#endif  // ATOLL_SCHEDULES

#endif  // ATOLL_SAFEPOINT_SCHEDULE_HOOKS_H_
