#include "value.h"

#include <algorithm>

namespace som {

int Symbol::Arity() const {
  const std::string_view selector = view();
  if (selector.empty()) return 0;
  const char first = selector.front();
  const bool is_name =
      first == '_' || (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
  return is_name ? static_cast<int>(std::count(selector.begin(), selector.end(), ':')) : 1;
}

}  // namespace som
