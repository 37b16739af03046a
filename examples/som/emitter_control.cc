// Sends that are compiled in place: conditions and loops with literal blocks.
#include "emitter.h"

namespace som {

void Emitter::EmitInlined(Expression& expression, bool wants_value) {
  Block& block = *expression.block;
  // Each round of a loop begins with variables that are nil.
  for (size_t i = block.parameters.size(); i < block.variables.size(); ++i) {
    EmitNil();
    EmitStore(*block.variables[i]);
    Pop();
  }
  EmitBody(block, wants_value);
}

// A condition that is no boolean does not understand the selector. What follows the jump is never
// run by itself: it says what was sent, and where to go on.
Emitter::Branch Emitter::EmitBranch(Op op, const std::string& selector, bool wants_value) {
  const size_t site = AddSite(selector, false);
  Branch branch{};
  branch.jump = Add(op, -1, 0, wants_value ? 2 : 3);
  Add(Op::kSend, 0, site);
  if (!wants_value) Add(Op::kPop, 0);
  branch.to_end = Add(Op::kJump, 0);
  return branch;
}

void Emitter::EmitIf(Expression& send, bool wants_value) {
  Emit(*send.parts[0], true);
  at_ = send.at;
  const bool on_true = send.text.compare(0, 7, "ifTrue:") == 0;
  const auto [skip, to_end] =
      EmitBranch(on_true ? Op::kJumpIfNotTrue : Op::kJumpIfNotFalse, send.text, wants_value);
  EmitInlined(*send.parts[1], wants_value);
  if (send.inlining == Inlining::kIf && !wants_value) {
    Land(skip);
    Land(to_end);
    return;
  }
  const size_t end = Add(Op::kJump, 0);
  operands_ -= wants_value ? 1 : 0;
  Land(skip);
  if (send.inlining == Inlining::kIfElse) {
    EmitInlined(*send.parts[2], wants_value);
  } else {
    EmitNil();
  }
  Land(end);
  Land(to_end);
}

void Emitter::EmitAndOr(Expression& send) {
  Emit(*send.parts[0], true);
  at_ = send.at;
  const auto [skip, to_end] =
      EmitBranch(send.text == "and:" ? Op::kJumpIfFalseKeep : Op::kJumpIfTrueKeep, send.text, true);
  EmitInlined(*send.parts[1], true);
  Land(skip);
  Land(to_end);
}

void Emitter::EmitWhile(Expression& send, bool wants_value) {
  const size_t start = code_.size();
  EmitInlined(*send.parts[0], true);
  at_ = send.at;
  const bool while_true = send.text == "whileTrue:";
  const auto [exit, to_end] = EmitBranch(while_true ? Op::kJumpIfNotTrue : Op::kJumpIfNotFalse,
                                         while_true ? "ifTrue:" : "ifFalse:", false);
  EmitInlined(*send.parts[1], false);
  Add(Op::kJumpBack, 0, start);
  Land(exit);
  Land(to_end);
  if (wants_value) EmitNil();
}

// from to: limit do: [:i | ...]. The counter and the limit are operands below those of the body.
void Emitter::EmitToDo(Expression& send, bool wants_value) {
  Emit(*send.parts[0], true);
  if (wants_value) Add(Op::kDup, +1);
  Emit(*send.parts[1], true);
  at_ = send.at;
  const size_t start = Add(Op::kDup2, +2);
  Add(Op::kLessEqual, -1, AddSite("<=", false));
  const auto [exit, to_end] = EmitBranch(Op::kJumpIfNotTrue, "ifTrue:", false);
  Add(Op::kPushSecond, +1);
  EmitStore(*send.parts[2]->block->variables[0]);
  Pop();
  EmitInlined(*send.parts[2], false);
  at_ = send.at;
  Add(Op::kCount, 0);
  Add(Op::kJumpBack, 0, start);
  Land(exit);
  Land(to_end);
  Pop();
  Pop();
}

}  // namespace som
