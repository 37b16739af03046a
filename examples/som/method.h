// What the compiler makes of a method, and what running it needs at hand.
#ifndef SOM_METHOD_H_
#define SOM_METHOD_H_

#include <atoll/atoll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bytecode.h"
#include "lexer.h"
#include "value.h"

namespace som {

/// A send: what it sends, and whom it has met. Shared by all isolates that run the code.
struct SendSite {
  SendSite(const Symbol* selector, const Class* holder)
      : calls(reinterpret_cast<uintptr_t>(selector)), arity(selector->Arity()), super_of(holder) {}

  /// For a receiver's type id; in a send to super, for kSuper. Null: Process::Miss says.
  const Method* Find(uint32_t key) const { return static_cast<const Method*>(calls.Lookup(key)); }
  static constexpr uint32_t kSuper = 1;
  Symbol* selector() const { return reinterpret_cast<Symbol*>(calls.selector()); }

  Atoll::CallSite calls;
  const int arity;
  /// Of a send to super: the class below the one whose methods come first.
  const Class* const super_of;
};

/// The sends of a method: an array, since call sites do not move.
class SendSites {
 public:
  struct Wanted {
    const Symbol* selector;
    const Class* super_of;
  };
  SendSites() = default;
  explicit SendSites(std::span<const Wanted> wanted);
  ~SendSites();
  SendSites(const SendSites&) = delete;
  SendSites& operator=(const SendSites&) = delete;

  SendSite* data() const { return sites_; }
  std::span<SendSite> all() const { return {sites_, count_}; }

 private:
  SendSite* sites_ = nullptr;
  size_t count_ = 0;
};

/// A global variable that code uses: the field of an isolate that holds its value.
struct GlobalUse {
  Symbol* name;
  uint32_t field;
};

/// What a send has met, of which all is known that it does: see Optimize.
struct Inlined {
  struct Case {
    /// Of a receiver; kNone: of none, since a method of that selector has been defined. Written
    /// with all mutators stopped.
    uint32_t type_id = kNone;
    uint32_t field = 0;
    Ref value;  // of kInlinedConstant; of kInlinedNew the class
  };
  static constexpr uint32_t kNone = 0;
  static constexpr uint32_t kMaxCases = 4;

  /// Null: none of them.
  const Case* Find(uint32_t type_id) const {
    if (ATOLL_LIKELY(cases[0].type_id == type_id)) return cases;
    for (uint32_t i = 1; i < count; ++i) {
      if (cases[i].type_id == type_id) return &cases[i];
    }
    return nullptr;
  }

  uint32_t site = 0;   ///< of the code
  uint32_t count = 0;  ///< of cases
  Case cases[kMaxCases];
};

/// Code to run. Once it has been published, Invalidate alone changes it. Its instructions follow it
/// in memory.
struct Code {
  struct Delete {
    void operator()(const Code* code) const;
  };
  using Owner = std::unique_ptr<Code, Delete>;
  static Owner New(Method& method, std::span<const Instruction> instructions,
                   std::vector<Inlined> inlined = {});
  /// Makes all sends of the selector that are done in place sends again. Returns how many were not.
  size_t Invalidate(const Atoll::StoppedScope& stopped, const Symbol* selector);

  Method* method;
  // The method's.
  SendSite* sites;
  const Ref* literals;
  const GlobalUse* globals;
  Method* const* blocks;
  const Inlined* inlined;  ///< of inlined_sends
  uint32_t slots;
  uint16_t locals;
  uint16_t context_slot;
  uint32_t count;  ///< of instructions
  std::vector<Inlined> inlined_sends;

  const Instruction* begin() const { return reinterpret_cast<const Instruction*>(this + 1); }
  Instruction* begin() { return reinterpret_cast<Instruction*>(this + 1); }
  const Instruction* end() const { return begin() + count; }
};

/// A method, or the code of a block. Shared by all isolates. What it refers to in the heap lies in
/// Program, or is kept from there (Universe::Intern).
struct Method {
  Symbol* selector = nullptr;
  Class* holder = nullptr;
  Primitive primitive = nullptr;
  Op inlined = Op::kSend;  ///< of a primitive: see PrimitiveEntry
  Ref object;              ///< as SOM code sees it; of methods

  // A frame: self, arguments, [block,] [context,] locals, then what is computed.
  uint16_t arity = 0;
  uint16_t locals = 0;        ///< slots between the arguments (or the context) and the operands
  uint16_t context_slot = 0;  ///< 0: there is none
  uint16_t max_operands = 0;
  bool is_block = false;
  bool returns_non_locally = false;  ///< of blocks: it, or a block in it, has a ^

  /// What to run.
  const Code* code() const {
    // Acquire: the code is complete.
    return code_.load(std::memory_order_acquire);
  }
  /// What a frame in `code` of this method is doing, whose next instruction is that.
  Location PlaceOf(const Code& code, const Instruction* next) const {
    return places[next == code.begin() ? 0 : static_cast<size_t>(next - code.begin()) - 1];
  }

  std::vector<Location> places;  ///< in the source, of each instruction
  std::vector<Ref> literals;
  std::vector<GlobalUse> globals;
  std::vector<Method*> blocks;
  struct LiteralArray {
    std::vector<Ref> elements;
    std::vector<int32_t> nested;  ///< for each element: the array that it is, or -1
    uint32_t field;               ///< of the isolate, which has its own
  };
  std::vector<LiteralArray> arrays;
  std::unique_ptr<SendSites> sites;

  /// Once, when all the above is there.
  void SetCode(std::span<const Instruction> instructions);
  /// From the source.
  const Code& plain_code() const { return *compiled_; }
  /// By which isolates run the method from their next call on: one store. Null: the plain code.
  void Install(const Code* code) {
    // Release: see code().
    code_.store(code == nullptr ? compiled_.get() : code, std::memory_order_release);
  }
  /// How often it has been found running: see HotCode.
  // Relaxed: a guess, from all isolates.
  std::atomic<uint32_t> heat{0};

  uint32_t slots() const { return arity + 1u + locals + max_operands; }
  std::string Name() const;

 private:
  Code::Owner compiled_;  // from the source
  // Publishes code.
  std::atomic<const Code*> code_{nullptr};
};

}  // namespace som

#endif  // SOM_METHOD_H_
