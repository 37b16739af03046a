#include "lexer.h"

#include <algorithm>
#include <utility>

namespace som {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsOperator(char c) {
  return c != '\0' && std::string_view("~&|*/\\+=><,@%-").find(c) != std::string_view::npos;
}

// The character that stands for `\letter` in a string; -1: there is none.
int Unescape(char letter) {
  switch (letter) {
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 'f':
      return '\f';
    case '0':
      return '\0';
    case '\\':
    case '\'':
      return letter;
    default:
      return -1;
  }
}

}  // namespace

std::string SourceError::ToString() const {
  return file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": " + message;
}

std::string Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "the end of the file";
    case TokenKind::kIdentifier:
      return "identifier '" + token.text + "'";
    case TokenKind::kKeyword:
      return "keyword '" + token.text + "'";
    case TokenKind::kInteger:
    case TokenKind::kDouble:
      return "number " + token.text;
    case TokenKind::kString:
      return "a string";
    case TokenKind::kSymbol:
      return "symbol #" + token.text;
    case TokenKind::kSeparator:
      return "the separator ----";
    default:
      return "'" + token.text + "'";
  }
}

void Lexer::Fail(Location at, std::string message) {
  if (error_) return;
  error_ = {file_, at, std::move(message)};
  position_ = source_.size();
}

char Lexer::Take() {
  const char c = source_[position_++];
  if (c == '\n') {
    ++at_.line;
    at_.column = 1;
  } else {
    ++at_.column;
  }
  return c;
}

void Lexer::SkipSpace() {
  while (!AtEnd()) {
    const char c = Peek();
    if (c == '"') {
      const Location start = at_;
      Take();
      while (!AtEnd() && Peek() != '"') Take();
      if (AtEnd()) return Fail(start, "the comment that begins here has no end; close it by \"");
      Take();
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
      Take();
    } else {
      return;
    }
  }
}

void Lexer::ReadName(std::string* text) {
  while (!AtEnd() && (IsLetter(Peek()) || IsDigit(Peek()))) *text += Take();
}

Token Lexer::Next() {
  SkipSpace();
  Token token;
  token.at = at_;
  if (AtEnd()) return token;
  const char c = Peek();
  if (IsLetter(c)) {
    token.kind = TokenKind::kIdentifier;
    ReadName(&token.text);
    if (Peek() == ':' && Peek(1) != '=') {
      token.kind = TokenKind::kKeyword;
      token.text += Take();
    }
    return token;
  }
  if (IsDigit(c)) return ReadNumber(std::move(token));
  if (c == '\'') {
    token.kind = TokenKind::kString;
    return ReadString(std::move(token));
  }
  if (c == '#') return ReadSymbol(std::move(token));
  if (IsOperator(c)) {
    while (!AtEnd() && IsOperator(Peek())) token.text += Take();
    const bool dashes =
        std::all_of(token.text.begin(), token.text.end(), [](char d) { return d == '-'; });
    token.kind = dashes && token.text.size() >= 4 ? TokenKind::kSeparator : TokenKind::kOperator;
    return token;
  }
  token.text = Take();
  switch (c) {
    case ':':
      token.kind = TokenKind::kColon;
      if (Peek() == '=') {
        token.text += Take();
        token.kind = TokenKind::kAssign;
      }
      return token;
    case '.':
      token.kind = TokenKind::kPeriod;
      return token;
    case '^':
      token.kind = TokenKind::kReturn;
      return token;
    case '(':
      token.kind = TokenKind::kOpen;
      return token;
    case ')':
      token.kind = TokenKind::kClose;
      return token;
    case '[':
      token.kind = TokenKind::kOpenBlock;
      return token;
    case ']':
      token.kind = TokenKind::kCloseBlock;
      return token;
    default:
      Fail(token.at, "'" + token.text + "' begins nothing that SOM knows");
      return {TokenKind::kEnd, token.at, ""};
  }
}

Token Lexer::ReadNumber(Token token) {
  token.kind = TokenKind::kInteger;
  while (IsDigit(Peek())) token.text += Take();
  if (Peek() == '.' && IsDigit(Peek(1))) {
    token.kind = TokenKind::kDouble;
    token.text += Take();
    while (IsDigit(Peek())) token.text += Take();
  }
  return token;
}

Token Lexer::ReadString(Token token) {
  Take();
  while (!AtEnd() && Peek() != '\'') {
    const Location at = at_;
    const char c = Take();
    if (c != '\\') {
      token.text += c;
      continue;
    }
    if (AtEnd()) break;
    const char letter = Take();
    const int resolved = Unescape(letter);
    if (resolved < 0) {
      Fail(at, std::string("\\") + letter +
                   " is no escape; there are \\t \\b \\n \\r \\f \\0 \\\\ \\'");
      return token;
    }
    token.text += static_cast<char>(resolved);
  }
  if (AtEnd()) {
    Fail(token.at, "the string that begins here has no end; close it by '");
    return token;
  }
  Take();
  return token;
}

Token Lexer::ReadSymbol(Token token) {
  Take();
  token.kind = TokenKind::kSymbol;
  if (Peek() == '(') {
    token.kind = TokenKind::kOpenArray;
    token.text = "#(";
    Take();
  } else if (Peek() == '\'') {
    return ReadString(std::move(token));
  } else if (IsLetter(Peek())) {
    ReadName(&token.text);
    while (Peek() == ':' && Peek(1) != '=') {
      token.text += Take();
      ReadName(&token.text);
    }
  } else if (IsOperator(Peek())) {
    while (!AtEnd() && IsOperator(Peek())) token.text += Take();
  } else {
    Fail(token.at, "behind # stands a name, a selector, an operator, a string or an array");
  }
  return token;
}

}  // namespace som
