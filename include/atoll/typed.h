// Layer: heap
//
// A typed C++ view of heap objects, for heaps with the encodings PlainPointers and
// CompressedPointers; for the latter, Member and RefArray are CompressedMember and
// CompressedRefArray:
//
//   struct Node : Atoll::Object {
//     Atoll::Member<Node> left, right;
//     int64_t value;
//   };
//   template <>
//   struct Atoll::Fields<Node> : Atoll::References<ATOLL_FIELD(Node, left), ATOLL_FIELD(Node,
//   right)> {};
//
//   const Atoll::Type* type = heap.RegisterType(Atoll::Describe<Node>("Node")).value();
//   Node* node = Atoll::New<Node>(mutator, *type);
//   node->left.Set(mutator, node, child);
#ifndef ATOLL_TYPED_H_
#define ATOLL_TYPED_H_

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include "atoll/handles.h"
#include "atoll/mutator.h"
#include "atoll/type.h"

namespace Atoll {

/// The header that every heap object begins with. Not to be read or written by embedders.
struct Object {
  Word header;
  ObjectPtr ptr() const { return ObjectPtr(reinterpret_cast<uintptr_t>(this)); }
};

/// A reference field of a typed object. Reading is a plain load; writing goes through the barrier.
template <typename T, typename E>
class MemberOf {
 public:
  using Encoding = E;

  T* get() const { return reinterpret_cast<T*>(slot().template LoadAs<E>().word); }
  T* operator->() const { return get(); }
  explicit operator bool() const { return get() != nullptr; }
  /// Stores with the write barrier; `owner` is the object that this field is in.
  ATOLL_ALWAYS_INLINE void Set(Mutator& mutator, const Object* owner, T* value) {
    Store<E>(mutator, owner->ptr(), slot(), Ref{reinterpret_cast<Word>(value)});
  }
  /// The first store into a fresh object, see StoreInitial.
  ATOLL_ALWAYS_INLINE void Init(Mutator& mutator, const Object* owner, T* value) {
    StoreInitial<E>(mutator, owner->ptr(), slot(), Ref{reinterpret_cast<Word>(value)});
  }
  Slot slot() const { return ObjectSlot<E>(reinterpret_cast<uintptr_t>(&word_)); }

 private:
  std::conditional_t<E::kCompressed, CompressedWord, Word> word_;
};
template <typename T>
using Member = MemberOf<T, PlainPointers>;
template <typename T>
using CompressedMember = MemberOf<T, CompressedPointers>;

template <typename T>
inline constexpr bool kIsMember = false;
template <typename T, typename E>
inline constexpr bool kIsMember<MemberOf<T, E>> = true;

/// One reference field, named by ATOLL_FIELD.
template <typename Owner, typename Field, size_t kFieldOffset>
struct FieldAt {
  static_assert(kIsMember<Field>,
                "reference fields of a heap object are Atoll::Member<T> or CompressedMember<T>");
  static_assert(std::is_base_of_v<Object, Owner>, "heap objects derive from Atoll::Object");
  static_assert(kFieldOffset >= kHeaderSize && kFieldOffset % sizeof(Field) == 0);
  static constexpr uint32_t kOffset = kFieldOffset;
  static constexpr uint32_t kSize = sizeof(Field);
};
// Heap objects derive from Object, so they are not of standard layout; without virtual bases their
// offsets are constants all the same, on every compiler that we support. The warning is off to the
// end of the translation unit, since it is raised where ATOLL_FIELD is used.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
#define ATOLL_FIELD(Owner, field) \
  ::Atoll::FieldAt<Owner, decltype(Owner::field), __builtin_offsetof(Owner, field)>

/// The list of an object's reference fields; Fields<T> derives from it.
template <typename... kFields>
struct References {
  static constexpr uint32_t kOffsets[sizeof...(kFields) + 1] = {kFields::kOffset..., 0};
  static constexpr size_t kCount = sizeof...(kFields);
  static constexpr uint32_t kSizes[sizeof...(kFields) + 1] = {kFields::kSize..., sizeof(Word)};
  static_assert(
      ((kFields::kSize == kSizes[0]) && ...),
      "an object has Members or CompressedMembers, as its heap's encoding says, not both");
};
/// Specialized for each typed object.
template <typename T>
struct Fields;

/// The TypeInfo of a typed object of fixed size: a leaf if it has no reference fields.
template <typename T>
TypeInfo Describe(std::string name) {
  static_assert(sizeof(T) % kGranule == 0 && alignof(T) == kGranule);
  TypeInfo info;
  info.name = std::move(name);
  info.layout = Fields<T>::kCount == 0 ? Layout::kLeaf : Layout::kFixed;
  info.slot_size = Fields<T>::kSizes[0];
  info.fixed_size = sizeof(T);
  info.ref_offsets.assign(Fields<T>::kOffsets, Fields<T>::kOffsets + Fields<T>::kCount);
  return info;
}

/// A zeroed T, or null (see Mutator::Allocate). May collect.
template <typename T>
ATOLL_ALWAYS_INLINE T* New(Mutator& mutator, const Type& type) {
  return reinterpret_cast<T*>(mutator.Allocate(type, sizeof(T)).address());
}

/// New where memory is not at hand; `initialize` as for New.
template <typename T, typename Initialize, typename... Kept>
ATOLL_COLD T* NewSlow(Mutator& mutator, const Type& type, Initialize initialize, Kept*... kept) {
  const auto make = [&](const StackLocal<Kept>&... roots) {
    T* object = New<T>(mutator, type);
    if (object != nullptr) initialize(object, roots.get()...);
    return object;
  };
  const StackScope scope(mutator);
  return make(StackLocal<Kept>(mutator, kept)...);
}

/// A T with its first values, or null: calls `initialize(T*, kept...)` unless it is null. `kept`
/// are references that it stores: roots while a collection runs, and handed on as that leaves them.
/// `initialize` stores into the object, by Member::Init and assignment, and does nothing else; what
/// it leaves out is zero. May collect.
///
/// Cheaper than stores after New, by a tenth of what a small object costs: here the compiler sees
/// that they overwrite the zeroes, and leaves these out.
template <typename T, typename Initialize, typename... Kept>
ATOLL_ALWAYS_INLINE T* New(Mutator& mutator, const Type& type, Initialize initialize,
                           Kept*... kept) {
  const auto fill = [&](ObjectPtr fresh) __attribute__((always_inline)) {
    initialize(reinterpret_cast<T*>(fresh.address()), kept...);
  };
  ObjectPtr object;
  if (ATOLL_LIKELY(mutator.TryAllocate(type, sizeof(T), &object, fill))) {
    return reinterpret_cast<T*>(object.address());
  }
  return NewSlow<T>(mutator, type, initialize, kept...);
}

/// An array of references: { header, length, elements }.
template <typename T, typename E>
struct RefArrayOf : Object {
  uint64_t length;
  MemberOf<T, E>* elements() { return reinterpret_cast<MemberOf<T, E>*>(this + 1); }
  MemberOf<T, E>& at(size_t index) { return elements()[index]; }
};
template <typename T>
using RefArray = RefArrayOf<T, PlainPointers>;
template <typename T>
using CompressedRefArray = RefArrayOf<T, CompressedPointers>;
/// An array of numbers or bytes: { header, length, elements }.
template <typename T>
struct DataArray : Object {
  static_assert(std::is_trivially_copyable_v<T>);
  uint64_t length;
  T* elements() { return reinterpret_cast<T*>(this + 1); }
  T& at(size_t index) { return elements()[index]; }
};

template <typename E = PlainPointers>
TypeInfo DescribeRefArray(std::string name) {
  TypeInfo info;
  info.name = std::move(name);
  info.layout = Layout::kRefArray;
  info.slot_size = kSlotSize<E>;
  info.fixed_size = sizeof(RefArrayOf<Object, E>);
  info.element_size = kSlotSize<E>;
  info.length_offset = kHeaderSize;
  return info;
}
template <typename T>
TypeInfo DescribeDataArray(std::string name) {
  TypeInfo info;
  info.name = std::move(name);
  info.fixed_size = sizeof(DataArray<T>);
  info.element_size = sizeof(T);
  info.length_offset = kHeaderSize;
  return info;
}
/// A zeroed array (see Mutator::AllocateArray): Array is RefArrayOf<T, E> or DataArray<T>. May
/// collect.
template <typename Array>
ATOLL_ALWAYS_INLINE Array* NewArray(Mutator& mutator, const Type& type, size_t length) {
  return reinterpret_cast<Array*>(mutator.AllocateArray(type, length).address());
}

}  // namespace Atoll

#endif  // ATOLL_TYPED_H_
