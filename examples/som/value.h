// Values, and what lies in the heap: one word each, a small integer or a reference.
//
//   ......x1   a small integer of 63 bits
//   .....000   a reference: the address of an object's header
//   0          nothing: never seen by SOM code
//
// Each class has an Atoll type of its own, so an object's header names its class, and no other word
// of the object does.
#ifndef SOM_VALUE_H_
#define SOM_VALUE_H_

#include <atoll/atoll.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace som {

using Atoll::ObjectPtr;
using Atoll::Ref;
using Atoll::Word;

struct Class;
struct Method;

// [small]
inline constexpr int64_t kMaxSmall = INT64_MAX >> 1;
inline constexpr int64_t kMinSmall = INT64_MIN >> 1;
inline bool IsSmall(Ref value) { return (value.word & 1) != 0; }
inline bool AreSmall(Ref a, Ref b) { return (a.word & b.word & 1) != 0; }
inline int64_t SmallOf(Ref value) { return static_cast<int64_t>(value.word) >> 1; }
inline bool FitsSmall(int64_t number) { return number >= kMinSmall && number <= kMaxSmall; }
inline Ref Small(int64_t number) { return {(static_cast<Word>(number) << 1) | 1}; }
// [/small]

inline ObjectPtr PtrOf(Ref value) { return ObjectPtr(value.word); }
inline Ref RefOf(ObjectPtr object) { return {object.address()}; }
template <typename T>
T* To(Ref value) {
  return reinterpret_cast<T*>(value.word);
}

/// How the instances of a class lie in the heap. Subclasses inherit it.
enum class Kind : uint8_t {
  kInstance,  // fields
  kInteger,   // small, or BigInteger
  kDouble,
  kString,
  kSymbol,
  kArray,
  kBlock,
  kClass,
  kMethod,
  kPort,
  kIsolate,
  kWeakReference,
};

// [objects]
/// An object with fields; their number is its class's.
struct Instance : Atoll::Object {
  Ref* fields() { return reinterpret_cast<Ref*>(this + 1); }
};
struct Array : Atoll::Object {
  uint64_t length;
  Ref* elements() { return reinterpret_cast<Ref*>(this + 1); }
};
struct String : Atoll::Object {
  uint64_t length;
  char* bytes() { return reinterpret_cast<char*>(this + 1); }
};
/// One for each text of the group (Atoll::Program::Intern); they do not move. Laid out as String.
struct Symbol : Atoll::Object {
  uint64_t length;
  std::string_view view() const { return {reinterpret_cast<const char*>(this + 1), length}; }
  std::string text() const { return std::string(view()); }
  Ref ref() const { return {ptr().address()}; }
  /// As a selector: how many arguments it takes.
  int Arity() const;
};
struct Double : Atoll::Object {
  double value;
};
/// An integer that is not small: sign and magnitude, the highest limb not zero.
struct BigInteger : Atoll::Object {
  uint32_t limb_count;
  uint32_t is_negative;
  uint64_t* limbs() { return reinterpret_cast<uint64_t*>(this + 1); }
};
/// The variables of one activation that its blocks use too. [0] is the activation around it.
using Context = Array;
struct Closure : Atoll::Object {
  Ref self;
  Ref context;
  const Method* code;
  uint64_t home;  ///< the activation that ^ returns from; 0: it has no ^
};
/// In Program: a class or a method, of which all but the identity lies outside the heap.
struct ClassObject : Atoll::Object {
  Class* info;
};
struct MethodObject : Atoll::Object {
  Method* info;
};
struct PortObject : Atoll::Object {
  Atoll::SendPort port;
};
struct IsolateObject : Atoll::Object {
  Atoll::IsolateId id;
};
struct WeakReference : Atoll::Object {
  Ref referent;  ///< the zero word once it is dead
};
// [/objects]

inline uint32_t TypeIdOf(Ref object) {
  // Relaxed: an object's type never changes, and its header was published with it.
  const uint32_t half =
      std::atomic_ref<uint32_t>(*To<uint32_t>(object)).load(std::memory_order_relaxed);
  return (half >> Atoll::header::kTypeShift) & Atoll::header::kMaxTypeId;
}

}  // namespace som

#endif  // SOM_VALUE_H_
