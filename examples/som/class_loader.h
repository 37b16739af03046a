// Finds class files in the class path and makes classes of them.
#ifndef SOM_CLASS_LOADER_H_
#define SOM_CLASS_LOADER_H_

#include <memory>
#include <string>
#include <vector>

#include "ast.h"
#include "class.h"

namespace som {

class Universe;

/// Thread-safe: one loads at a time, and who waits for it holds up no collection. A class that
/// cannot be loaded leaves nothing behind.
class ClassLoader {
 public:
  explicit ClassLoader(Universe& universe) : universe_(universe) {}

  enum class Outcome : uint8_t { kLoaded, kNotFound, kWrong };
  struct Loaded {
    Outcome outcome;
    Class* info = nullptr;
    std::string error;  ///< of kWrong: FILE:LINE:COLUMN: why
  };
  /// The class of that name, loaded now unless it was before.
  Loaded Load(Symbol* name);
  /// Object, Class and their metaclasses, which refer to each other. An error too: a folder of the
  /// class path that cannot be read.
  Loaded LoadRoots();

 private:
  Loaded LoadLocked(Symbol* name);
  Loaded Parse(Symbol* name, std::unique_ptr<ClassNode>* node);
  Loaded SuperclassOf(const ClassNode& node, Class** superclass);
  std::unique_ptr<Class> NewClass(const ClassNode& node, Class* superclass, SourceError* error);
  bool FillSide(Class& info, ClassNode::Side& side, Class* superclass, SourceError* error);
  bool AddMethod(Class& info, MethodNode& node, SourceError* error);
  Class* Publish(std::unique_ptr<Class> info);

  Universe& universe_;
  Atoll::SafepointMutex mutex_{/*rank=*/300, "som class loader"};
  std::vector<Symbol*> loading_;  // each the superclass of the one before
  std::vector<std::unique_ptr<Class>> classes_;
};

}  // namespace som

#endif  // SOM_CLASS_LOADER_H_
