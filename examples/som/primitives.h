// What SOM cannot say in SOM.
#ifndef SOM_PRIMITIVES_H_
#define SOM_PRIMITIVES_H_

#include <span>
#include <string>
#include <string_view>

#include "bytecode.h"
#include "class.h"

namespace som {

/// The primitive for a method that a class declares as one: its own, or else a superclass's. One
/// that fails when called, if the virtual machine has none.
const PrimitiveEntry& FindPrimitive(const Class& holder, std::string_view selector);

// Each file's.
std::span<const PrimitiveEntry> ObjectPrimitives();
std::span<const PrimitiveEntry> IntegerPrimitives();
std::span<const PrimitiveEntry> DoublePrimitives();
std::span<const PrimitiveEntry> StringPrimitives();
std::span<const PrimitiveEntry> ReflectionPrimitives();
std::span<const PrimitiveEntry> BlockPrimitives();
std::span<const PrimitiveEntry> SystemPrimitives();
std::span<const PrimitiveEntry> IsolatePrimitives();
std::span<const PrimitiveEntry> WeakPrimitives();

}  // namespace som

#endif  // SOM_PRIMITIVES_H_
