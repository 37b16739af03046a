// Layer: safepoint
#ifndef ATOLL_FUNCTION_REF_H_
#define ATOLL_FUNCTION_REF_H_

#include <memory>
#include <type_traits>
#include <utility>

namespace Atoll {

template <typename Signature>
class FunctionRef;

/// A reference to something callable: two words, no allocation, no ownership. What it refers to
/// must outlive it, so it is a parameter type: pass lambdas straight into the call, and store a
/// FunctionRef only for the duration of that call.
template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F, typename = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef> &&
                                                    std::is_invocable_r_v<R, F&, Args...>>>
  // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload)
  FunctionRef(F&& callable) {
    using Callable = std::remove_reference_t<F>;
    if constexpr (std::is_function_v<Callable>) {
      target_.function = reinterpret_cast<void (*)()>(&callable);
      call_ = [](Target target, Args... args) -> R {
        return reinterpret_cast<Callable*>(target.function)(std::forward<Args>(args)...);
      };
    } else {
      target_.object = const_cast<void*>(static_cast<const void*>(std::addressof(callable)));
      call_ = [](Target target, Args... args) -> R {
        return (*static_cast<Callable*>(target.object))(std::forward<Args>(args)...);
      };
    }
  }

  R operator()(Args... args) const { return call_(target_, std::forward<Args>(args)...); }

 private:
  union Target {
    void* object;
    void (*function)();
  };

  Target target_;
  R (*call_)(Target, Args...);
};

}  // namespace Atoll

#endif  // ATOLL_FUNCTION_REF_H_
