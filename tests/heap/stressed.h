// Do stress knobs make collections dear, or many? Then the longest tests do a sample of their work.
#ifndef ATOLL_TESTS_HEAP_STRESSED_H_
#define ATOLL_TESTS_HEAP_STRESSED_H_

#include "heap/heap_state.h"

namespace Atoll {

inline bool IsStressed(const Heap& heap) {
  const StressOptions& knobs = heap.state().options.stress;
  return knobs.collect_every != 0 || knobs.every_allocation || knobs.move_everything ||
         knobs.verify;
}
/// Before and after each collection.
inline bool IsVerified(const Heap& heap) { return heap.state().options.stress.verify; }
/// What is large should be smaller then.
inline bool IsSlow(const Heap& heap) { return ATOLL_TSAN || ATOLL_ASAN || IsVerified(heap); }
/// Nodes of a list that recursion could not follow: its stack would be over the usual 8 MiB.
inline size_t HugeListNodes(const Heap& heap) {
  return IsVerified(heap) ? 300'000 : IsSlow(heap) ? 1'000'000 : 10'000'000;
}

}  // namespace Atoll

#endif  // ATOLL_TESTS_HEAP_STRESSED_H_
