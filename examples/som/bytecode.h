// What the compiler makes and the interpreter runs.
#ifndef SOM_BYTECODE_H_
#define SOM_BYTECODE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "call_site.h"
#include "globals.h"
#include "lexer.h"
#include "value.h"

namespace som {

class Process;

enum class Op : uint8_t {
  // Push one value.
  kPushSlot,     // b: of the frame
  kPushOuter,    // a: contexts outwards, b: in the context
  kPushField,    // b: of self
  kPushStatic,   // b: class-side field of self
  kPushLiteral,  // b
  kPushArray,    // b: a literal array, of which each isolate has its own
  kPushSmall,    // b: signed
  kPushNil,
  kPushTrue,
  kPushFalse,
  kPushGlobal,  // b
  kPushBlock,   // b
  kDup,
  kDup2,        // the two topmost
  kPushSecond,  // what lies below the topmost
  // Store the top of the stack and keep it.
  kStoreSlot,
  kStoreOuter,
  kStoreField,
  kStoreStatic,
  kPop,
  // A store and a kPop in one.
  kPopSlot,
  kPopField,
  kCount,        // adds 1 to the small integer below the topmost
  kMakeContext,  // b: slots in it
  // Sends: b is the call site.
  kSend,
  kSendSuper,
  kAdd,
  kSubtract,
  kMultiply,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kEqual,
  kNotEqual,
  kIdentical,
  // Jumps: b is the target.
  kJump,
  kJumpBack,
  kJumpIfNotTrue,    // take the condition. One that is no boolean does not understand the send that
  kJumpIfNotFalse,   // follows, and its answer goes on behind that; others skip a instructions
  kJumpIfFalseKeep,  // the same, but a condition that jumps stays
  kJumpIfTrueKeep,
  // Returns.
  kReturn,
  kReturnSelf,
  kReturnNonLocal,
};

struct Instruction {
  Op op;
  uint8_t a = 0;
  uint16_t b = 0;
};
static_assert(sizeof(Instruction) == 4);

/// What became of a primitive.
enum class Outcome : uint8_t {
  kValue,    ///< its result stands where the receiver stood
  kFailed,   ///< Process::Fail has said why; the receiver gets error:
  kFrame,    ///< it has pushed a frame, or changed the stack: go on with the topmost one
  kStopped,  ///< the turn ends; what comes later goes on, or the isolate ends
};
/// `values` are receiver and arguments, on the stack.
using Primitive = Outcome (*)(Process& process, Ref* values);

/// A method, or the code of a block. Shared by all isolates, complete before it is published. What
/// it refers to in the heap lies in Program. 16: see CallSite.
struct alignas(16) Method {
  Symbol* selector = nullptr;
  Class* holder = nullptr;
  Primitive primitive = nullptr;
  Ref object;  ///< as SOM code sees it; of methods

  // A frame: self, arguments, [block,] [context,] locals, then what is computed.
  uint16_t arity = 0;
  uint16_t locals = 0;        ///< slots between the arguments (or the context) and the operands
  uint16_t context_slot = 0;  ///< 0: there is none
  uint16_t max_operands = 0;
  bool is_block = false;
  bool returns_non_locally = false;  ///< of blocks: it, or a block in it, has a ^

  std::vector<Instruction> code;
  std::vector<Location> places;  ///< in the source, of each instruction
  std::vector<Ref> literals;
  std::vector<GlobalName*> globals;
  std::vector<Method*> blocks;
  struct LiteralArray {
    std::vector<Ref> elements;
    std::vector<int32_t> nested;  ///< for each element: the array that it is, or -1
    uint32_t place;               ///< in the isolate's statics
  };
  std::vector<LiteralArray> arrays;
  std::unique_ptr<CallSite[]> sites;

  uint32_t slots() const { return arity + 1u + locals + max_operands; }
  std::string Name() const;
};

}  // namespace som

#endif  // SOM_BYTECODE_H_
