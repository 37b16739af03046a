#include "gc/cycle-inl.h"

namespace Atoll {
template std::unique_ptr<Cycle> CreateCycle<RuntimeEncoding>(RegionState&, CycleKind, int, bool);
}  // namespace Atoll
