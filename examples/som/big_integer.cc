#include "big_integer.h"

#include <gmp.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "process.h"

namespace som {

static_assert(sizeof(mp_limb_t) == sizeof(uint64_t) && GMP_NUMB_BITS == 64);

namespace {

mp_limb_t* ToGmp(uint64_t* limbs) { return reinterpret_cast<mp_limb_t*>(limbs); }
const mp_limb_t* ToGmp(const uint64_t* limbs) { return reinterpret_cast<const mp_limb_t*>(limbs); }
mp_size_t Size(size_t count) { return static_cast<mp_size_t>(count); }

// [allocate]
BigInteger* Allocate(Process& process, size_t limbs) {
  const ObjectPtr made =
      process.mutator().AllocateArray(*process.universe().classes().integer->type, limbs);
  return reinterpret_cast<BigInteger*>(made.address());
}

// Cuts leading zeros off a fresh object; what fits is a small integer instead.
Ref Normalize(Process& process, BigInteger* number) {
  size_t count = number->limb_count;
  while (count > 0 && number->limbs()[count - 1] == 0) --count;
  if (count == 0) return Small(0);
  if (count == 1 && number->limbs()[0] <= static_cast<uint64_t>(kMaxSmall)) {
    const auto magnitude = static_cast<int64_t>(number->limbs()[0]);
    return Small(number->is_negative != 0 ? -magnitude : magnitude);
  }
  if (count != number->limb_count) {
    // Never refused: a private object with at least as many elements.
    (void)process.mutator().ShrinkInPlace(number->ptr(), count);
  }
  return RefOf(number->ptr());
}
// [/allocate]

int CompareMagnitudes(const IntegerView& a, const IntegerView& b) {
  if (a.count != b.count) return a.count < b.count ? -1 : 1;
  return a.count == 0 ? 0 : mpn_cmp(ToGmp(a.limbs), ToGmp(b.limbs), Size(a.count));
}

// The two's complement in `count` limbs, which is enough for the sign.
std::vector<uint64_t> TwosComplement(const IntegerView& view, size_t count) {
  std::vector<uint64_t> bits(count);
  std::copy(view.limbs, view.limbs + std::min(count, view.count), bits.begin());
  if (view.is_negative) mpn_neg(ToGmp(bits.data()), ToGmp(bits.data()), Size(count));
  return bits;
}

}  // namespace

// ---- Magnitude

void Magnitude::Normalize() {
  while (!limbs.empty() && limbs.back() == 0) limbs.pop_back();
  if (limbs.empty()) is_negative = false;
}

Magnitude Magnitude::Parse(std::string_view digits) {
  Magnitude number;
  if (!digits.empty() && digits.front() == '-') {
    number.is_negative = true;
    digits.remove_prefix(1);
  }
  if (digits.empty()) return number;
  std::string values(digits);
  for (char& digit : values) digit = static_cast<char>(digit - '0');
  constexpr size_t kDigitsPerLimb = 19;
  number.limbs.resize(values.size() / kDigitsPerLimb + 1);
  const mp_size_t count =
      mpn_set_str(ToGmp(number.limbs.data()), reinterpret_cast<const unsigned char*>(values.data()),
                  values.size(), 10);
  number.limbs.resize(static_cast<size_t>(count));
  number.Normalize();
  return number;
}

Magnitude Magnitude::FromUnsigned(uint64_t value) {
  Magnitude number;
  number.limbs = {value};
  number.Normalize();
  return number;
}

Magnitude Magnitude::FromDouble(double value) {
  Magnitude number;
  int exponent = 0;
  constexpr int kMantissaBits = 53;
  const double mantissa = std::frexp(std::fabs(std::trunc(value)), &exponent);
  if (mantissa == 0) return number;
  number.is_negative = value < 0;
  const auto bits = static_cast<uint64_t>(std::ldexp(mantissa, kMantissaBits));
  const int shift = exponent - kMantissaBits;
  if (shift <= 0) {
    number.limbs = {bits >> -shift};
  } else {
    number.limbs.resize(static_cast<size_t>(shift) / 64 + 2);
    const size_t at = static_cast<size_t>(shift) / 64;
    const unsigned within = static_cast<unsigned>(shift) % 64;
    number.limbs[at] = bits << within;
    if (within != 0) number.limbs[at + 1] = bits >> (64 - within);
  }
  number.Normalize();
  return number;
}

bool Magnitude::ToInt64(int64_t* value) const {
  if (limbs.size() > 1) return false;
  const uint64_t magnitude = limbs.empty() ? 0 : limbs[0];
  if (magnitude > static_cast<uint64_t>(INT64_MAX)) return false;
  *value = is_negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
  return true;
}

void Magnitude::CopyTo(BigInteger* object) const {
  object->is_negative = is_negative ? 1 : 0;
  std::copy(limbs.begin(), limbs.end(), object->limbs());
}

// ---- IntegerView

IntegerView::IntegerView(Ref value) : own_limb_(0) {
  if (IsSmall(value)) {
    const int64_t number = SmallOf(value);
    is_negative = number < 0;
    own_limb_ = is_negative ? -static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    limbs = &own_limb_;
    count = own_limb_ == 0 ? 0 : 1;
  } else {
    auto* object = To<BigInteger>(value);
    is_negative = object->is_negative != 0;
    limbs = object->limbs();
    count = object->limb_count;
  }
}

// ---- Operations

Ref NewInteger(Process& process, const Magnitude& number) {
  if (int64_t small; number.ToInt64(&small) && FitsSmall(small)) return Small(small);
  BigInteger* made = Allocate(process, number.limbs.size());
  if (made == nullptr) return {};
  number.CopyTo(made);
  return RefOf(made->ptr());
}

Ref NewInteger(Process& process, int64_t number) {
  if (FitsSmall(number)) return Small(number);
  Magnitude magnitude = Magnitude::FromUnsigned(number < 0 ? -static_cast<uint64_t>(number)
                                                           : static_cast<uint64_t>(number));
  magnitude.is_negative = number < 0;
  return NewInteger(process, magnitude);
}

// [add]
Ref AddIntegers(Process& process, const Ref* a, const Ref* b, bool subtract) {
  const size_t count = std::max(IntegerView(*a).count, IntegerView(*b).count) + 1;
  BigInteger* sum = Allocate(process, count);  // may collect: looks at the operands only now
  if (sum == nullptr) return {};
  const IntegerView x(*a);
  const IntegerView y(*b);
  const bool y_negative = y.is_negative != subtract;
  const bool swap = CompareMagnitudes(x, y) < 0;
  const IntegerView& larger = swap ? y : x;
  const IntegerView& lesser = swap ? x : y;
  mp_limb_t* to = ToGmp(sum->limbs());
  sum->is_negative = (swap ? y_negative : x.is_negative) ? 1 : 0;
  if (larger.count == 0) return Small(0);
  std::memcpy(to, larger.limbs, larger.count * sizeof(mp_limb_t));
  if (lesser.count != 0) {
    if (x.is_negative == y_negative) {
      to[larger.count] =
          mpn_add(to, to, Size(larger.count), ToGmp(lesser.limbs), Size(lesser.count));
    } else {
      mpn_sub(to, to, Size(larger.count), ToGmp(lesser.limbs), Size(lesser.count));
    }
  }
  return Normalize(process, sum);
}
// [/add]

Ref MultiplyIntegers(Process& process, const Ref* a, const Ref* b) {
  const size_t count = IntegerView(*a).count + IntegerView(*b).count;
  BigInteger* product = Allocate(process, count);
  if (product == nullptr) return {};
  const IntegerView x(*a);
  const IntegerView y(*b);
  if (x.count == 0 || y.count == 0) return Small(0);
  const IntegerView& longer = x.count < y.count ? y : x;
  const IntegerView& shorter = x.count < y.count ? x : y;
  mpn_mul(ToGmp(product->limbs()), ToGmp(longer.limbs), Size(longer.count), ToGmp(shorter.limbs),
          Size(shorter.count));
  product->is_negative = x.is_negative != y.is_negative ? 1 : 0;
  return Normalize(process, product);
}

Ref DivideIntegers(Process& process, const Ref* a, const Ref* b, Division wanted) {
  Magnitude quotient;
  Magnitude remainder;
  {
    const IntegerView x(*a);
    const IntegerView y(*b);
    if (x.count < y.count) {
      remainder.limbs.assign(x.limbs, x.limbs + x.count);
    } else {
      quotient.limbs.resize(x.count - y.count + 1);
      remainder.limbs.resize(y.count);
      mpn_tdiv_qr(ToGmp(quotient.limbs.data()), ToGmp(remainder.limbs.data()), 0, ToGmp(x.limbs),
                  Size(x.count), ToGmp(y.limbs), Size(y.count));
    }
    quotient.is_negative = x.is_negative != y.is_negative;
    remainder.is_negative = x.is_negative;
    quotient.Normalize();
    remainder.Normalize();
    if (wanted == Division::kModulo && !remainder.limbs.empty() && x.is_negative != y.is_negative) {
      // Of the other sign: the divisor is added.
      std::vector<uint64_t> modulo(y.limbs, y.limbs + y.count);
      mpn_sub(ToGmp(modulo.data()), ToGmp(modulo.data()), Size(y.count),
              ToGmp(remainder.limbs.data()), Size(remainder.limbs.size()));
      remainder.limbs = std::move(modulo);
      remainder.is_negative = y.is_negative;
      remainder.Normalize();
    }
  }
  return NewInteger(process, wanted == Division::kQuotient ? quotient : remainder);
}

Ref CombineBits(Process& process, const Ref* a, const Ref* b, BitOperation operation) {
  const IntegerView x(*a);
  const IntegerView y(*b);
  const size_t count = std::max(x.count, y.count) + 1;
  Magnitude result;
  result.limbs = TwosComplement(x, count);
  const std::vector<uint64_t> other = TwosComplement(y, count);
  for (size_t i = 0; i < count; ++i) {
    result.limbs[i] =
        operation == BitOperation::kAnd ? result.limbs[i] & other[i] : result.limbs[i] ^ other[i];
  }
  result.is_negative = result.limbs.back() >> 63 != 0;
  if (result.is_negative) {
    mpn_neg(ToGmp(result.limbs.data()), ToGmp(result.limbs.data()), Size(count));
  }
  result.Normalize();
  return NewInteger(process, result);
}

Ref ShiftLeft(Process& process, const Ref* a, size_t bits) {
  const size_t count = IntegerView(*a).count;
  if (count == 0) return Small(0);
  BigInteger* shifted = Allocate(process, count + bits / 64 + 1);
  if (shifted == nullptr) return {};
  const IntegerView x(*a);
  mp_limb_t* to = ToGmp(shifted->limbs()) + bits / 64;
  shifted->is_negative = x.is_negative ? 1 : 0;
  const auto within = static_cast<unsigned>(bits % 64);
  if (within == 0) {
    std::memcpy(to, x.limbs, count * sizeof(mp_limb_t));
  } else {
    to[count] = mpn_lshift(to, ToGmp(x.limbs), Size(count), within);
  }
  return Normalize(process, shifted);
}

Ref ShiftRight(Process& process, const Ref* a, size_t bits) {
  const size_t count = IntegerView(*a).count;
  if (bits / 64 >= count) return Small(0);
  BigInteger* shifted = Allocate(process, count - bits / 64);
  if (shifted == nullptr) return {};
  const IntegerView x(*a);
  const size_t left = count - bits / 64;
  const mp_limb_t* from = ToGmp(x.limbs) + bits / 64;
  const auto within = static_cast<unsigned>(bits % 64);
  if (within == 0) {
    std::memcpy(shifted->limbs(), from, left * sizeof(mp_limb_t));
  } else {
    mpn_rshift(ToGmp(shifted->limbs()), from, Size(left), within);
  }
  return Normalize(process, shifted);
}

int CompareIntegers(Ref a, Ref b) {
  const IntegerView x(a);
  const IntegerView y(b);
  if (x.is_negative != y.is_negative) return x.is_negative ? -1 : 1;
  const int magnitudes = CompareMagnitudes(x, y);
  return x.is_negative ? -magnitudes : magnitudes;
}

double ToDouble(Ref integer) {
  if (IsSmall(integer)) return static_cast<double>(SmallOf(integer));
  const IntegerView view(integer);
  double value = 0;
  for (size_t i = view.count; i-- > 0;)
    value = std::ldexp(value, 64) + static_cast<double>(view.limbs[i]);
  return view.is_negative ? -value : value;
}

uint64_t LowBits(Ref integer) {
  const IntegerView view(integer);
  const uint64_t low = view.count == 0 ? 0 : view.limbs[0];
  return view.is_negative ? -low : low;
}

std::string ToDigits(Ref integer) {
  if (IsSmall(integer)) return std::to_string(SmallOf(integer));
  const IntegerView view(integer);
  std::vector<mp_limb_t> limbs(ToGmp(view.limbs), ToGmp(view.limbs) + view.count);
  std::string digits(view.count * 20 + 2, '\0');
  const size_t count = mpn_get_str(reinterpret_cast<unsigned char*>(digits.data()), 10,
                                   limbs.data(), Size(view.count));
  digits.resize(count);
  for (char& digit : digits) digit = static_cast<char>(digit + '0');
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return view.is_negative ? "-" + digits : digits;
}

bool ExactRoot(Ref integer, Magnitude* root) {
  const IntegerView view(integer);
  if (view.is_negative) return false;
  root->limbs.assign(view.count / 2 + 1, 0);
  if (view.count == 0) return true;
  std::vector<mp_limb_t> rest(view.count);
  const bool exact =
      mpn_sqrtrem(ToGmp(root->limbs.data()), rest.data(), ToGmp(view.limbs), Size(view.count)) == 0;
  root->Normalize();
  return exact;
}

}  // namespace som
