// Integers of any size: GMP's low-level functions, on limbs that lie in heap objects.
#ifndef SOM_BIG_INTEGER_H_
#define SOM_BIG_INTEGER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "value.h"

namespace som {

class Process;

/// An integer outside the heap: of literals, and in the middle of a computation.
struct Magnitude {
  std::vector<uint64_t> limbs;  // the highest is not zero
  bool is_negative = false;

  /// Digits, behind a minus perhaps; nothing else.
  static Magnitude Parse(std::string_view digits);
  static Magnitude FromDouble(double value);
  static Magnitude FromUnsigned(uint64_t value);
  void Normalize();
  bool ToInt64(int64_t* value) const;
  /// Into an object that has as many limbs.
  void CopyTo(BigInteger* object) const;
};

/// What an integer is, small or not. Raw: until the next point that may collect.
struct IntegerView {
  explicit IntegerView(Ref value);
  IntegerView(const IntegerView&) = delete;
  IntegerView& operator=(const IntegerView&) = delete;

  const uint64_t* limbs;
  size_t count;
  bool is_negative;

 private:
  uint64_t own_limb_;
};

// Operations on two integers, of which one at least is not small. The result is the zero word when
// there was no memory. May collect: the operands are passed by where they are rooted.
Ref AddIntegers(Process& process, const Ref* a, const Ref* b, bool subtract);
Ref MultiplyIntegers(Process& process, const Ref* a, const Ref* b);
enum class Division : uint8_t { kQuotient, kRemainder, kModulo };
/// Truncates; the remainder has the dividend's sign, the modulo the divisor's. `b` is not zero.
Ref DivideIntegers(Process& process, const Ref* a, const Ref* b, Division wanted);
enum class BitOperation : uint8_t { kAnd, kXor };
/// On the two's complements, of as many bits as it takes.
Ref CombineBits(Process& process, const Ref* a, const Ref* b, BitOperation operation);
Ref ShiftLeft(Process& process, const Ref* a, size_t bits);
/// Of a magnitude.
Ref ShiftRight(Process& process, const Ref* a, size_t bits);
Ref NewInteger(Process& process, const Magnitude& number);
Ref NewInteger(Process& process, int64_t number);

/// Less than, equal to or greater than zero, as a is to b.
int CompareIntegers(Ref a, Ref b);
double ToDouble(Ref integer);
/// The lowest 64 bits of the two's complement.
uint64_t LowBits(Ref integer);
std::string ToDigits(Ref integer);
/// The root of a perfect square, no less than zero; false: it is none.
bool ExactRoot(Ref integer, Magnitude* root);

}  // namespace som

#endif  // SOM_BIG_INTEGER_H_
