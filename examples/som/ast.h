// What the parser makes of a class file, and what the compiler finds out about it.
#ifndef SOM_AST_H_
#define SOM_AST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lexer.h"

namespace som {

struct Block;
struct Variable;

enum class ExpressionKind : uint8_t {
  kInteger,   // text: digits, a minus perhaps
  kDouble,    // text
  kString,    // text
  kSymbol,    // text
  kArray,     // parts: literals
  kVariable,  // text
  kAssign,    // text := parts[0]
  kSend,      // parts[0] text parts[1] ...
  kBlock,     // block
  kReturn,    // ^ parts[0]
};

/// How a send is compiled that is no send: its blocks become code of the method they stand in.
enum class Inlining : uint8_t { kNone, kIf, kIfElse, kAndOr, kWhile, kToDo };

struct Expression {
  ExpressionKind kind;
  Location at;
  std::string text;
  std::vector<std::unique_ptr<Expression>> parts;
  std::unique_ptr<Block> block;
  bool to_super = false;
  int height = 1;  ///< of the tree that this is the root of

  // Found out by the compiler.
  std::optional<Inlining> inlining;  // of sends; asked for often, found out once
  Variable* variable = nullptr;
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Name {
  std::string text;
  Location at;
};

/// The code of a method or of a block.
struct Block {
  Location at;
  std::vector<Name> parameters;
  std::vector<Name> locals;
  std::vector<ExpressionPtr> statements;

  // Found out by the compiler.
  std::vector<Variable*> variables;  // the parameters', then the locals'
};

struct MethodNode {
  Location at;
  std::string selector;
  bool is_primitive = false;
  Block body;
};

struct ClassNode {
  std::string file;
  Location at;
  std::string name;
  std::string superclass;  // "nil": none
  Location superclass_at;
  struct Side {
    std::vector<Name> fields;
    std::vector<MethodNode> methods;
  };
  Side instance_side;
  Side class_side;
};

}  // namespace som

#endif  // SOM_AST_H_
