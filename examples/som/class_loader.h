// Finds class files in the class path and makes classes of them.
#ifndef SOM_CLASS_LOADER_H_
#define SOM_CLASS_LOADER_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ast.h"
#include "class.h"

namespace som {

class Universe;

/// Thread-safe. Files are read and parsed beside each other; one at a time makes a class of it,
/// with the program's lock exclusively, and the first makes it for all. A class that cannot be
/// loaded leaves nothing behind; one that is there changes by Define alone. All in managed state.
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
  Loaded Load(const std::string& name);
  /// Compiles a method, and puts it in the place of the class's own of its name, or of the one that
  /// it inherits, while others run it: who has begun the old one goes on in it; nobody begins it
  /// when this has returned. Null, and why: the text is wrong; no memory. A safepoint.
  Method* Define(Class& info, std::string source, std::string* error);
  struct Counts {
    size_t classes = 0;
    size_t methods = 0;    ///< and blocks
    size_t sites[4] = {};  ///< by Atoll::CallSiteState
  };
  /// Of what is loaded now.
  Counts Count() const;
  /// Object, Class and their metaclasses, which refer to each other. An error too: a folder of the
  /// class path that cannot be read.
  Loaded LoadRoots();

 private:
  // The classes whose loading waits for their superclass's.
  struct Below {
    const std::string& name;
    const Below* next;
  };
  Loaded LoadAbove(const std::string& name, const Below* below);
  Loaded Parse(const std::string& name, std::unique_ptr<ClassNode>* node);
  Loaded LoadSuperclass(const ClassNode& node, const Below& below);
  Class* Find(const std::string& name) const;

  Method* NewMethod(Class& info, MethodNode& node, std::vector<std::unique_ptr<Method>>* made,
                    SourceError* error);

  // With the program's lock exclusively.
  Class* FindLocked(const std::string& name) const;
  std::unique_ptr<Class> NewClass(const ClassNode& node, Class* superclass, SourceError* error);
  bool FillSide(Class& info, ClassNode::Side& side, Class* superclass, SourceError* error);
  bool Publish(std::unique_ptr<Class> info, SourceError* error);

  Universe& universe_;
  // Written with the program's lock exclusively, read with the lock.
  std::unordered_map<std::string, std::unique_ptr<Class>> classes_;
};

}  // namespace som

#endif  // SOM_CLASS_LOADER_H_
