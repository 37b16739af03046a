// The write barriers of one encoding behind function pointers, so that the operations of the stress
// suite are compiled once and not per encoding.
#ifndef ATOLL_TESTS_STRESS_BARRIERS_H_
#define ATOLL_TESTS_STRESS_BARRIERS_H_

#include "atoll/mutator.h"

namespace Atoll::stress {

struct Barriers {
  void (*store)(Mutator&, ObjectPtr, Slot, Ref);
  void (*store_initial)(Mutator&, ObjectPtr, Slot, Ref);
  void (*store_release)(Mutator&, ObjectPtr, Slot, Ref);
  bool (*compare_exchange)(Mutator&, ObjectPtr, Slot, Ref&, Ref);
  Ref (*exchange)(Mutator&, ObjectPtr, Slot, Ref);
  void (*copy_refs)(Mutator&, ObjectPtr, Slot, Slot, size_t);
};

template <typename E>
constexpr Barriers BarriersFor() {
  return {
      [](Mutator& m, ObjectPtr o, Slot s, Ref v) { Store<E>(m, o, s, v); },
      [](Mutator& m, ObjectPtr o, Slot s, Ref v) { StoreInitial<E>(m, o, s, v); },
      [](Mutator& m, ObjectPtr o, Slot s, Ref v) { StoreRelease<E>(m, o, s, v); },
      [](Mutator& m, ObjectPtr o, Slot s, Ref& e, Ref v) {
        return CompareExchange<E>(m, o, s, e, v);
      },
      [](Mutator& m, ObjectPtr o, Slot s, Ref v) { return Exchange<E>(m, o, s, v); },
      [](Mutator& m, ObjectPtr o, Slot t, Slot s, size_t n) { CopyRefs<E>(m, o, t, s, n); },
  };
}

struct EncodingCase {
  const char* name;
  RefEncoding encoding;
  Barriers barriers;
};
inline const EncodingCase kPlainCase{"plain", PlainPointers::kEncoding,
                                     BarriersFor<PlainPointers>()};
inline const EncodingCase kLowTagCase{"low_tag", LowTagOne::kEncoding, BarriersFor<LowTagOne>()};
inline const EncodingCase kNanBoxCase{"nan_box", NanBoxing::kEncoding, BarriersFor<NanBoxing>()};
inline const EncodingCase kHeaderBeforeCase{"header_before", HeaderBefore::kEncoding,
                                            BarriersFor<HeaderBefore>()};
inline const EncodingCase kCompressedCase{"compressed", CompressedPointers::kEncoding,
                                          BarriersFor<CompressedPointers>()};
/// None that the library knows at compile time: a tag of 5, sixteen free bits at the top, a bias.
inline const EncodingCase kRuntimeCase{"runtime", RefEncoding{7, 5, 0x0000'FFFF'FFFF'FFF8u, 16},
                                       BarriersFor<RuntimeEncoding>()};

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_BARRIERS_H_
