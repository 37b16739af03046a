#include "compiler.h"

#include "analyzer.h"
#include "emitter.h"
#include "universe.h"

namespace som {

Method* CompileMethod(Universe& universe, Class& holder, MethodNode& node,
                      std::vector<std::unique_ptr<Method>>* made, SourceError* error) {
  Analyzer analyzer(holder.file, error);
  if (!analyzer.Analyze(node)) return nullptr;
  Symbol* selector = universe.Intern(node.selector);
  if (selector == nullptr) {
    *error = {holder.file, node.at, "no memory for the selector " + node.selector};
    return nullptr;
  }
  Emitter emitter(universe, holder, analyzer, made, error);
  Method* method = emitter.EmitFrame(node.body, selector);
  return *error ? nullptr : method;
}

}  // namespace som
