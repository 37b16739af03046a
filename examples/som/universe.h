// What all isolates share: types, symbols, classes and their code, the group.
#ifndef SOM_UNIVERSE_H_
#define SOM_UNIVERSE_H_

#include <atoll/atoll.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "class.h"
#include "hot_code.h"
#include "value.h"

namespace som {

class ClassLoader;
class Process;

struct UniverseOptions {
  std::vector<std::string> class_path;
  size_t isolate_limit_bytes = 0;  ///< of each isolate; 0: none
  size_t stack_limit_bytes = size_t{8} << 20;
  bool collect_at_polls = false;  ///< for tests: a minor collection at each poll
  Atoll::HeapOptions heap = {};
  int workers = 0;
  HotCodeOptions hot_code = {};
};

/// The classes that the virtual machine itself refers to.
struct CoreClasses {
  Class* class_;
  Class* metaclass;
  Class* nil;
  Class* true_;
  Class* false_;
  Class* integer;
  Class* double_;
  Class* string;
  Class* array;
  Class* block_of[3];  ///< by number of parameters
  Class* system;
};

/// Selectors that the virtual machine sends.
struct CoreSymbols {
  Symbol* does_not_understand;
  Symbol* unknown_global;
  Symbol* escaped_block;
  Symbol* error;
  Symbol* initialize;
  Symbol* value;
  Symbol* value_with;
};

class Universe final : public Atoll::GroupClient {
 public:
  /// Makes the group and loads the core classes. Errors: no memory; a core class that is missing or
  /// wrong, with file, line and column.
  static Atoll::Result<std::unique_ptr<Universe>> Create(const UniverseOptions& options);
  ~Universe() override;

  /// Sends initialize: with the arguments to the system object, in an isolate of its own, and waits
  /// until all isolates have ended. Returns the exit code of the process.
  int Run(const std::vector<std::string>& arguments);
  /// Run returns this exit code as soon as all isolates have ended, which they are told to.
  void EndAll(int exit_code);
  /// The same from outside; waits until they have ended. Not from an isolate.
  void Interrupt(int exit_code);

  const UniverseOptions& options() const { return options_; }
  Atoll::IsolateGroup& group() const { return *group_; }
  Atoll::Program& program() const { return group_->program(); }
  ClassLoader& loader() const { return *loader_; }
  HotCode& hot_code() const { return *hot_code_; }
  const CoreClasses& classes() const { return classes_; }
  const CoreSymbols& selectors() const { return selectors_; }
  Ref nil() const { return nil_; }
  Ref true_object() const { return true_; }
  Ref false_object() const { return false_; }
  Ref Boolean(bool value) const { return value ? true_ : false_; }
  Ref system() const { return system_; }

  // [class_of]
  /// The type id that stands for a value's class: of small integers, their boxed kin's.
  ATOLL_ALWAYS_INLINE uint32_t TypeIdOfValue(Ref value) const {
    return ATOLL_LIKELY(!IsSmall(value)) ? TypeIdOf(value) : integer_type_id_;
  }
  ATOLL_ALWAYS_INLINE Class* ClassOfType(uint32_t type_id) const {
    // Acquire: the class, which another isolate may have loaded, is complete.
    return class_of_type_[type_id].load(std::memory_order_acquire);
  }
  Class* ClassOf(Ref value) const { return ClassOfType(TypeIdOfValue(value)); }
  // [/class_of]
  Kind KindOf(Ref value) const { return ClassOf(value)->kind; }
  void SetClassOfType(const Atoll::Type& type, Class* info) {
    class_of_type_[type.id()].store(info, std::memory_order_release);
  }
  const Atoll::Type& context_type() const { return *context_type_; }
  /// Of instances of the core classes whose layout the virtual machine knows; null for others.
  const Atoll::Type* CoreType(std::string_view class_name, Kind* kind) const;

  /// How instances of that kind lie in the heap; not of kInstance.
  static Atoll::TypeInfo CoreTypeInfo(Kind kind);

  /// A symbol that the program keeps from now on: of classes, code, global variables. Null when
  /// there is no memory. Managed state; a safepoint.
  Symbol* Intern(std::string_view text);
  /// The field of isolates that is the global variable of that name, which is made if there is
  /// none. Isolates that have not set it have what SetGlobal says, or else the zero word. No value:
  /// no memory. Managed state.
  std::optional<uint32_t> FieldOfGlobal(const Symbol* name);
  /// What the global is in all isolates that have not set it themselves: a Program object.
  bool SetGlobal(const Symbol* name, Ref value);

  // Objects that code refers to, in Program; the zero word when there is no memory.
  Ref StringLiteral(std::string_view text);
  Ref DoubleLiteral(double value);
  Ref IntegerLiteral(std::string_view digits);

  bool IsText(Ref value) const {
    const Kind kind = KindOf(value);
    return kind == Kind::kString || kind == Kind::kSymbol;
  }
  /// The text of a string or symbol.
  std::string_view TextOf(Ref value) const;

  /// An exit:to: has taken so long.
  void NoteExit(std::chrono::nanoseconds duration);
  Atoll::Histogram exits() const;

  /// A number for activations that no other activation of the group has; `end`: how far the numbers
  /// that may be used without asking again reach.
  uint64_t TakeActivations(uint64_t* end) {
    constexpr uint64_t kAtOnce = 1 << 16;
    // Relaxed: unique is all that they need to be.
    const uint64_t first = activations_.fetch_add(kAtOnce, std::memory_order_relaxed);
    *end = first + kAtOnce;
    return first;
  }

  // GroupClient.
  Atoll::Status CreateGroup(Atoll::IsolateGroup& group) override;
  Atoll::Status InitializeIsolate(Atoll::Isolate& isolate) override;
  void OnLeave(Atoll::Isolate& isolate) override;
  void CleanupIsolate(Atoll::IsolateId isolate, void* data) override;
  void VisitRoots(Atoll::Isolate& isolate, Atoll::RootVisitor& visitor) override;

 private:
  explicit Universe(const UniverseOptions& options);
  Atoll::Status RegisterTypes(Atoll::Heap& heap);
  Atoll::Status LoadCore();
  bool Keep(const Symbol* symbol);

  struct CoreTypeEntry {
    std::string_view name;
    Kind kind;
    const Atoll::Type* type;
  };

  const UniverseOptions options_;
  std::unique_ptr<ClassLoader> loader_;
  std::unique_ptr<HotCode> hot_code_;
  CoreClasses classes_ = {};
  CoreSymbols selectors_ = {};
  std::vector<CoreTypeEntry> core_types_;
  const Atoll::Type* context_type_ = nullptr;
  const Atoll::Type* kept_type_ = nullptr;
  uint32_t integer_type_id_ = 0;
  Ref nil_, true_, false_, system_;
  std::mutex names_mutex_;  // held for a look-up or an insertion alone; guards what follows
  std::unordered_set<const Symbol*> kept_;
  Array* keeper_ = nullptr;  // in Program: refers to the symbols kept last
  size_t kept_there_ = 0;
  std::unordered_map<const Symbol*, uint32_t> globals_;
  // By type id; pages that are never touched take no memory.
  std::atomic<Class*>* class_of_type_ = nullptr;
  std::atomic<uint64_t> activations_{1};
  // Set by the main isolate, or by Interrupt; then all others end too.
  std::atomic<int> exit_code_{0};
  std::atomic<bool> has_exit_{false};
  mutable std::mutex exits_mutex_;
  Atoll::Histogram exits_;
  std::mutex end_mutex_;
  std::condition_variable end_;
  bool main_has_ended_ = false;
  std::unique_ptr<Atoll::IsolateGroup> group_;  // last: it ends first
};

}  // namespace som

#endif  // SOM_UNIVERSE_H_
