// Global variables: names that all isolates share, values that each has for itself.
#ifndef SOM_GLOBALS_H_
#define SOM_GLOBALS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "symbol_table.h"
#include "value.h"

namespace som {

/// A name that code uses. Where an isolate has given it no value, it has the group's: the class of
/// that name, or `system`.
struct GlobalName {
  Symbol* symbol;
  uint32_t index;  ///< in each isolate's table of statics
  // Both are set once, in this order. Release when the class is complete, acquire where it is used.
  std::atomic<Class*> loaded{nullptr};
  std::atomic<Word> value{0};

  Ref shared_value() const { return {value.load(std::memory_order_acquire)}; }
  void SetSharedValue(Ref shared) { value.store(shared.word, std::memory_order_release); }
};

/// The places in the isolates' tables of statics, for globals and class-side fields. Thread-safe.
class Globals {
 public:
  /// The name for a symbol; makes it when it is new.
  GlobalName* Get(Symbol* symbol) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& name = names_[symbol];
    if (name == nullptr) {
      name = std::make_unique<GlobalName>();
      name->symbol = symbol;
      name->index = Reserve(1);
    }
    return name.get();
  }
  /// The first of `count` new places.
  uint32_t Reserve(uint32_t count) {
    // Relaxed: unique is all that they need to be.
    return next_.fetch_add(count, std::memory_order_relaxed);
  }

 private:
  std::mutex mutex_;  // held for a look-up or an insertion alone
  std::unordered_map<Symbol*, std::unique_ptr<GlobalName>> names_;
  std::atomic<uint32_t> next_{0};
};

/// One isolate's values, by place; the zero word: none was stored. They are fields of the isolate,
/// which keeps what they refer to.
class Statics {
 public:
  static Ref Get(const Atoll::Isolate& isolate, uint32_t place) { return isolate.field(place); }
  static bool Set(Atoll::Isolate& isolate, uint32_t place, Ref value) {
    return isolate.SetField(place, value).ok();
  }
};

}  // namespace som

#endif  // SOM_GLOBALS_H_
