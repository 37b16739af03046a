// Classes, as the virtual machine knows them.
#ifndef SOM_CLASS_H_
#define SOM_CLASS_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "method.h"
#include "value.h"

namespace som {

/// A class or a metaclass. Shared by all isolates. Once it has been published its methods alone
/// change, with all of them stopped (ClassLoader::Define).
struct Class {
  Symbol* name = nullptr;
  Class* superclass = nullptr;
  Class* meta = nullptr;      ///< the class of this class
  Class* instance = nullptr;  ///< of a metaclass: its one instance
  Kind kind = Kind::kInstance;
  const Atoll::Type* type = nullptr;  ///< of its instances
  Ref object;                         ///< as SOM code sees it
  std::string file;
  /// All fields, inherited ones first.
  std::vector<Symbol*> fields;
  /// Of a class with class-side fields: the first of those fields of an isolate that hold them.
  uint32_t first_field = 0;
  /// Its own, in the order of the file.
  std::vector<Method*> methods;

  bool is_meta() const { return instance != nullptr; }
  bool IsSubclassOf(const Class* other) const {
    const Class* at = this;
    while (at != nullptr && at != other) at = at->superclass;
    return at != nullptr;
  }
  /// The method for a selector, inherited ones too; null: there is none. Managed state, or with
  /// the program's lock.
  Method* Lookup(const Symbol* selector) const {
    for (const Class* at = this; at != nullptr; at = at->superclass) {
      const auto found = at->by_selector_.find(selector);
      if (found != at->by_selector_.end()) return found->second;
    }
    return nullptr;
  }
  /// Adds a method, or replaces the one with its selector; returns that.
  Method* Add(Method& method);

  std::vector<std::unique_ptr<Method>> owned;  ///< methods and blocks
  std::unique_ptr<Class> own_meta;

 private:
  std::unordered_map<const Symbol*, Method*> by_selector_;
};

}  // namespace som

#endif  // SOM_CLASS_H_
