#include "text/tokenizer_json.h"

#include "base/error.h"
#include "base/utf8.h"

namespace duet {
namespace {

class Scanner {
 public:
  Scanner(std::string_view text, std::string& unescaped) : text_(text), unescaped_(unescaped) {}

  size_t place() const { return at_; }
  void white_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }
  /// Skips white space, then takes `c` if it stands there.
  bool take(char c) {
    white_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool at_end() {
    white_space();
    return at_ == text_.size();
  }

  /// A string with its quotes; what it stands for is in `out`.
  bool string(std::string_view& out) {
    if (!take('"')) return false;
    const size_t begin = at_;
    for (; at_ < text_.size(); ++at_) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        out = text_.substr(begin, at_++ - begin);
        return true;
      }
      if (c == '\\') return escaped_string(begin, out);
      if (c < 0x20) return false;
    }
    return false;
  }

  /// A number of up to nine digits.
  bool small_number(int64_t& out) {
    white_space();
    const size_t begin = at_;
    out = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) out = out * 10 + (text_[at_] - '0');
    const size_t digits = at_ - begin;
    return digits > 0 && digits <= 9 && (digits == 1 || text_[begin] != '0');
  }

  /// Any value, without a look at what it is; ends before the comma or bracket behind it.
  bool skip_value() {
    white_space();
    const size_t begin = at_;
    int depth = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
          if (text_[at_] == '\\') ++at_;
        }
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return at_ > begin;
        --depth;
      } else if (c == ',' && depth == 0) {
        return at_ > begin;
      }
    }
    return false;
  }

 private:
  bool hex4(char32_t& out) {
    out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ >= text_.size()) return false;
      const char c = text_[at_];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return false;
      out = out * 16 + static_cast<char32_t>(digit);
    }
    return true;
  }

  bool escaped_string(size_t begin, std::string_view& out) {
    // Never moves: all that is unescaped is shorter than the text.
    if (unescaped_.capacity() < text_.size()) unescaped_.reserve(text_.size());
    const size_t start = unescaped_.size();
    unescaped_.append(text_.substr(begin, at_ - begin));
    while (at_ < text_.size()) {
      const auto c = static_cast<unsigned char>(text_[at_++]);
      if (c == '"') {
        out = std::string_view(unescaped_).substr(start);
        return true;
      }
      if (c < 0x20) return false;
      if (c != '\\') {
        unescaped_ += static_cast<char>(c);
        continue;
      }
      if (at_ >= text_.size()) return false;
      static constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
      const char name = text_[at_++];
      if (name == 'u') {
        char32_t code, low;
        if (!hex4(code)) return false;
        if (code >= 0xdc00 && code < 0xe000) return false;
        if (code >= 0xd800 && code < 0xdc00) {
          if (text_.substr(at_, 2) != "\\u") return false;
          at_ += 2;
          if (!hex4(low) || low < 0xdc00 || low >= 0xe000) return false;
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        append_utf8(unescaped_, code);
      } else if (const size_t known = kNames.find(name); known != std::string_view::npos) {
        unescaped_ += kMeanings[known];
      } else {
        return false;
      }
    }
    return false;
  }

  std::string_view text_;
  std::string& unescaped_;
  size_t at_ = 0;
};

class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text), in_(text, out_.unescaped) {}

  std::optional<TokenizerJson> split() {
    const bool taken = members([&](std::string_view key) { return key == "model" ? model() : in_.skip_value(); });
    if (!taken || !in_.at_end() || !tables_) return std::nullopt;
    rest_.append(text_.substr(copied_));
    try {
      out_.document = parse_json(rest_, "tokenizer.json");
    } catch (const Error&) {
      return std::nullopt;  // the whole text gives the right place
    }
    return std::move(out_);
  }

 private:
  template <typename Member>
  bool members(Member&& member) {
    if (!in_.take('{')) return false;
    if (in_.take('}')) return true;
    do {
      std::string_view key;
      if (!in_.string(key) || !in_.take(':') || !member(key)) return false;
    } while (in_.take(','));
    return in_.take('}');
  }

  bool model() {
    return members([&](std::string_view key) {
      if (key == "vocab") return cut_out("{}", [&] { return vocab(); });
      if (key == "merges") return cut_out("[]", [&] { return merges(); });
      return in_.skip_value();
    });
  }

  /// Reads a table and leaves `instead` of it in the rest.
  template <typename Read>
  bool cut_out(std::string_view instead, Read&& read) {
    in_.white_space();
    rest_.append(text_.substr(copied_, in_.place() - copied_)).append(instead);
    if (!read()) return false;
    copied_ = in_.place();
    tables_ = true;
    return true;
  }

  bool vocab() {
    return out_.vocab.empty() && members([&](std::string_view key) {
             int64_t id;
             if (!in_.small_number(id)) return false;
             out_.vocab.emplace_back(key, id);
             return true;
           });
  }

  bool merges() {
    if (!out_.merges.empty() || !in_.take('[')) return false;
    if (in_.take(']')) return true;
    do {
      std::string_view left, right;
      if (in_.take('[')) {
        if (!in_.string(left) || !in_.take(',') || !in_.string(right) || !in_.take(']')) return false;
        if (left.empty() || right.empty()) return false;
      } else {
        if (!in_.string(left)) return false;
        const size_t space = left.find(' ');
        if (space == 0 || space == std::string_view::npos || space + 1 == left.size()) return false;
        right = left.substr(space + 1);
        left = left.substr(0, space);
        if (right.find(' ') != std::string_view::npos) return false;
      }
      out_.merges.emplace_back(left, right);
    } while (in_.take(','));
    return in_.take(']');
  }

  std::string_view text_;
  TokenizerJson out_;
  Scanner in_;
  std::string rest_;
  size_t copied_ = 0;  // text before this is in rest_, or a table
  bool tables_ = false;
};

}  // namespace

std::optional<TokenizerJson> split_tokenizer_json(std::string_view text) {
  if (!is_valid_utf8(text)) return std::nullopt;
  return Splitter(text).split();
}

}  // namespace duet
