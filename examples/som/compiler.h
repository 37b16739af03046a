// From the syntax tree of a method to bytecode.
#ifndef SOM_COMPILER_H_
#define SOM_COMPILER_H_

#include "ast.h"
#include "class.h"

namespace som {

class Universe;

/// Compiles a method of `holder`, which has its fields already; it and its blocks are owned by the
/// class. Null, and the error is noted, if it cannot be compiled.
Method* CompileMethod(Universe& universe, Class& holder, MethodNode& node, SourceError* error);

}  // namespace som

#endif  // SOM_COMPILER_H_
