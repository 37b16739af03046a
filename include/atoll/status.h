// Layer: safepoint
#ifndef ATOLL_STATUS_H_
#define ATOLL_STATUS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace Atoll {

/// Why a call was refused. The message of a Status names the thing, the cause and the way out;
/// the code is for programs.
enum class StatusCode : uint8_t {
  kOk,
  kInvalidArgument,     ///< the caller's argument can never be right (a bad type, a misfit size)
  kFailedPrecondition,  ///< the argument is fine, the state is not (wrong thread, wrong level)
  kResourceExhausted,   ///< a limit, the reservation or the operating system refused memory
  kInvariantViolated,   ///< the verifier found a broken invariant
  kUnsupported,         ///< not on this platform or in this build
  kCancelled,           ///< the caller's own predicate ended it; nothing has changed
};

/// The outcome of a call that can be refused. Cheap when ok: no message, no allocation.
/// Value type; not synchronized.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status Ok() { return {}; }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

/// A value, or the Status that says why there is none. `value()` is legal only when `ok()`.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : state_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }

 private:
  std::variant<Status, T> state_;
};

}  // namespace Atoll

#endif  // ATOLL_STATUS_H_
