// Layer: safepoint
#ifndef ATOLL_SCHEDULE_POINT_H_
#define ATOLL_SCHEDULE_POINT_H_

#include "atoll/config.h"

/// Where may another thread run between two steps of a protocol? At every ATOLL_SCHEDULE_POINT.
///
/// Put one between any two accesses to shared memory whose order against other threads matters:
/// `ATOLL_SCHEDULE_POINT("leave native: managed stored")`. The name is a string literal and
/// appears in traces and deadlock reports. In normal builds the macro is empty; with
/// ATOLL_SCHEDULES=1 it costs one relaxed load while no seeded scheduler runs.

namespace Atoll::platform::schedule {

/// Yields to the seeded scheduler that runs this thread, if one does.
void Point(const char* name);

}  // namespace Atoll::platform::schedule

#if ATOLL_SCHEDULES
#define ATOLL_SCHEDULE_POINT(name) ::Atoll::platform::schedule::Point(name)
#else
#define ATOLL_SCHEDULE_POINT(name) \
  do {                             \
  } while (false)
#endif

#endif  // ATOLL_SCHEDULE_POINT_H_
