// Classes, as the virtual machine knows them.
#ifndef SOM_CLASS_H_
#define SOM_CLASS_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bytecode.h"
#include "value.h"

namespace som {

/// A class or a metaclass. Shared by all isolates; not changed once it has been published.
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
  /// Of a class with class-side fields: where its values begin in each isolate's statics.
  uint32_t first_static = 0;
  /// Its own, in the order of the file.
  std::vector<Method*> methods;

  bool is_meta() const { return instance != nullptr; }
  bool IsSubclassOf(const Class* other) const {
    const Class* at = this;
    while (at != nullptr && at != other) at = at->superclass;
    return at != nullptr;
  }
  /// The method for a selector, inherited ones too; null: there is none. Lock-free: classes do not
  /// change, so each has a table of all that its instances understand.
  Method* Lookup(const Symbol* selector) const {
    const auto found = understood_.find(selector);
    return found == understood_.end() ? nullptr : found->second;
  }
  /// Fills the table. The superclass's is filled.
  void Finish() {
    if (superclass != nullptr) understood_ = superclass->understood_;
    for (Method* method : methods) understood_[method->selector] = method;
  }

  std::vector<std::unique_ptr<Method>> owned;  ///< methods and blocks
  std::unique_ptr<Class> own_meta;

 private:
  std::unordered_map<const Symbol*, Method*> understood_;
};

}  // namespace som

#endif  // SOM_CLASS_H_
