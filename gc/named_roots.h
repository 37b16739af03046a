// Roots with names, and the way from one of them to an object: what the verifier's messages say.
#ifndef ATOLL_GC_NAMED_ROOTS_H_
#define ATOLL_GC_NAMED_ROOTS_H_

#include <cstdint>
#include <string>

#include "atoll/function_ref.h"
#include "heap/heap_state.h"
#include "heap/region_state.h"

namespace Atoll {

using NamedRootFn = FunctionRef<void(Word word, const std::string& name)>;

/// What the keys of weak tables are named.
inline constexpr const char* kWeakTableRoot = "a weak table's key";

/// fn(word, name) for each root of a stopped region, weak ones too.
void ForEachNamedRoot(RegionState& region, NamedRootFn fn);

/// A shortest path from one of the roots to `goal`, to be appended to a message. `roots(fn)` calls
/// fn for each root. `may_follow(from, to)`: whether the reference is one to an object; `from` is 0
/// for roots. O(objects).
std::string PathFromRoot(const HeapState& heap, uintptr_t goal,
                         FunctionRef<void(NamedRootFn)> roots,
                         FunctionRef<bool(uintptr_t from, uintptr_t to)> may_follow);

std::string Hex(uintptr_t value);
/// Its type's name, and where it is.
std::string DescribeObject(const HeapState& heap, uintptr_t object);

}  // namespace Atoll

#endif  // ATOLL_GC_NAMED_ROOTS_H_
