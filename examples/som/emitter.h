// Makes instructions of the syntax tree of one method or block.
#ifndef SOM_EMITTER_H_
#define SOM_EMITTER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "analyzer.h"
#include "ast.h"
#include "class.h"

namespace som {

class Universe;

/// Emits the code of one method or block; blocks inside it have an emitter of their own.
class Emitter {
 public:
  Emitter(Universe& universe, Class& holder, const Analyzer& analyzer,
          std::vector<std::unique_ptr<Method>>* made, SourceError* error)
      : universe_(universe), holder_(holder), analyzer_(analyzer), made_(made), error_(error) {}

  Method* EmitFrame(Block& block, Symbol* selector);

 private:
  void LayOut(const Block& block);
  void EmitBody(Block& block, bool wants_value);
  void Emit(Expression& expression, bool wants_value);
  void EmitVariable(Expression& expression);
  void EmitAssign(Expression& expression, bool wants_value);
  void EmitSend(Expression& send, bool wants_value);
  void EmitIf(Expression& send, bool wants_value);
  void EmitAndOr(Expression& send);
  void EmitWhile(Expression& send, bool wants_value);
  void EmitToDo(Expression& send, bool wants_value);
  void EmitInlined(Expression& block, bool wants_value);
  struct Branch {
    size_t jump;    // taken if the condition is not as the code behind wants it
    size_t to_end;  // taken with the value of doesNotUnderstand:
  };
  Branch EmitBranch(Op op, const std::string& selector, bool wants_value);
  void EmitInteger(const Expression& expression);
  void EmitNil() { Add(Op::kPushNil, +1); }
  void EmitLiteral(Ref literal);
  void EmitStore(const Variable& variable);
  int EmitArray(const Expression& array);
  Ref LiteralOf(const Expression& expression);
  int LevelOf(const FrameScope* frame) const;

  /// Adds an instruction that changes the number of operands by `effect`; returns its index.
  size_t Add(Op op, int effect, size_t b = 0, int a = 0);
  /// Lets the jump at `index` go to what comes next.
  void Land(size_t index) {
    landed_ = code_.size();
    code_[index].b = Index(landed_, "instructions");
  }
  uint16_t Index(size_t index, const char* of_what);
  void Pop();
  size_t AddSite(const std::string& selector, bool to_super);
  Symbol* Intern(const std::string& text);
  void Fail(Location at, std::string message) {
    if (!*error_) *error_ = {holder_.file, at, std::move(message)};
  }

  Universe& universe_;
  Class& holder_;
  const Analyzer& analyzer_;
  std::vector<std::unique_ptr<Method>>* const made_;
  SourceError* const error_;
  Method* method_ = nullptr;
  std::vector<Instruction> code_;
  FrameScope* frame_ = nullptr;
  std::vector<SendSites::Wanted> sites_;
  Location at_;
  int operands_ = 0;
  size_t landed_ = 0;  // the last instruction that a jump goes to
};

}  // namespace som

#endif  // SOM_EMITTER_H_
