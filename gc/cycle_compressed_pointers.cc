#include "gc/cycle-inl.h"

namespace Atoll {
template std::unique_ptr<Cycle> CreateCycle<CompressedPointers>(RegionState&, CycleKind, int, bool);
}  // namespace Atoll
