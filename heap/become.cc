#include "atoll/become.h"

#include <string>

#include "heap/heap_state.h"

namespace Atoll {

Status Become(Heap& heap, const StoppedScope& stopped, std::span<const Ref> before,
              std::span<const Ref> after) {
  if (&stopped.manager() != &heap.safepoints()) {
    return {StatusCode::kFailedPrecondition,
            "Become on heap \"" + heap.state().options.name +
                "\" in a stop of another heap, whose mutators are others; stop its own"};
  }
  if (!stopped.whole_group() || stopped.level() < SafepointLevel::kReload) {
    return {StatusCode::kFailedPrecondition,
            "Become on heap \"" + heap.state().options.name + "\" in a stop of " +
                (stopped.whole_group() ? std::string("level ") + ToString(stopped.level())
                                       : std::string("some mutators")) +
                ": it needs all mutators of the heap stopped at level " +
                ToString(SafepointLevel::kReload) + "; ask for that"};
  }
  return heap.state().collector->Become(stopped, before, after);
}

}  // namespace Atoll
