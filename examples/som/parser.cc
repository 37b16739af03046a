#include "parser.h"

#include <algorithm>
#include <utility>

namespace som {
namespace {

// Recursive descent, one token ahead. After an error all tokens are kEnd, so every loop ends; what
// has been built until then is thrown away.
class Parser {
 public:
  Parser(const std::string& file, std::string_view source) : lexer_(file, source) { Advance(); }

  std::unique_ptr<ClassNode> ParseClassFile();
  std::unique_ptr<MethodNode> ParseMethodAlone();
  const SourceError& error() const { return lexer_.error(); }

 private:
  static constexpr int kMaxDepth = 500;  // nested expressions; each takes some C++ stack

  void Advance() { token_ = lexer_.Next(); }
  Token TakeToken() {
    Token taken = std::move(token_);
    Advance();
    return taken;
  }
  bool Is(TokenKind kind) const { return token_.kind == kind; }
  bool IsOperator(std::string_view text) const {
    return Is(TokenKind::kOperator) && token_.text == text;
  }
  bool Accept(TokenKind kind) {
    if (!Is(kind)) return false;
    Advance();
    return true;
  }
  void Expect(TokenKind kind, const std::string& what) {
    if (!Accept(kind)) FailHere("expected " + what + ", found " + Describe(token_));
  }
  void FailHere(std::string message) { Fail(token_.at, std::move(message)); }
  void Fail(Location at, std::string message) {
    lexer_.Fail(at, std::move(message));
    token_ = Token{};
  }

  void ParseSide(ClassNode::Side* side);
  std::vector<Name> ParseNamesBetweenBars();
  MethodNode ParseMethod();
  void ParsePattern(MethodNode* method);
  void ParseBody(Block* block, TokenKind end, const std::string& what);
  ExpressionPtr ParseStatement();
  ExpressionPtr ParseExpression();
  ExpressionPtr ParsePrimary();
  ExpressionPtr ParseUnary(ExpressionPtr receiver);
  ExpressionPtr ParseBinary(ExpressionPtr receiver);
  ExpressionPtr ParseKeyword(ExpressionPtr receiver);
  ExpressionPtr ParseBlock();
  ExpressionPtr ParseLiteral();
  static ExpressionPtr New(ExpressionKind kind, Location at, std::string text = "") {
    auto expression = std::make_unique<Expression>();
    expression->kind = kind;
    expression->at = at;
    expression->text = std::move(text);
    return expression;
  }
  /// Whoever walks the tree takes some C++ stack for each level.
  void NoteBelow(Expression& above, const Expression& below) {
    constexpr int kMaxHeight = 2000;
    above.height = std::max(above.height, below.height + 1);
    if (above.height > kMaxHeight)
      Fail(above.at, "an expression is built of more than 2000 levels");
  }
  void AddPart(Expression& to, ExpressionPtr part) {
    NoteBelow(to, *part);
    to.parts.push_back(std::move(part));
  }
  ExpressionPtr Send(ExpressionPtr receiver, Location at, std::string selector) {
    ExpressionPtr send = New(ExpressionKind::kSend, at, std::move(selector));
    send->to_super = receiver->kind == ExpressionKind::kVariable && receiver->text == "super";
    AddPart(*send, std::move(receiver));
    return send;
  }

  Lexer lexer_;
  Token token_;
  int depth_ = 0;
};

std::unique_ptr<ClassNode> Parser::ParseClassFile() {
  auto node = std::make_unique<ClassNode>();
  node->file = lexer_.file();
  node->at = token_.at;
  node->name = token_.text;
  Expect(TokenKind::kIdentifier, "the name of a class");
  if (IsOperator("=")) {
    Advance();
  } else {
    FailHere("expected = behind the name of the class, found " + Describe(token_));
  }
  node->superclass = "Object";
  node->superclass_at = token_.at;
  if (Is(TokenKind::kIdentifier)) node->superclass = TakeToken().text;
  Expect(TokenKind::kOpen, "( before the fields and methods");
  ParseSide(&node->instance_side);
  if (Accept(TokenKind::kSeparator)) ParseSide(&node->class_side);
  Expect(TokenKind::kClose, "a method, or ) at the end of the class");
  if (!error() && !Is(TokenKind::kEnd))
    FailHere("nothing may follow the class, found " + Describe(token_));
  return node;
}

std::unique_ptr<MethodNode> Parser::ParseMethodAlone() {
  if (!Is(TokenKind::kIdentifier) && !Is(TokenKind::kKeyword) && !Is(TokenKind::kOperator)) {
    FailHere("expected a method, found " + Describe(token_));
  }
  auto node = std::make_unique<MethodNode>(ParseMethod());
  if (!error() && !Is(TokenKind::kEnd))
    FailHere("nothing may follow the method, found " + Describe(token_));
  return node;
}

void Parser::ParseSide(ClassNode::Side* side) {
  if (IsOperator("|") || IsOperator("||")) side->fields = ParseNamesBetweenBars();
  while (Is(TokenKind::kIdentifier) || Is(TokenKind::kKeyword) || Is(TokenKind::kOperator)) {
    side->methods.push_back(ParseMethod());
  }
}

std::vector<Name> Parser::ParseNamesBetweenBars() {
  std::vector<Name> names;
  if (TakeToken().text == "||") return names;
  while (Is(TokenKind::kIdentifier)) {
    const Location at = token_.at;
    names.push_back({TakeToken().text, at});
  }
  if (IsOperator("|")) {
    Advance();
  } else {
    FailHere("expected a name, or | at the end of the names, found " + Describe(token_));
  }
  return names;
}

MethodNode Parser::ParseMethod() {
  MethodNode method;
  method.at = token_.at;
  ParsePattern(&method);
  if (IsOperator("=")) {
    Advance();
  } else {
    FailHere("expected = behind the pattern of method " + method.selector + ", found " +
             Describe(token_));
  }
  if (Is(TokenKind::kIdentifier) && token_.text == "primitive") {
    method.is_primitive = true;
    Advance();
    return method;
  }
  method.body.at = token_.at;
  Expect(TokenKind::kOpen, "( or primitive behind " + method.selector + " =");
  ParseBody(&method.body, TokenKind::kClose, ") at the end of method " + method.selector);
  return method;
}

void Parser::ParsePattern(MethodNode* method) {
  const auto parameter = [&] {
    const Location at = token_.at;
    std::string name = token_.text;
    Expect(TokenKind::kIdentifier, "the name of a parameter of " + method->selector);
    method->body.parameters.push_back({std::move(name), at});
  };
  if (Is(TokenKind::kKeyword)) {
    while (Is(TokenKind::kKeyword)) {
      method->selector += TakeToken().text;
      parameter();
    }
  } else if (Is(TokenKind::kOperator)) {
    method->selector = TakeToken().text;
    parameter();
  } else {
    method->selector = TakeToken().text;
  }
}

void Parser::ParseBody(Block* block, TokenKind end, const std::string& what) {
  if (IsOperator("|") || IsOperator("||")) block->locals = ParseNamesBetweenBars();
  while (!Is(end) && !Is(TokenKind::kEnd)) {
    block->statements.push_back(ParseStatement());
    const bool is_return = block->statements.back()->kind == ExpressionKind::kReturn;
    if (!Accept(TokenKind::kPeriod)) break;
    if (is_return && !Is(end)) FailHere("nothing can follow ^, found " + Describe(token_));
  }
  Expect(end, what);
}

ExpressionPtr Parser::ParseStatement() {
  if (!Is(TokenKind::kReturn)) return ParseExpression();
  ExpressionPtr expression = New(ExpressionKind::kReturn, token_.at);
  Advance();
  AddPart(*expression, ParseExpression());
  return expression;
}

ExpressionPtr Parser::ParseExpression() {
  if (++depth_ > kMaxDepth) FailHere("expressions are nested more than 500 deep");
  ExpressionPtr expression = ParsePrimary();
  if (expression->kind == ExpressionKind::kVariable && Is(TokenKind::kAssign)) {
    Advance();
    ExpressionPtr assign = New(ExpressionKind::kAssign, expression->at, expression->text);
    AddPart(*assign, ParseExpression());
    expression = std::move(assign);
  } else {
    expression = ParseKeyword(ParseBinary(ParseUnary(std::move(expression))));
  }
  --depth_;
  return expression;
}

ExpressionPtr Parser::ParseUnary(ExpressionPtr receiver) {
  while (Is(TokenKind::kIdentifier)) {
    const Location at = token_.at;
    receiver = Send(std::move(receiver), at, TakeToken().text);
  }
  return receiver;
}

ExpressionPtr Parser::ParseBinary(ExpressionPtr receiver) {
  while (Is(TokenKind::kOperator)) {
    const Location at = token_.at;
    ExpressionPtr send = Send(std::move(receiver), at, TakeToken().text);
    AddPart(*send, ParseUnary(ParsePrimary()));
    receiver = std::move(send);
  }
  return receiver;
}

ExpressionPtr Parser::ParseKeyword(ExpressionPtr receiver) {
  if (!Is(TokenKind::kKeyword)) return receiver;
  ExpressionPtr send = Send(std::move(receiver), token_.at, "");
  while (Is(TokenKind::kKeyword)) {
    send->text += TakeToken().text;
    AddPart(*send, ParseBinary(ParseUnary(ParsePrimary())));
  }
  return send;
}

ExpressionPtr Parser::ParsePrimary() {
  const Location at = token_.at;
  switch (token_.kind) {
    case TokenKind::kIdentifier:
      return New(ExpressionKind::kVariable, at, TakeToken().text);
    case TokenKind::kOpen: {
      Advance();
      ExpressionPtr inner = ParseExpression();
      Expect(TokenKind::kClose, ") at the end of the expression in parentheses");
      return inner;
    }
    case TokenKind::kOpenBlock:
      return ParseBlock();
    default:
      return ParseLiteral();
  }
}

ExpressionPtr Parser::ParseBlock() {
  ExpressionPtr expression = New(ExpressionKind::kBlock, token_.at);
  expression->block = std::make_unique<Block>();
  Block& block = *expression->block;
  block.at = token_.at;
  if (++depth_ > kMaxDepth) FailHere("blocks are nested more than 500 deep");
  Advance();
  while (Accept(TokenKind::kColon)) {
    const Location at = token_.at;
    std::string name = token_.text;
    Expect(TokenKind::kIdentifier, "the name of a block's parameter behind :");
    block.parameters.push_back({std::move(name), at});
  }
  if (block.parameters.size() > 2) Fail(block.at, "a block has at most two parameters");
  if (!block.parameters.empty() && !Is(TokenKind::kCloseBlock)) {
    if (IsOperator("||")) {
      token_.text = "|";  // the end of the parameters, and the beginning of the locals
    } else if (IsOperator("|")) {
      Advance();
    } else {
      FailHere("expected | behind the block's parameters, found " + Describe(token_));
    }
  }
  ParseBody(&block, TokenKind::kCloseBlock, "] at the end of the block");
  for (const ExpressionPtr& statement : block.statements) NoteBelow(*expression, *statement);
  --depth_;
  return expression;
}

ExpressionPtr Parser::ParseLiteral() {
  const Location at = token_.at;
  switch (token_.kind) {
    case TokenKind::kInteger:
      return New(ExpressionKind::kInteger, at, TakeToken().text);
    case TokenKind::kDouble:
      return New(ExpressionKind::kDouble, at, TakeToken().text);
    case TokenKind::kString:
      return New(ExpressionKind::kString, at, TakeToken().text);
    case TokenKind::kSymbol:
      return New(ExpressionKind::kSymbol, at, TakeToken().text);
    case TokenKind::kOperator:
      if (token_.text == "-") {
        Advance();
        if (Is(TokenKind::kInteger) || Is(TokenKind::kDouble)) {
          ExpressionPtr number = ParseLiteral();
          number->text.insert(0, "-");
          return number;
        }
      }
      break;
    case TokenKind::kOpenArray: {
      ExpressionPtr array = New(ExpressionKind::kArray, at);
      if (++depth_ > kMaxDepth) FailHere("arrays are nested more than 500 deep");
      Advance();
      while (!Is(TokenKind::kClose) && !Is(TokenKind::kEnd)) array->parts.push_back(ParseLiteral());
      Expect(TokenKind::kClose, "a literal, or ) at the end of the array that begins at line " +
                                    std::to_string(at.line));
      --depth_;
      return array;
    }
    default:
      break;
  }
  FailHere("expected an expression, found " + Describe(token_));
  return New(ExpressionKind::kVariable, at, "nil");
}

}  // namespace

std::unique_ptr<ClassNode> ParseClass(const std::string& file, std::string_view source,
                                      SourceError* error) {
  Parser parser(file, source);
  std::unique_ptr<ClassNode> node = parser.ParseClassFile();
  *error = parser.error();
  return *error ? nullptr : std::move(node);
}

std::unique_ptr<MethodNode> ParseMethod(const std::string& file, std::string_view source,
                                        SourceError* error) {
  Parser parser(file, source);
  std::unique_ptr<MethodNode> node = parser.ParseMethodAlone();
  *error = parser.error();
  return *error ? nullptr : std::move(node);
}

}  // namespace som
