#include "class.h"

#include <algorithm>

namespace som {

Method* Class::Add(Method& method) {
  Method*& known = by_selector_[method.selector];
  Method* replaced = known;
  known = &method;
  if (replaced == nullptr) {
    methods.push_back(&method);
  } else {
    std::replace(methods.begin(), methods.end(), replaced, &method);
  }
  return replaced;
}

}  // namespace som
