#include "model/families/module_pattern.h"

#include <cctype>
#include <optional>
#include <vector>

namespace duet {
namespace {

struct Piece {
  char wanted = 0;  // 0 = any
  bool repeats = false;
  bool accepts(char c) const { return wanted == 0 || wanted == c; }
};

struct Expression {
  std::vector<Piece> pieces;
  bool to_end = false;
};

/// Nothing where a construct is not understood.
std::optional<Expression> parse(std::string_view text) {
  Expression result;
  if (text.starts_with('^')) text.remove_prefix(1);
  if (text.ends_with('$') && !text.ends_with("\\$")) result.to_end = true, text.remove_suffix(1);
  for (size_t i = 0; i < text.size(); ++i) {
    Piece piece{text[i]};
    if (text[i] == '\\') {
      // A letter or digit behind it has a meaning of its own.
      if (++i == text.size() || std::isalnum(static_cast<unsigned char>(text[i])) != 0) return std::nullopt;
      piece.wanted = text[i];
    } else if (text[i] == '.') {
      piece.wanted = 0;
    } else if (std::string_view("^$*+?{}[]|()").find(text[i]) != std::string_view::npos) {
      return std::nullopt;
    }
    const char next = i + 1 < text.size() ? text[i + 1] : 'x';
    if (next == '+') result.pieces.push_back(piece);  // x+ is x x*
    if (next == '*' || next == '+') piece.repeats = true, ++i;
    result.pieces.push_back(piece);
  }
  return result;
}

}  // namespace

Match match_expression(std::string_view expression, std::string_view name) {
  const auto parsed = parse(expression);
  if (!parsed) return Match::kMaybe;
  const std::vector<Piece>& pieces = parsed->pieces;
  // reached[i]: the first i pieces can match what was read so far.
  std::vector<char> reached(pieces.size() + 1, 0);
  reached[0] = 1;
  const auto skip_repeats = [&] {
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (reached[i] != 0 && pieces[i].repeats) reached[i + 1] = 1;
    }
  };
  skip_repeats();
  for (const char c : name) {
    if (reached.back() != 0 && !parsed->to_end) return Match::kYes;
    std::vector<char> next(reached.size(), 0);
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (reached[i] != 0 && pieces[i].accepts(c)) next[pieces[i].repeats ? i : i + 1] = 1;
    }
    reached = std::move(next);
    skip_repeats();
  }
  return reached.back() != 0 ? Match::kYes : Match::kNo;
}

Match match_module(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return Match::kNo;
  if (name == pattern) return Match::kYes;
  if (name.starts_with(pattern) && name[pattern.size()] == '.') return Match::kYes;
  const bool shared = name.find(pattern) != std::string_view::npos || pattern.find(name) != std::string_view::npos;
  return shared || match_expression(pattern, name) != Match::kNo ? Match::kMaybe : Match::kNo;
}

}  // namespace duet
