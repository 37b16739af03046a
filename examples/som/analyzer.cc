#include "analyzer.h"

#include <algorithm>
#include <utility>

namespace som {
namespace {

bool IsBlock(const Expression& expression, size_t parameters) {
  return expression.kind == ExpressionKind::kBlock &&
         expression.block->parameters.size() == parameters;
}

// `restart` means the frame that sends it, so a block that does needs one.
bool Restarts(const Block& block);
bool Restarts(const Expression& expression) {
  if (expression.kind == ExpressionKind::kSend && expression.text == "restart") return true;
  if (expression.kind == ExpressionKind::kBlock) return Restarts(*expression.block);
  return std::any_of(expression.parts.begin(), expression.parts.end(),
                     [](const ExpressionPtr& part) { return Restarts(*part); });
}
bool Restarts(const Block& block) {
  return std::any_of(block.statements.begin(), block.statements.end(),
                     [](const ExpressionPtr& statement) { return Restarts(*statement); });
}

Inlining InliningOf(Expression& send);

// Whether a block that would be created inside mentions the name.
bool IsCaptured(const std::string& name, Expression& in, bool inside);
bool IsCaptured(const std::string& name, Block& in, bool inside) {
  return std::any_of(in.statements.begin(), in.statements.end(),
                     [&](ExpressionPtr& s) { return IsCaptured(name, *s, inside); });
}
bool IsCaptured(const std::string& name, Expression& in, bool inside) {
  const bool is_name = in.kind == ExpressionKind::kVariable || in.kind == ExpressionKind::kAssign;
  if (is_name && inside && in.text == name) return true;
  if (in.kind == ExpressionKind::kBlock) return IsCaptured(name, *in.block, true);
  const bool is_inlined =
      in.kind == ExpressionKind::kSend && !inside && InliningOf(in) != Inlining::kNone;
  return std::any_of(in.parts.begin(), in.parts.end(), [&](ExpressionPtr& part) {
    if (is_inlined && part->kind == ExpressionKind::kBlock) {
      return IsCaptured(name, *part->block, false);
    }
    return IsCaptured(name, *part, inside);
  });
}

// Whether a block that would be created inside keeps a variable of this one, or of one that is
// compiled in place inside.
bool KeepsVariables(Expression& in);
bool KeepsVariables(Block& block) {
  const auto is_captured = [&](const Name& name) { return IsCaptured(name.text, block, false); };
  return std::any_of(block.parameters.begin(), block.parameters.end(), is_captured) ||
         std::any_of(block.locals.begin(), block.locals.end(), is_captured) ||
         std::any_of(block.statements.begin(), block.statements.end(),
                     [](ExpressionPtr& statement) { return KeepsVariables(*statement); });
}
bool KeepsVariables(Expression& in) {
  if (in.kind == ExpressionKind::kBlock) return false;  // its own frame's
  const bool is_inlined = in.kind == ExpressionKind::kSend && InliningOf(in) != Inlining::kNone;
  return std::any_of(in.parts.begin(), in.parts.end(), [&](ExpressionPtr& part) {
    return is_inlined && part->kind == ExpressionKind::kBlock ? KeepsVariables(*part->block)
                                                              : KeepsVariables(*part);
  });
}

// In a loop each round has variables of its own. If a block keeps one, the round needs a frame.
bool IsLoopBody(Block& block) { return !KeepsVariables(block); }

// These are taken for what Boolean, Integer and Block say they are.
Inlining FindInlining(Expression& send) {
  if (send.to_super) return Inlining::kNone;
  const auto& parts = send.parts;
  const auto suits = [&](size_t part, size_t parameters) {
    return IsBlock(*parts[part], parameters) && !Restarts(*parts[part]->block);
  };
  const std::string& selector = send.text;
  if (selector == "ifTrue:" || selector == "ifFalse:") {
    return suits(1, 0) ? Inlining::kIf : Inlining::kNone;
  }
  if (selector == "ifTrue:ifFalse:" || selector == "ifFalse:ifTrue:") {
    return suits(1, 0) && suits(2, 0) ? Inlining::kIfElse : Inlining::kNone;
  }
  if (selector == "and:" || selector == "or:") {
    return suits(1, 0) ? Inlining::kAndOr : Inlining::kNone;
  }
  if (selector == "whileTrue:" || selector == "whileFalse:") {
    return suits(0, 0) && suits(1, 0) && IsLoopBody(*parts[0]->block) &&
                   IsLoopBody(*parts[1]->block)
               ? Inlining::kWhile
               : Inlining::kNone;
  }
  if (selector == "to:do:") {
    constexpr size_t kSurelySmall = 10;  // digits
    return parts[0]->kind == ExpressionKind::kInteger && parts[0]->text.size() < kSurelySmall &&
                   suits(2, 1) && IsLoopBody(*parts[2]->block)
               ? Inlining::kToDo
               : Inlining::kNone;
  }
  return Inlining::kNone;
}

Inlining InliningOf(Expression& send) {
  if (!send.inlining) send.inlining = FindInlining(send);
  return *send.inlining;
}

}  // namespace

void Analyzer::Fail(Location at, std::string message) {
  if (!*error_) *error_ = {file_, at, std::move(message)};
}

bool Analyzer::Analyze(MethodNode& method) {
  const size_t parameters = method.body.parameters.size();
  if (parameters > 200) Fail(method.at, "a method has at most 200 parameters");
  VisitFrame(method.body, nullptr, nullptr);
  return !*error_;
}

void Analyzer::VisitFrame(Block& block, FrameScope* outer, Names* names) {
  FrameScope* frame = scopes_.emplace_back(std::make_unique<FrameScope>()).get();
  frame->outer = outer;
  frames_[&block] = frame;
  VisitBody(block, frame, names);
  if (outer != nullptr && outer->outer != nullptr && frame->has_return) outer->has_return = true;
}

void Analyzer::VisitBody(Block& block, FrameScope* frame, Names* outer) {
  Names names{outer, frame, {}};
  Declare(block, &names);
  for (const ExpressionPtr& statement : block.statements) Visit(*statement, &names);
}

void Analyzer::Declare(Block& block, Names* names) {
  const auto declare = [&](const Name& name, bool is_parameter) {
    Variable* variable = variables_.emplace_back(std::make_unique<Variable>()).get();
    variable->frame = names->frame;
    variable->is_parameter = is_parameter;
    for (const char* reserved : {"self", "super", "nil", "true", "false"}) {
      if (name.text == reserved) Fail(name.at, "'" + name.text + "' cannot name a variable");
    }
    if (!names->variables.emplace(name.text, variable).second) {
      Fail(name.at, "the variable '" + name.text + "' is declared twice");
    }
    if (!is_parameter) names->frame->stack_locals.push_back(variable);
    block.variables.push_back(variable);
  };
  const bool is_inlined = frames_.find(&block) == frames_.end();
  for (const Name& name : block.parameters) declare(name, !is_inlined);
  for (const Name& name : block.locals) declare(name, false);
}

void Analyzer::Visit(Expression& expression, Names* names) {
  if (expression.kind == ExpressionKind::kSend) return VisitSend(expression, names);
  if (expression.kind == ExpressionKind::kBlock) {
    return VisitFrame(*expression.block, names->frame, names);
  }
  if (expression.kind == ExpressionKind::kReturn && names->frame->outer != nullptr) {
    names->frame->has_return = true;
  }
  if (expression.kind == ExpressionKind::kVariable || expression.kind == ExpressionKind::kAssign) {
    for (Names* at = names; at != nullptr; at = at->outer) {
      const auto found = at->variables.find(expression.text);
      if (found == at->variables.end()) continue;
      Variable* variable = found->second;
      expression.variable = variable;
      if (variable->frame != names->frame && !variable->is_captured) {
        variable->is_captured = true;
        variable->frame->captured.push_back(variable);
      }
      break;
    }
  }
  for (const ExpressionPtr& part : expression.parts) Visit(*part, names);
}

void Analyzer::VisitSend(Expression& send, Names* names) {
  const bool is_inlined = InliningOf(send) != Inlining::kNone;
  for (size_t i = 0; i < send.parts.size(); ++i) {
    Expression& part = *send.parts[i];
    if (i == 0 && send.to_super) continue;
    if (is_inlined && part.kind == ExpressionKind::kBlock) {
      VisitBody(*part.block, names->frame, names);
    } else {
      Visit(part, names);
    }
  }
}

}  // namespace som
