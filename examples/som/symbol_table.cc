#include "symbol_table.h"

#include <algorithm>
#include <cstring>

namespace som {
namespace {

int ArityOf(std::string_view selector) {
  if (selector.empty()) return 0;
  const char first = selector.front();
  const bool is_name =
      first == '_' || (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
  return is_name ? static_cast<int>(std::count(selector.begin(), selector.end(), ':')) : 1;
}

}  // namespace

Symbol* SymbolTable::Get(std::string_view text) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto found = symbols_.find(text); found != symbols_.end()) return found->second.get();
  const ObjectPtr object = heap_->AllocateProgram(*type_, text.size());
  if (!object) return nullptr;
  auto symbol = std::make_unique<Symbol>();
  symbol->text = text;
  symbol->object = RefOf(object);
  symbol->arity = ArityOf(text);
  auto* in_heap = To<SymbolObject>(symbol->object);
  in_heap->symbol = symbol.get();
  std::memcpy(in_heap->bytes(), text.data(), text.size());
  const std::string_view key = symbol->text;
  return symbols_.emplace(key, std::move(symbol)).first->second.get();
}

}  // namespace som
