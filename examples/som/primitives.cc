#include "primitives.h"

#include <map>
#include <utility>

#include "process.h"

namespace som {
namespace {

using Table = std::map<std::pair<std::string_view, std::string_view>, PrimitiveEntry>;

const Table& AllPrimitives() {
  static const Table table = [] {
    Table made;
    for (const auto entries : {ObjectPrimitives(), IntegerPrimitives(), DoublePrimitives(),
                               StringPrimitives(), ReflectionPrimitives(), BlockPrimitives(),
                               SystemPrimitives(), IsolatePrimitives(), WeakPrimitives()}) {
      for (const PrimitiveEntry& entry : entries) {
        made[{entry.class_name, entry.selector}] = entry;
      }
    }
    return made;
  }();
  return table;
}

Outcome Unknown(Process& process, Ref*) {
  return process.Fail("the virtual machine does not know this primitive");
}
constexpr PrimitiveEntry kUnknown = {"", "", Unknown};

}  // namespace

const PrimitiveEntry& FindPrimitive(const Class& holder, std::string_view selector) {
  const Table& table = AllPrimitives();
  for (const Class* at = &holder; at != nullptr; at = at->superclass) {
    const auto found = table.find({at->name->view(), selector});
    if (found != table.end()) return found->second;
  }
  return kUnknown;
}

}  // namespace som
