// From the text of a class file to tokens, each with its place.
#ifndef SOM_LEXER_H_
#define SOM_LEXER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace som {

/// A place in a file; both count from 1.
struct Location {
  uint32_t line = 1;
  uint32_t column = 1;
};

/// What is wrong with a file. Only the first thing is told.
struct SourceError {
  std::string file;
  Location at;
  std::string message;

  explicit operator bool() const { return !message.empty(); }
  /// FILE:LINE:COLUMN: MESSAGE
  std::string ToString() const;
};

enum class TokenKind : uint8_t {
  kEnd,
  kIdentifier,
  kKeyword,    // name:
  kInteger,    // digits
  kDouble,     // digits.digits
  kString,     // text without quotes, escapes resolved
  kSymbol,     // the same, behind #
  kOperator,   // one or more operator characters
  kSeparator,  // ---- or longer
  kAssign,     // :=
  kColon,
  kPeriod,
  kReturn,      // ^
  kOpen,        // (
  kClose,       // )
  kOpenBlock,   // [
  kCloseBlock,  // ]
  kOpenArray,   // #(
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Location at;
  std::string text;
};

/// Words for an error message: «identifier "x"», «end of file».
std::string Describe(const Token& token);

/// Reads tokens one by one. After an error there are only kEnd tokens.
class Lexer {
 public:
  /// `source` outlives the lexer.
  Lexer(std::string file, std::string_view source) : file_(std::move(file)), source_(source) {}

  Token Next();
  /// Notes an error, if it is the first.
  void Fail(Location at, std::string message);
  const SourceError& error() const { return error_; }
  const std::string& file() const { return file_; }

 private:
  char Peek(size_t ahead = 0) const {
    return position_ + ahead < source_.size() ? source_[position_ + ahead] : '\0';
  }
  bool AtEnd() const { return position_ >= source_.size(); }
  char Take();
  void SkipSpace();
  Token ReadNumber(Token token);
  Token ReadString(Token token);
  Token ReadSymbol(Token token);
  void ReadName(std::string* text);

  const std::string file_;
  const std::string_view source_;
  size_t position_ = 0;
  Location at_;
  SourceError error_;
};

}  // namespace som

#endif  // SOM_LEXER_H_
