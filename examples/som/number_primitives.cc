// Integer and Double. An operation with a Double on either side is one of Doubles.

#include <gmp.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>
#include <string>

#include "big_integer.h"
#include "primitives.h"
#include "process.h"

namespace som {
namespace {

bool IsInteger(Process& process, Ref value) {
  return IsSmall(value) || process.universe().KindOf(value) == Kind::kInteger;
}
bool IsDouble(Process& process, Ref value) {
  return !IsSmall(value) && process.universe().KindOf(value) == Kind::kDouble;
}
/// A number as a Double; false: it is none.
bool AsDouble(Process& process, Ref value, double* number) {
  if (IsInteger(process, value)) {
    *number = ToDouble(value);
  } else if (IsDouble(process, value)) {
    *number = To<Double>(value)->value;
  } else {
    return false;
  }
  return true;
}
Outcome NoNumber(Process& process, Ref value) {
  return process.Fail("the argument is a number, not an instance of " +
                      process.universe().ClassOf(value)->name->text());
}
Outcome NoInteger(Process& process, Ref value) {
  return process.Fail("the argument is an Integer, not an instance of " +
                      process.universe().ClassOf(value)->name->text());
}

// ---- Arithmetic

enum class Operation : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kDivideDoubles,
  kModulo,
  kRemainder
};

double OnDoubles(Operation operation, double a, double b) {
  switch (operation) {
    case Operation::kAdd:
      return a + b;
    case Operation::kSubtract:
      return a - b;
    case Operation::kMultiply:
      return a * b;
    case Operation::kDivide:
    case Operation::kDivideDoubles:
      return a / b;
    case Operation::kModulo:  // of Doubles: with the sign of the receiver, as rem:
    case Operation::kRemainder:
      return std::fmod(a, b);
  }
  return 0;
}

Ref OnIntegers(Process& process, Operation operation, const Ref* a, const Ref* b) {
  switch (operation) {
    case Operation::kAdd:
    case Operation::kSubtract:
      return AddIntegers(process, a, b, operation == Operation::kSubtract);
    case Operation::kMultiply:
      return MultiplyIntegers(process, a, b);
    case Operation::kDivide:
      return DivideIntegers(process, a, b, Division::kQuotient);
    case Operation::kModulo:
      return DivideIntegers(process, a, b, Division::kModulo);
    case Operation::kRemainder:
    case Operation::kDivideDoubles:
      break;
  }
  return DivideIntegers(process, a, b, Division::kRemainder);
}

// The quotient of small integers is small, but for one.
bool OnSmall(Operation operation, int64_t a, int64_t b, int64_t* result) {
  switch (operation) {
    case Operation::kDivide:
      *result = a / b;
      return FitsSmall(*result);
    case Operation::kModulo:
      *result = a % b;
      if (*result != 0 && (*result < 0) != (b < 0)) *result += b;
      return true;
    case Operation::kRemainder:
      *result = a % b;
      return true;
    default:
      return false;
  }
}

template <Operation kOperation>
Outcome Arithmetic(Process& process, Ref* values) {
  constexpr bool kDivides =
      kOperation >= Operation::kDivide && kOperation != Operation::kDivideDoubles;
  const bool are_integers = IsInteger(process, values[0]) && IsInteger(process, values[1]);
  if (are_integers && kOperation != Operation::kDivideDoubles) {
    if (kDivides && values[1] == Small(0)) return process.Fail("division by zero");
    if (int64_t result; AreSmall(values[0], values[1]) &&
                        OnSmall(kOperation, SmallOf(values[0]), SmallOf(values[1]), &result)) {
      return Process::Return(values, Small(result));
    }
    return process.ReturnNew(values, OnIntegers(process, kOperation, &values[0], &values[1]));
  }
  double a;
  double b;
  if (!AsDouble(process, values[0], &a) || !AsDouble(process, values[1], &b)) {
    return NoNumber(process, values[1]);
  }
  return process.ReturnNew(values, process.NewDouble(OnDoubles(kOperation, a, b)));
}

// ---- Comparing

enum class Order : uint8_t { kLess, kLessEqual, kGreater, kGreaterEqual, kEqual, kNotEqual };

template <typename T>
bool Holds(Order order, T a, T b) {
  switch (order) {
    case Order::kLess:
      return a < b;
    case Order::kLessEqual:
      return a <= b;
    case Order::kGreater:
      return a > b;
    case Order::kGreaterEqual:
      return a >= b;
    case Order::kEqual:
      return a == b;
    case Order::kNotEqual:
      return a != b;
  }
  return false;
}

template <Order kOrder>
Outcome Compare(Process& process, Ref* values) {
  constexpr bool kTests = kOrder == Order::kEqual || kOrder == Order::kNotEqual;
  bool holds;
  double a;
  double b;
  if (IsInteger(process, values[0]) && IsInteger(process, values[1])) {
    holds = Holds(kOrder, CompareIntegers(values[0], values[1]), 0);
  } else if (AsDouble(process, values[0], &a) && AsDouble(process, values[1], &b)) {
    holds = Holds(kOrder, a, b);
  } else if (kTests) {
    holds = kOrder == Order::kNotEqual;
  } else {
    return NoNumber(process, values[1]);
  }
  return Process::Return(values, process.universe().Boolean(holds));
}

// Integers, and Doubles, are values: two that are equal are the same.
Outcome Identical(Process& process, Ref* values) {
  const bool same_class =
      process.universe().TypeIdOfValue(values[0]) == process.universe().TypeIdOfValue(values[1]);
  if (!same_class) return Process::Return(values, process.universe().false_object());
  return Compare<Order::kEqual>(process, values);
}

template <bool kMax>
Outcome Extreme(Process& process, Ref* values) {
  double a;
  double b;
  if (!AsDouble(process, values[0], &a) || !AsDouble(process, values[1], &b)) {
    return NoNumber(process, values[1]);
  }
  const bool are_integers = IsInteger(process, values[0]) && IsInteger(process, values[1]);
  const bool less = are_integers ? CompareIntegers(values[0], values[1]) < 0 : a < b;
  return Process::Return(values, less == kMax ? values[1] : values[0]);
}

// ---- Integer

template <BitOperation kOperation>
Outcome Bits(Process& process, Ref* values) {
  if (!IsInteger(process, values[1])) return NoInteger(process, values[1]);
  if (AreSmall(values[0], values[1])) {
    const int64_t a = SmallOf(values[0]);
    const int64_t b = SmallOf(values[1]);
    return Process::Return(values, Small(kOperation == BitOperation::kAnd ? a & b : a ^ b));
  }
  return process.ReturnNew(values, CombineBits(process, &values[0], &values[1], kOperation));
}

Outcome ShiftLeftBy(Process& process, Ref* values) {
  constexpr int64_t kMaxShift = int64_t{1} << 30;
  if (!IsInteger(process, values[1])) return NoInteger(process, values[1]);
  if (!IsSmall(values[1]) || SmallOf(values[1]) < 0 || SmallOf(values[1]) > kMaxShift) {
    return process.Fail("a shift is by 0 to 2^30 bits, not by " + ToDigits(values[1]));
  }
  return process.ReturnNew(values,
                           ShiftLeft(process, &values[0], static_cast<size_t>(SmallOf(values[1]))));
}

// Negative ones are taken for unsigned integers of 64 bits.
Outcome ShiftRightBy(Process& process, Ref* values) {
  if (!IsInteger(process, values[1])) return NoInteger(process, values[1]);
  if (!IsSmall(values[1]) || SmallOf(values[1]) < 0) {
    return process.Fail("a shift is by 0 or more bits, not by " + ToDigits(values[1]));
  }
  const auto bits = static_cast<size_t>(SmallOf(values[1]));
  if (IntegerView(values[0]).is_negative) {
    const uint64_t shifted = bits < 64 ? LowBits(values[0]) >> bits : 0;
    return process.ReturnNew(values, NewInteger(process, Magnitude::FromUnsigned(shifted)));
  }
  return process.ReturnNew(values, ShiftRight(process, &values[0], bits));
}

Outcome IntegerAsString(Process& process, Ref* values) {
  return process.ReturnNew(values, process.NewString(ToDigits(values[0])));
}
Outcome IntegerAsDouble(Process& process, Ref* values) {
  return process.ReturnNew(values, process.NewDouble(ToDouble(values[0])));
}
Outcome As32BitSigned(Process&, Ref* values) {
  return Process::Return(values, Small(static_cast<int32_t>(LowBits(values[0]))));
}
Outcome As32BitUnsigned(Process&, Ref* values) {
  return Process::Return(values,
                         Small(static_cast<int64_t>(static_cast<uint32_t>(LowBits(values[0])))));
}

Outcome IntegerSqrt(Process& process, Ref* values) {
  Magnitude root;
  if (ExactRoot(values[0], &root)) return process.ReturnNew(values, NewInteger(process, root));
  return process.ReturnNew(values, process.NewDouble(std::sqrt(ToDouble(values[0]))));
}

// 0 to the receiver minus 1.
Outcome AtRandom(Process& process, Ref* values) {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  if (!IsSmall(values[0]) || SmallOf(values[0]) <= 0) {
    return process.Fail("random numbers are below a positive Integer of at most 62 bits, not " +
                        ToDigits(values[0]));
  }
  std::uniform_int_distribution<int64_t> below(0, SmallOf(values[0]) - 1);
  return Process::Return(values, Small(below(generator)));
}

Outcome Abs(Process& process, Ref* values) {
  if (!IntegerView(values[0]).is_negative) return Outcome::kValue;
  const Ref zero = Small(0);
  return process.ReturnNew(values, AddIntegers(process, &zero, &values[0], true));
}
Outcome Negated(Process& process, Ref* values) {
  const Ref zero = Small(0);
  return process.ReturnNew(values, AddIntegers(process, &zero, &values[0], true));
}

Outcome IntegerFromString(Process& process, Ref* values) {
  if (!process.universe().IsText(values[1])) return process.Fail("the argument is a String");
  const std::string text(process.universe().TextOf(values[1]));
  const size_t start = text.size() > 1 && text[0] == '-' ? 1 : 0;
  const bool is_number =
      !text.empty() && std::all_of(text.begin() + static_cast<ptrdiff_t>(start), text.end(),
                                   [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number) return process.Fail("'" + text + "' is no Integer");
  return process.ReturnNew(values, NewInteger(process, Magnitude::Parse(text)));
}

// ---- Double

std::string DoubleText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char digits[400];
  const auto [end, error] =
      std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::fixed);
  (void)error;  // there is room for every Double
  std::string text(digits, end);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

Outcome DoubleAsString(Process& process, Ref* values) {
  return process.ReturnNew(values, process.NewString(DoubleText(To<Double>(values[0])->value)));
}

template <double (*kFunction)(double)>
Outcome DoubleFunction(Process& process, Ref* values) {
  return process.ReturnNew(values, process.NewDouble(kFunction(To<Double>(values[0])->value)));
}

double Negative(double value) { return -value; }

template <double (*kRound)(double)>
Outcome DoubleToInteger(Process& process, Ref* values) {
  const double value = kRound(To<Double>(values[0])->value);
  if (!std::isfinite(value)) return process.Fail(DoubleText(value) + " is no Integer");
  return process.ReturnNew(values, NewInteger(process, Magnitude::FromDouble(value)));
}
// Halves go away from zero.
double Round(double value) { return std::round(value); }

Outcome PositiveInfinity(Process& process, Ref* values) {
  return process.ReturnNew(values, process.NewDouble(HUGE_VAL));
}

Outcome DoubleFromString(Process& process, Ref* values) {
  if (!process.universe().IsText(values[1])) return process.Fail("the argument is a String");
  const std::string text(process.universe().TextOf(values[1]));
  double value = NAN;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) value = NAN;
  return process.ReturnNew(values, process.NewDouble(value));
}

constexpr PrimitiveEntry kIntegers[] = {
    {"Integer", "+", Arithmetic<Operation::kAdd>},
    {"Integer", "-", Arithmetic<Operation::kSubtract>},
    {"Integer", "*", Arithmetic<Operation::kMultiply>},
    {"Integer", "/", Arithmetic<Operation::kDivide>},
    {"Integer", "//", Arithmetic<Operation::kDivideDoubles>},
    {"Integer", "%", Arithmetic<Operation::kModulo>},
    {"Integer", "rem:", Arithmetic<Operation::kRemainder>},
    {"Integer", "&", Bits<BitOperation::kAnd>},
    {"Integer", "bitXor:", Bits<BitOperation::kXor>},
    {"Integer", "<<", ShiftLeftBy},
    {"Integer", ">>>", ShiftRightBy},
    {"Integer", "<", Compare<Order::kLess>},
    {"Integer", "<=", Compare<Order::kLessEqual>},
    {"Integer", ">", Compare<Order::kGreater>},
    {"Integer", ">=", Compare<Order::kGreaterEqual>},
    {"Integer", "=", Compare<Order::kEqual>},
    {"Integer", "==", Identical},
    {"Integer", "~=", Compare<Order::kNotEqual>},
    {"Integer", "<>", Compare<Order::kNotEqual>},
    {"Integer", "max:", Extreme<true>},
    {"Integer", "min:", Extreme<false>},
    {"Integer", "abs", Abs},
    {"Integer", "negated", Negated},
    {"Integer", "sqrt", IntegerSqrt},
    {"Integer", "atRandom", AtRandom},
    {"Integer", "asString", IntegerAsString},
    {"Integer", "asDouble", IntegerAsDouble},
    {"Integer", "as32BitSignedValue", As32BitSigned},
    {"Integer", "as32BitUnsignedValue", As32BitUnsigned},
    {"Integer class", "fromString:", IntegerFromString},
};

constexpr PrimitiveEntry kDoubles[] = {
    {"Double", "+", Arithmetic<Operation::kAdd>},
    {"Double", "-", Arithmetic<Operation::kSubtract>},
    {"Double", "*", Arithmetic<Operation::kMultiply>},
    {"Double", "/", Arithmetic<Operation::kDivideDoubles>},
    {"Double", "//", Arithmetic<Operation::kDivideDoubles>},
    {"Double", "%", Arithmetic<Operation::kModulo>},
    {"Double", "<", Compare<Order::kLess>},
    {"Double", "<=", Compare<Order::kLessEqual>},
    {"Double", ">", Compare<Order::kGreater>},
    {"Double", ">=", Compare<Order::kGreaterEqual>},
    {"Double", "=", Compare<Order::kEqual>},
    {"Double", "==", Identical},
    {"Double", "~=", Compare<Order::kNotEqual>},
    {"Double", "<>", Compare<Order::kNotEqual>},
    {"Double", "max:", Extreme<true>},
    {"Double", "min:", Extreme<false>},
    {"Double", "abs", DoubleFunction<std::fabs>},
    {"Double", "negated", DoubleFunction<Negative>},
    {"Double", "sqrt", DoubleFunction<std::sqrt>},
    {"Double", "sin", DoubleFunction<std::sin>},
    {"Double", "cos", DoubleFunction<std::cos>},
    {"Double", "round", DoubleToInteger<Round>},
    {"Double", "asInteger", DoubleToInteger<std::trunc>},
    {"Double", "asString", DoubleAsString},
    {"Double class", "PositiveInfinity", PositiveInfinity},
    {"Double class", "fromString:", DoubleFromString},
};

}  // namespace

std::span<const PrimitiveEntry> IntegerPrimitives() { return kIntegers; }
std::span<const PrimitiveEntry> DoublePrimitives() { return kDoubles; }

}  // namespace som
