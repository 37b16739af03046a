// What a send remembers of the classes it met: shared by all isolates that run the code.
#ifndef SOM_CALL_SITE_H_
#define SOM_CALL_SITE_H_

#include <atomic>
#include <cstdint>

#include "symbol_table.h"
#include "value.h"

namespace som {

/// A class and the method found for it are one word, so that they change together:
///
///   63                          20 19         0
///   +-----------------------------+-----------+
///   |  address of the method / 16 |  type id  |
///   +-----------------------------+-----------+
///
/// Two classes are remembered; the third replaces the second.
class CallSite {
 public:
  Symbol* selector = nullptr;
  int arity = 0;
  /// Sends to super: the class whose methods come first.
  Class* super_of = nullptr;

  /// The method for receivers of that type; null: not remembered.
  Method* Find(uint32_t type_id) const {
    // Acquire: the method, which another isolate may have loaded, is complete.
    const uint64_t first = entries_[0].load(std::memory_order_acquire);
    if (ATOLL_LIKELY((first & kTypeMask) == type_id)) return MethodOf(first);
    const uint64_t second = entries_[1].load(std::memory_order_acquire);
    return (second & kTypeMask) == type_id ? MethodOf(second) : nullptr;
  }
  void Remember(uint32_t type_id, Method* method) {
    const uint64_t entry =
        (reinterpret_cast<uint64_t>(method) >> 4) << Atoll::header::kTypeBits | type_id;
    uint64_t none = kNone;
    // Release: see Find. Who loses the first place takes the second, whoever held it.
    if (!entries_[0].compare_exchange_strong(none, entry, std::memory_order_release,
                                             std::memory_order_relaxed)) {
      entries_[1].store(entry, std::memory_order_release);
    }
  }

 private:
  static constexpr uint64_t kTypeMask = Atoll::header::kMaxTypeId;
  static constexpr uint64_t kNone = kTypeMask;  // no object is of the last type
  static Method* MethodOf(uint64_t entry) {
    return reinterpret_cast<Method*>((entry >> Atoll::header::kTypeBits) << 4);
  }

  std::atomic<uint64_t> entries_[2]{kNone, kNone};
};

}  // namespace som

#endif  // SOM_CALL_SITE_H_
