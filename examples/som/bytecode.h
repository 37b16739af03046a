// The instructions that the compiler makes and the interpreter runs.
#ifndef SOM_BYTECODE_H_
#define SOM_BYTECODE_H_

#include <cstdint>
#include <string_view>

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

  // What follows only the optimizer makes.
  //
  // Superinstructions: the first of these instructions, and where they can all the others.
  kPushSlotSlot,   // kPushSlot, kPushSlot
  kPushFieldSlot,  // kPushField, kPushSlot
  kSlotToField,    // kPushSlot, kPopField
  kAddSmall,       // kPushSmall, kAdd
  kSubtractSmall,  // kPushSmall, kSubtract
  kLessJump,       // a comparison, kJumpIfNotTrue or kJumpIfNotFalse
  kLessEqualJump,
  kGreaterJump,
  kGreaterEqualJump,
  kEqualJump,
  kNotEqualJump,
  kLoopTest,       // kDup2, kLessEqual, kJumpIfNotTrue [...] kPushSecond, kPopSlot
  kCountJumpBack,  // kCount, kJumpBack
  kReturnSlot,     // kPushSlot, kReturn
  kReturnField,    // kPushField, kReturn
  // Sends whose work is done in place, for receivers of the classes met: b is the Inlined.
  kInlinedConstant,
  kInlinedSelf,
  kInlinedField,
  kInlinedSetField,
  kInlinedArrayAt,
  kInlinedArrayAtPut,
  kInlinedArrayLength,
  kInlinedStringLength,
  kInlinedNew,
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

struct PrimitiveEntry {
  std::string_view class_name;  ///< «Integer», «Integer class»
  std::string_view selector;
  Primitive primitive;
  Op inlined = Op::kSend;  ///< what does its work in optimized code; kSend: nothing
};

}  // namespace som

#endif  // SOM_BYTECODE_H_
