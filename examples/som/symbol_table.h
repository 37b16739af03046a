// The symbols of a group: one object each, so that equal symbols are identical in all isolates.
#ifndef SOM_SYMBOL_TABLE_H_
#define SOM_SYMBOL_TABLE_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "value.h"

namespace som {

struct Symbol {
  std::string text;
  Ref object;
  /// As a selector: how many arguments it takes.
  int arity = 0;
};

/// Thread-safe. Symbols live as long as the group.
class SymbolTable {
 public:
  SymbolTable() = default;
  /// Before the first symbol is asked for.
  void Start(Atoll::Heap& heap, const Atoll::Type& type) {
    heap_ = &heap;
    type_ = &type;
  }

  /// The symbol of that text; null when there is no memory for a new one.
  Symbol* Get(std::string_view text);

 private:
  Atoll::Heap* heap_ = nullptr;
  const Atoll::Type* type_ = nullptr;
  // Held for a look-up or an insertion alone, never across a poll.
  std::mutex mutex_;
  std::unordered_map<std::string_view, std::unique_ptr<Symbol>> symbols_;
};

}  // namespace som

#endif  // SOM_SYMBOL_TABLE_H_
