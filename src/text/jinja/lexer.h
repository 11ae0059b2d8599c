#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace duet::jinja {

enum class TokenType {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kEof,
  kAdd,
  kSub,
  kDiv,
  kFloorDiv,
  kMul,
  kMod,
  kPow,
  kTilde,
  kLBracket,
  kRBracket,
  kLParen,
  kRParen,
  kLBrace,
  kRBrace,
  kEq,
  kNe,
  kGt,
  kGtEq,
  kLt,
  kLtEq,
  kAssign,
  kDot,
  kColon,
  kPipe,
  kComma,
  kSemicolon,
};

struct Token {
  TokenType type = TokenType::kEof;
  std::string text;  // data, name, number as written without '_', string with its escapes resolved
  int line = 1;
  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
};

/// How a token is called in a message.
std::string describe(const Token& token);
std::string_view describe(TokenType type);

/// Splits a template into tokens, one at a time. Whitespace control as with trim_blocks and lstrip_blocks on and
/// keep_trailing_newline off. Throws TemplateError of kind syntax.
class Lexer {
 public:
  /// `source` is valid UTF-8.
  explicit Lexer(std::string_view source);
  Token next();

 private:
  enum class State { kRoot, kBlock, kVariable };

  bool at(std::string_view text) const { return rest().starts_with(text); }
  std::string_view rest() const { return std::string_view(source_).substr(position_); }
  void advance(size_t bytes);
  void skip_space();
  bool root(Token& token);
  /// The end of a comment or raw block whose text begins here; false when the source ends before it.
  void skip_comment();
  bool raw(Token& token);
  size_t match_raw_begin(char& sign) const;
  bool match_raw_end(size_t from, char& sign, size_t& end) const;
  size_t match_block_end(size_t from) const;
  std::string strip_before_tag(std::string_view text, char sign, bool variable) const;
  Token inside();
  bool number(Token& token);
  void string(Token& token);
  void operation(Token& token);

  std::string source_;
  size_t position_ = 0;
  int line_ = 1;
  State state_ = State::kRoot;
  bool line_starting_ = true;
  std::string open_brackets_;
};

}  // namespace duet::jinja
