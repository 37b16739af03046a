#ifndef ATOLL_GC_AREA_PREFETCH_H_
#define ATOLL_GC_AREA_PREFETCH_H_

#include <cstddef>
#include <cstdint>

#include "atoll/config.h"

namespace Atoll {

/// What is fetched at once: memory that was made together.
inline constexpr size_t kPrefetchArea = 2048;

/// Fetches the area that begins here.
inline void PrefetchArea(uintptr_t area) {
  constexpr size_t kCacheLine = 64;
  for (size_t i = 0; i < kPrefetchArea; i += kCacheLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(area + i));
  }
}

/// Fetches the originals of objects into the cache before they are copied. An object is found just
/// before it is copied, too late for a prefetch of its own; but its neighbours mostly follow soon,
/// since what was made together dies together. So the first one of an area has all of the area
/// fetched. Where survivors lie apart that costs memory bandwidth for nothing: it is given up for
/// the rest of the collection when an area has brought too few objects on the average.
///
/// One per collecting thread; costs a load and two compares an object.
class AreaPrefetch {
 public:
  /// Before an object is looked at that is likely to be copied.
  ATOLL_ALWAYS_INLINE void Before(uintptr_t object) {
    if (!enabled_) return;
    ++objects_;
    const uintptr_t area = object / kPrefetchArea;
    // Two areas that fall together fetch each other's lines again, which finds them in the cache.
    uintptr_t& recent = recent_[area % kRecent];
    if (ATOLL_LIKELY(recent == area)) return;
    recent = area;
    Fetch(area * kPrefetchArea);
  }
  /// Off at first.
  void Enable() { enabled_ = true; }

 private:
  static constexpr size_t kRecent = 64;
  // After so many areas it is seen whether they brought so many objects each.
  static constexpr size_t kAreasPerLook = 64;
  static constexpr size_t kLeastObjects = 6;

  void Fetch(uintptr_t area) {
    PrefetchArea(area);
    if (++areas_ % kAreasPerLook == 0) enabled_ = objects_ >= areas_ * kLeastObjects;
  }

  bool enabled_ = false;
  size_t objects_ = 0;
  size_t areas_ = 0;
  uintptr_t recent_[kRecent] = {};  // areas, by number
};

}  // namespace Atoll

#endif  // ATOLL_GC_AREA_PREFETCH_H_
