#include "emitter.h"

#include <algorithm>
#include <cstdlib>

#include "universe.h"

namespace som {
namespace {

constexpr size_t kMaxIndex = UINT16_MAX;

}  // namespace

uint16_t Emitter::Index(size_t index, const char* of_what) {
  if (index > kMaxIndex) {
    Fail(at_, std::string("the method is too long: it has more than 65535 ") + of_what);
    return 0;
  }
  return static_cast<uint16_t>(index);
}

size_t Emitter::Add(Op op, int effect, size_t b, int a) {
  operands_ += effect;
  method_->max_operands =
      std::max<uint16_t>(method_->max_operands, Index(static_cast<size_t>(operands_), "operands"));
  if (a > UINT8_MAX) Fail(at_, "blocks are nested more than 255 deep");
  code_.push_back({op, static_cast<uint8_t>(a), Index(b, "of one thing")});
  method_->places.push_back(at_);
  return code_.size() - 1;
}

// With a store right before it becomes one instruction, unless a jump lands between them.
void Emitter::Pop() {
  const bool lands = code_.size() == landed_;
  const Op last = lands ? Op::kPop : code_.back().op;
  if (last == Op::kStoreSlot || last == Op::kStoreField) {
    code_.back().op = last == Op::kStoreSlot ? Op::kPopSlot : Op::kPopField;
    --operands_;
  } else {
    Add(Op::kPop, -1);
  }
}

// Null, and it has failed, when there is no memory.
Symbol* Emitter::Intern(const std::string& text) {
  Symbol* symbol = universe_.Intern(text);
  if (symbol == nullptr) Fail(at_, "no memory for the symbol #" + text);
  return symbol;
}

size_t Emitter::AddSite(const std::string& selector, bool to_super) {
  if (const Symbol* symbol = Intern(selector)) {
    sites_.push_back({symbol, to_super ? &holder_ : nullptr});
  }
  return sites_.size() - 1;
}

int Emitter::LevelOf(const FrameScope* frame) const {
  int level = 0;
  for (const FrameScope* at = frame_; at != frame; at = at->outer)
    level += at->has_context() ? 1 : 0;
  return level;
}

void Emitter::LayOut(const Block& block) {
  const bool is_block = frame_->outer != nullptr;
  uint16_t slot = 1;
  for (size_t i = 0; i < block.parameters.size(); ++i) block.variables[i]->slot = slot++;
  method_->arity = static_cast<uint16_t>(slot - 1);
  if (is_block) ++slot;  // the block itself
  if (is_block || frame_->has_context()) method_->context_slot = slot++;
  for (Variable* variable : frame_->stack_locals) {
    if (!variable->is_captured) variable->slot = slot++;
  }
  uint16_t in_context = 1;
  for (Variable* variable : frame_->captured) variable->in_context = in_context++;
  method_->locals = static_cast<uint16_t>(slot - 1 - method_->arity);
  method_->is_block = is_block;
  method_->returns_non_locally = frame_->has_return;
}

Method* Emitter::EmitFrame(Block& block, Symbol* selector) {
  made_->push_back(std::make_unique<Method>());
  method_ = made_->back().get();
  method_->selector = selector;
  method_->holder = &holder_;
  frame_ = analyzer_.FrameOf(block);
  at_ = block.at;
  LayOut(block);
  if (frame_->has_context()) {
    Add(Op::kMakeContext, 0, frame_->captured.size() + 1);
    for (const Variable* variable : frame_->captured) {
      if (!variable->is_parameter) continue;
      Add(Op::kPushSlot, +1, variable->slot);
      EmitStore(*variable);
      Pop();
    }
  }
  EmitBody(block, frame_->outer != nullptr);
  at_ = block.statements.empty() ? block.at : block.statements.back()->at;
  Add(frame_->outer != nullptr ? Op::kReturn : Op::kReturnSelf, 0);
  method_->sites = std::make_unique<SendSites>(sites_);
  method_->SetCode(code_);
  return method_;
}

void Emitter::EmitBody(Block& block, bool wants_value) {
  if (block.statements.empty()) {
    if (wants_value) EmitNil();
    return;
  }
  for (size_t i = 0; i < block.statements.size(); ++i) {
    Emit(*block.statements[i], wants_value && i + 1 == block.statements.size());
  }
}

void Emitter::Emit(Expression& expression, bool wants_value) {
  at_ = expression.at;
  switch (expression.kind) {
    case ExpressionKind::kAssign:
      return EmitAssign(expression, wants_value);
    case ExpressionKind::kSend:
      return EmitSend(expression, wants_value);
    case ExpressionKind::kReturn: {
      Emit(*expression.parts[0], true);
      at_ = expression.at;
      Add(frame_->outer != nullptr ? Op::kReturnNonLocal : Op::kReturn, -1);
      if (wants_value) EmitNil();  // never reached: keeps the count of operands
      return;
    }
    case ExpressionKind::kVariable:
      EmitVariable(expression);
      break;
    case ExpressionKind::kInteger:
      EmitInteger(expression);
      break;
    case ExpressionKind::kDouble:
    case ExpressionKind::kString:
    case ExpressionKind::kSymbol:
      EmitLiteral(LiteralOf(expression));
      break;
    case ExpressionKind::kArray:
      Add(Op::kPushArray, +1, static_cast<size_t>(EmitArray(expression)));
      break;
    case ExpressionKind::kBlock: {
      Emitter inner(universe_, holder_, analyzer_, made_, error_);
      method_->blocks.push_back(inner.EmitFrame(*expression.block, method_->selector));
      Add(Op::kPushBlock, +1, method_->blocks.size() - 1);
      break;
    }
  }
  if (!wants_value) Pop();
}

void Emitter::EmitVariable(Expression& expression) {
  const std::string& name = expression.text;
  if (const Variable* variable = expression.variable) {
    if (variable->is_captured) {
      Add(Op::kPushOuter, +1, variable->in_context, LevelOf(variable->frame));
    } else {
      Add(Op::kPushSlot, +1, variable->slot);
    }
    return;
  }
  if (name == "self" || name == "super") return void(Add(Op::kPushSlot, +1, 0));
  if (name == "nil") return EmitNil();
  if (name == "true") return void(Add(Op::kPushTrue, +1));
  if (name == "false") return void(Add(Op::kPushFalse, +1));
  Symbol* symbol = Intern(name);
  const auto& fields = holder_.fields;
  // The last one: a field hides one of a superclass that has its name.
  const auto field = std::find(fields.rbegin(), fields.rend(), symbol);
  if (field != fields.rend()) {
    const auto index = static_cast<size_t>(fields.rend() - field) - 1;
    Add(holder_.kind == Kind::kClass ? Op::kPushStatic : Op::kPushField, +1, index);
    return;
  }
  const auto global = symbol == nullptr ? std::nullopt : universe_.FieldOfGlobal(symbol);
  if (!global) return Fail(expression.at, "no memory for the global variable " + name);
  method_->globals.push_back({symbol, *global});
  Add(Op::kPushGlobal, +1, method_->globals.size() - 1);
}

void Emitter::EmitStore(const Variable& variable) {
  if (variable.is_captured) {
    Add(Op::kStoreOuter, 0, variable.in_context, LevelOf(variable.frame));
  } else {
    Add(Op::kStoreSlot, 0, variable.slot);
  }
}

void Emitter::EmitAssign(Expression& expression, bool wants_value) {
  Emit(*expression.parts[0], true);
  at_ = expression.at;
  if (expression.variable != nullptr) {
    EmitStore(*expression.variable);
  } else if (expression.text != "self" && expression.text != "super") {
    // The language lets code assign to self, to no effect.
    const auto& fields = holder_.fields;
    const auto field = std::find(fields.rbegin(), fields.rend(), Intern(expression.text));
    if (field == fields.rend()) {
      Fail(expression.at,
           "'" + expression.text +
               "' cannot be assigned to: it is no local variable, parameter or field");
    } else {
      const auto index = static_cast<size_t>(fields.rend() - field) - 1;
      Add(holder_.kind == Kind::kClass ? Op::kStoreStatic : Op::kStoreField, 0, index);
    }
  }
  if (!wants_value) Pop();
}

namespace {

Op SpecialOp(const std::string& selector) {
  static const std::pair<const char*, Op> kOps[] = {
      {"+", Op::kAdd},       {"-", Op::kSubtract},      {"*", Op::kMultiply},
      {"<", Op::kLess},      {"<=", Op::kLessEqual},    {">", Op::kGreater},
      {"=", Op::kEqual},     {">=", Op::kGreaterEqual}, {"<>", Op::kNotEqual},
      {"~=", Op::kNotEqual}, {"==", Op::kIdentical}};
  for (const auto& [text, op] : kOps) {
    if (selector == text) return op;
  }
  return Op::kSend;
}

}  // namespace

void Emitter::EmitSend(Expression& send, bool wants_value) {
  switch (*send.inlining) {
    case Inlining::kIf:
    case Inlining::kIfElse:
      return EmitIf(send, wants_value);
    case Inlining::kAndOr:
      EmitAndOr(send);
      if (!wants_value) Pop();
      return;
    case Inlining::kWhile:
      return EmitWhile(send, wants_value);
    case Inlining::kToDo:
      return EmitToDo(send, wants_value);
    case Inlining::kNone:
      break;
  }
  if (send.to_super) {
    Add(Op::kPushSlot, +1, 0);
  } else {
    Emit(*send.parts[0], true);
  }
  for (size_t i = 1; i < send.parts.size(); ++i) Emit(*send.parts[i], true);
  at_ = send.at;
  const int effect = -static_cast<int>(send.parts.size() - 1);
  const Op op = send.to_super ? Op::kSendSuper : SpecialOp(send.text);
  Add(op, effect, AddSite(send.text, send.to_super));
  if (!wants_value) Pop();
}

void Emitter::EmitInteger(const Expression& expression) {
  if (expression.text.size() < 6) {
    const long number = std::strtol(expression.text.c_str(), nullptr, 10);
    if (number >= INT16_MIN && number <= INT16_MAX) {
      Add(Op::kPushSmall, +1, static_cast<uint16_t>(number));
      return;
    }
  }
  EmitLiteral(LiteralOf(expression));
}

void Emitter::EmitLiteral(Ref literal) {
  auto& literals = method_->literals;
  const auto found = std::find(literals.begin(), literals.end(), literal);
  const auto index = static_cast<size_t>(found - literals.begin());
  if (found == literals.end()) literals.push_back(literal);
  Add(Op::kPushLiteral, +1, index);
}

Ref Emitter::LiteralOf(const Expression& expression) {
  Ref literal;
  switch (expression.kind) {
    case ExpressionKind::kInteger:
      literal = universe_.IntegerLiteral(expression.text);
      break;
    case ExpressionKind::kDouble:
      literal = universe_.DoubleLiteral(std::strtod(expression.text.c_str(), nullptr));
      break;
    case ExpressionKind::kString:
      literal = universe_.StringLiteral(expression.text);
      break;
    default: {
      const Symbol* symbol = universe_.Intern(expression.text);
      literal = symbol == nullptr ? Ref{} : symbol->ref();
      break;
    }
  }
  if (literal.word == 0) Fail(expression.at, "no memory for this literal");
  return literal;
}

int Emitter::EmitArray(const Expression& array) {
  const auto index = method_->arrays.size();
  method_->arrays.emplace_back();
  Method::LiteralArray made;
  const auto field = universe_.program().AddField(Ref{});
  if (!field.ok()) Fail(array.at, "no memory for this literal");
  made.field = field.ok() ? static_cast<uint32_t>(field.value()) : 0;
  for (const ExpressionPtr& part : array.parts) {
    const bool is_array = part->kind == ExpressionKind::kArray;
    made.nested.push_back(is_array ? EmitArray(*part) : -1);
    made.elements.push_back(is_array ? Ref{} : LiteralOf(*part));
  }
  method_->arrays[index] = std::move(made);
  return static_cast<int>(index);
}

}  // namespace som
