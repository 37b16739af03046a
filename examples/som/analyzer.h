// The first pass over a method: which variable each name means, which variables outlive their
// frame, and which sends become code in place.
#ifndef SOM_ANALYZER_H_
#define SOM_ANALYZER_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ast.h"

namespace som {

struct FrameScope;

/// A parameter or local variable.
struct Variable {
  FrameScope* frame;
  bool is_parameter = false;
  bool is_captured = false;  ///< a block uses it: it lies in the frame's context
  uint16_t slot = 0;         ///< in the frame; also of captured parameters, where they arrive
  uint16_t in_context = 0;
};

/// A method or a block that has a frame of its own.
struct FrameScope {
  FrameScope* outer = nullptr;
  std::vector<Variable*> captured;
  std::vector<Variable*> stack_locals;  ///< all that are no parameters
  bool has_return = false;              ///< of blocks: it, or a block in it, has a ^
  bool has_context() const { return !captured.empty(); }
};

class Analyzer {
 public:
  Analyzer(std::string file, SourceError* error) : file_(std::move(file)), error_(error) {}

  /// False, and the error is noted, if the method cannot be compiled.
  bool Analyze(MethodNode& method);
  FrameScope* FrameOf(const Block& block) const { return frames_.at(&block); }

 private:
  /// The names that are known at one place: those of a block, inlined or not.
  struct Names {
    Names* outer;
    FrameScope* frame;
    std::unordered_map<std::string, Variable*> variables;
  };

  void VisitFrame(Block& block, FrameScope* outer, Names* names);
  void VisitBody(Block& block, FrameScope* frame, Names* names);
  void Declare(Block& block, Names* names);
  void Visit(Expression& expression, Names* names);
  void VisitSend(Expression& send, Names* names);
  void Fail(Location at, std::string message);

  const std::string file_;
  SourceError* const error_;
  std::vector<std::unique_ptr<Variable>> variables_;
  std::vector<std::unique_ptr<FrameScope>> scopes_;
  std::unordered_map<const Block*, FrameScope*> frames_;
};

}  // namespace som

#endif  // SOM_ANALYZER_H_
