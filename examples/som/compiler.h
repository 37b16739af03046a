// From the syntax tree of a method to bytecode.
#ifndef SOM_COMPILER_H_
#define SOM_COMPILER_H_

#include <memory>
#include <vector>

#include "ast.h"
#include "class.h"

namespace som {

class Universe;

/// Compiles a method of `holder`, which has its fields already. It and its blocks are added to
/// `made`. Null, and the error is noted, if it cannot be compiled. Managed state.
Method* CompileMethod(Universe& universe, Class& holder, MethodNode& node,
                      std::vector<std::unique_ptr<Method>>* made, SourceError* error);

}  // namespace som

#endif  // SOM_COMPILER_H_
