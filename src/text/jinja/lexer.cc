#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/jinja/template_error.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

template <typename... Args>
[[noreturn]] void fail_syntax(int line, fmt::format_string<Args...> format, Args&&... args) {
  raise(TemplateErrorKind::kSyntax, "line {}: {}", line, fmt::format(format, std::forward<Args>(args)...));
}

constexpr std::array<std::pair<std::string_view, TokenType>, 26> kOperators{{
    {"//", TokenType::kFloorDiv}, {"**", TokenType::kPow},      {"==", TokenType::kEq},    {"!=", TokenType::kNe},
    {">=", TokenType::kGtEq},     {"<=", TokenType::kLtEq},     {"+", TokenType::kAdd},    {"-", TokenType::kSub},
    {"/", TokenType::kDiv},       {"*", TokenType::kMul},       {"%", TokenType::kMod},    {"~", TokenType::kTilde},
    {"[", TokenType::kLBracket},  {"]", TokenType::kRBracket},  {"(", TokenType::kLParen}, {")", TokenType::kRParen},
    {"{", TokenType::kLBrace},    {"}", TokenType::kRBrace},    {">", TokenType::kGt},     {"<", TokenType::kLt},
    {"=", TokenType::kAssign},    {".", TokenType::kDot},       {":", TokenType::kColon},  {"|", TokenType::kPipe},
    {",", TokenType::kComma},     {";", TokenType::kSemicolon},
}};

std::string normalise(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

/// Bytes of white space at the start of `text`.
size_t space_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint point = first_code_point(text.substr(at));
    if (!has(point.code, kSpace)) break;
    at += static_cast<size_t>(point.length);
  }
  return at;
}

std::string_view strip_end(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
    if (!has(first_code_point(text.substr(start)).code, kSpace)) break;
    text = text.substr(0, start);
  }
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// Digits with single underscores between them; the end of the match or `at`.
size_t digits(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && is_digit(text[end])) {
    ++end;
    if (end + 1 < text.size() && text[end] == '_' && is_digit(text[end + 1])) ++end;
  }
  return end;
}

std::string without_underscores(std::string_view text) {
  std::string out(text);
  std::erase(out, '_');
  return out;
}

/// Python's "unicode-escape" for what stands between the quotes. A backslash before a non-ASCII character leaves the
/// character's own escape behind, as there.
std::string unescape(std::string_view raw, int line) {
  std::string text;  // ASCII only, other characters as escapes
  for (size_t i = 0; i < raw.size();) {
    const CodePoint point = first_code_point(raw.substr(i));
    if (point.code < 0x80) {
      text += raw[i];
    } else if (point.code < 0x100) {
      text += fmt::format("\\x{:02x}", static_cast<uint32_t>(point.code));
    } else if (point.code < 0x10000) {
      text += fmt::format("\\u{:04x}", static_cast<uint32_t>(point.code));
    } else {
      text += fmt::format("\\U{:08x}", static_cast<uint32_t>(point.code));
    }
    i += static_cast<size_t>(point.length);
  }
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    ++i;  // the pattern of strings never lets one end with a backslash
    const char c = text[i];
    const auto hex = [&](size_t count) {
      char32_t code = 0;
      for (size_t k = 1; k <= count; ++k) {
        if (i + k >= text.size() || !is_hex(text[i + k])) fail_syntax(line, "truncated \\{} escape", c);
        const char digit = text[i + k];
        code = code * 16 + static_cast<char32_t>(is_digit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10);
      }
      i += count;
      if (code > 0x10ffff) fail_syntax(line, "illegal Unicode character in an escape");
      append_code_point(out, code);
    };
    switch (c) {
      case '\n':
        break;
      case '\\':
        out += '\\';
        break;
      case '\'':
        out += '\'';
        break;
      case '"':
        out += '"';
        break;
      case 'a':
        out += '\a';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'v':
        out += '\v';
        break;
      case 'x':
        hex(2);
        break;
      case 'u':
        hex(4);
        break;
      case 'U':
        hex(8);
        break;
      case 'N':
        fail_syntax(line, "unknown Unicode character name: \\N escapes are not supported");
      default:
        if (c >= '0' && c <= '7') {
          char32_t code = 0;
          size_t k = 0;
          for (; k < 3 && i + k < text.size() && text[i + k] >= '0' && text[i + k] <= '7'; ++k) {
            code = code * 8 + static_cast<char32_t>(text[i + k] - '0');
          }
          i += k - 1;
          append_code_point(out, code);
        } else {
          out += '\\';
          out += c;
        }
    }
  }
  return out;
}

}  // namespace

std::string_view describe(TokenType type) {
  switch (type) {
    case TokenType::kData:
      return "template data / text";
    case TokenType::kVariableBegin:
      return "begin of print statement";
    case TokenType::kVariableEnd:
      return "end of print statement";
    case TokenType::kBlockBegin:
      return "begin of statement block";
    case TokenType::kBlockEnd:
      return "end of statement block";
    case TokenType::kName:
      return "name";
    case TokenType::kString:
      return "string";
    case TokenType::kInteger:
      return "integer";
    case TokenType::kFloat:
      return "float";
    case TokenType::kEof:
      return "end of template";
    default:
      break;
  }
  for (const auto& [text, operation] : kOperators) {
    if (operation == type) return text;
  }
  return "operator";
}

std::string describe(const Token& token) {
  return token.type == TokenType::kName ? token.text : std::string(describe(token.type));
}

Lexer::Lexer(std::string_view source) : source_(normalise(source)) {}

void Lexer::advance(size_t bytes) {
  const std::string_view passed = rest().substr(0, bytes);
  line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
  position_ += bytes;
  if (bytes > 0) line_starting_ = passed.back() == '\n';
}

void Lexer::skip_space() { advance(space_prefix(rest())); }

Token Lexer::next() {
  Token token;
  while (state_ == State::kRoot) {
    if (root(token)) return token;
  }
  return inside();
}

/// The text before a tag: '-' strips all white space, otherwise lstrip_blocks strips the blanks of the tag's own line.
std::string Lexer::strip_before_tag(std::string_view text, char sign, bool variable) const {
  if (sign == '-') return std::string(strip_end(text));
  if (sign != '+' && !variable) {
    const size_t newline = text.rfind('\n');
    const size_t start = newline == npos ? 0 : newline + 1;
    if ((start > 0 || line_starting_) && start < text.size() &&
        space_prefix(text.substr(start)) == text.size() - start) {
      return std::string(text.substr(0, start));
    }
  }
  return std::string(text);
}

/// Template text up to and with the next tag. False when there is nothing to report yet.
bool Lexer::root(Token& token) {
  token.line = line_;
  const std::string_view text = rest();
  if (text.empty()) {
    token.type = TokenType::kEof;
    return true;
  }
  size_t tag = text.find('{');
  while (tag != npos &&
         (tag + 1 >= text.size() || (text[tag + 1] != '{' && text[tag + 1] != '%' && text[tag + 1] != '#'))) {
    tag = text.find('{', tag + 1);
  }
  if (tag == npos) {
    token.type = TokenType::kData;
    token.text = std::string(text);
    advance(text.size());
    return true;
  }
  if (tag > 0) {  // the text first; the tag itself at the next call
    char sign = tag + 2 < text.size() ? text[tag + 2] : ' ';
    token.type = TokenType::kData;
    token.text = strip_before_tag(text.substr(0, tag), sign, text[tag + 1] == '{');
    advance(tag);
    line_starting_ = false;
    return !token.text.empty();
  }
  const char kind = text[1];
  if (kind == '%') {
    char sign = 0;
    if (const size_t length = match_raw_begin(sign); length > 0) {
      advance(length);
      return raw(token);
    }
  }
  const bool sign = text.size() > 2 && (text[2] == '-' || text[2] == '+');
  advance(sign ? 3 : 2);
  if (kind == '#') {
    skip_comment();
    return false;
  }
  open_brackets_.clear();
  token.type = kind == '{' ? TokenType::kVariableBegin : TokenType::kBlockBegin;
  state_ = kind == '{' ? State::kVariable : State::kBlock;
  return true;
}

void Lexer::skip_comment() {
  const std::string_view text = rest();
  const size_t end = text.find("#}");
  if (end == npos) {
    if (!text.empty()) fail_syntax(line_, "Missing end of comment tag");
    return;
  }
  const char sign = end > 0 ? text[end - 1] : ' ';
  advance(end + 2);
  if (sign == '-') {
    skip_space();
  } else if (sign != '+' && at("\n")) {
    advance(1);
  }
}

/// Length of `{% raw %}` here, or 0.
size_t Lexer::match_raw_begin(char& sign) const {
  const std::string_view text = rest();
  size_t i = 2;
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) sign = text[i++];
  i += space_prefix(text.substr(std::min(i, text.size())));
  if (!text.substr(std::min(i, text.size())).starts_with("raw")) return 0;
  i += 3;
  i += space_prefix(text.substr(i));
  if (text.substr(i).starts_with("%}")) return i + 2;
  if (text.substr(i).starts_with("-%}")) return i + 3 + space_prefix(text.substr(i + 3));
  return 0;
}

/// Length of the end of a block tag at `from`, with the white space that goes with it, or 0.
size_t Lexer::match_block_end(size_t from) const {
  const std::string_view text = std::string_view(source_).substr(from);
  if (text.starts_with("+%}")) return 3;
  if (text.starts_with("-%}")) return 3 + space_prefix(text.substr(3));
  if (text.starts_with("%}")) return text.size() > 2 && text[2] == '\n' ? 3 : 2;
  return 0;
}

bool Lexer::match_raw_end(size_t from, char& sign, size_t& end) const {
  const std::string_view text = source_;
  size_t i = from + 2;
  sign = ' ';
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) sign = text[i++];
  i += space_prefix(text.substr(std::min(i, text.size())));
  if (!text.substr(std::min(i, text.size())).starts_with("endraw")) return false;
  i += 6;
  i += space_prefix(text.substr(i));
  const size_t length = match_block_end(i);
  end = i + length;
  return length > 0;
}

bool Lexer::raw(Token& token) {
  token.type = TokenType::kData;
  token.line = line_;
  for (size_t tag = source_.find("{%", position_); tag != npos; tag = source_.find("{%", tag + 1)) {
    char sign = ' ';
    size_t end = 0;
    if (!match_raw_end(tag, sign, end)) continue;
    token.text = strip_before_tag(std::string_view(source_).substr(position_, tag - position_), sign, false);
    advance(end - position_);
    return !token.text.empty();
  }
  if (position_ < source_.size()) fail_syntax(line_, "Missing end of raw directive");
  return false;
}

Token Lexer::inside() {
  skip_space();
  Token token;
  token.line = line_;
  const std::string_view text = rest();
  if (text.empty()) return token;  // end of template: the parser says what it was waiting for
  if (open_brackets_.empty()) {
    if (state_ == State::kBlock) {
      if (const size_t length = match_block_end(position_); length > 0) {
        advance(length);
        state_ = State::kRoot;
        token.type = TokenType::kBlockEnd;
        return token;
      }
    } else if (at("}}") || at("-}}")) {
      const bool strip = at("-");
      advance(strip ? 3 : 2);
      if (strip) skip_space();
      state_ = State::kRoot;
      token.type = TokenType::kVariableEnd;
      return token;
    }
  }
  if (number(token)) return token;
  size_t end = 0;
  while (end < text.size()) {
    const CodePoint point = first_code_point(text.substr(end));
    if (point.code != '_' && !has(point.code, kAlpha | kDecimal | kDigit | kNumeric | kIdContinue)) break;
    end += static_cast<size_t>(point.length);
  }
  if (end > 0) {
    token.type = TokenType::kName;
    token.text = std::string(text.substr(0, end));
    if (!is_identifier(token.text)) fail_syntax(line_, "Invalid character in identifier");
    advance(end);
    return token;
  }
  if (text[0] == '\'' || text[0] == '"') {
    string(token);
    return token;
  }
  operation(token);
  return token;
}

bool Lexer::number(Token& token) {
  const std::string_view text = rest();
  if (!is_digit(text[0])) return false;
  const bool after_dot = position_ > 0 && source_[position_ - 1] == '.';
  const size_t whole = digits(text, 0);
  size_t end = 0;
  if (!after_dot) {
    size_t fraction = whole;
    if (whole < text.size() && text[whole] == '.') fraction = digits(text, whole + 1);
    if (fraction == whole + 1) fraction = whole;  // a dot without digits is not part of the number
    if (fraction < text.size() && (text[fraction] == 'e' || text[fraction] == 'E')) {
      size_t exponent = fraction + 1;
      if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
      if (const size_t last = digits(text, exponent); last > exponent) end = last;
    }
    if (end == 0 && fraction > whole) end = fraction;
  }
  if (end > 0) {
    token.type = TokenType::kFloat;
  } else {
    token.type = TokenType::kInteger;
    const char prefix = text[0] == '0' && text.size() > 1 ? static_cast<char>(text[1] | 0x20) : ' ';
    if (prefix == 'b' || prefix == 'o' || prefix == 'x') {
      const auto fits = [prefix](char c) {
        return prefix == 'x' ? is_hex(c) : prefix == 'o' ? c >= '0' && c <= '7' : c == '0' || c == '1';
      };
      end = 2;
      while (end < text.size()) {
        if (fits(text[end])) {
          ++end;
        } else if (text[end] == '_' && end + 1 < text.size() && fits(text[end + 1])) {
          end += 2;
        } else {
          break;
        }
      }
      if (end == 2) end = 1;
    } else if (text[0] == '0') {
      end = 1;
      while (end < text.size() && (text[end] == '0' || (text[end] == '_' && text.substr(end + 1).starts_with("0"))))
        ++end;
    } else {
      end = whole;
    }
  }
  token.text = without_underscores(text.substr(0, end));
  advance(end);
  return true;
}

void Lexer::string(Token& token) {
  const std::string_view text = rest();
  size_t end = 1;
  while (end < text.size() && text[end] != text[0]) end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) fail_syntax(line_, "unexpected char {}", text[0]);
  token.type = TokenType::kString;
  token.text = unescape(text.substr(1, end - 1), line_);
  advance(end + 1);
}

void Lexer::operation(Token& token) {
  for (const auto& [text, type] : kOperators) {
    if (!at(text)) continue;
    if (text == "(" || text == "[" || text == "{") {
      open_brackets_ += text == "(" ? ')' : text == "[" ? ']' : '}';
    } else if (text == ")" || text == "]" || text == "}") {
      if (open_brackets_.empty()) fail_syntax(line_, "unexpected '{}'", text);
      if (open_brackets_.back() != text[0])
        fail_syntax(line_, "unexpected '{}', expected '{}'", text, open_brackets_.back());
      open_brackets_.pop_back();
    }
    token.type = type;
    advance(text.size());
    return;
  }
  const CodePoint point = first_code_point(rest());
  fail_syntax(line_, "unexpected char '{}'", printable(rest().substr(0, static_cast<size_t>(point.length))));
}

}  // namespace duet::jinja
