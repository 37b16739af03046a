#include "gc/cycle-inl.h"

namespace Atoll {
template std::unique_ptr<Cycle> CreateCycle<NanBoxing>(RegionState&, CycleKind, int, bool);
}  // namespace Atoll
