#include "text/jinja/text_search.h"

#include <algorithm>
#include <cstring>

#include "base/utf8.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

size_t last_start(std::string_view text) {
  size_t start = text.size() - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
  return start;
}

template <typename Predicate>
std::string_view strip_start_if(std::string_view text, Predicate strip) {
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    if (!strip(point.code)) break;
    text.remove_prefix(static_cast<size_t>(point.length));
  }
  return text;
}

template <typename Predicate>
std::string_view strip_end_if(std::string_view text, Predicate strip) {
  while (!text.empty()) {
    const size_t start = last_start(text);
    if (!strip(first_code_point(text.substr(start)).code)) break;
    text = text.substr(0, start);
  }
  return text;
}

constexpr size_t kShort = 16;  // bytes of a part that may be searched for naively

class CodePointSet {
 public:
  explicit CodePointSet(std::u32string_view codes) : sorted_(codes) { std::sort(sorted_.begin(), sorted_.end()); }
  bool contains(char32_t code) const { return std::binary_search(sorted_.begin(), sorted_.end(), code); }

 private:
  std::u32string sorted_;
};

bool is_space(char32_t code) { return has(code, kSpace); }
bool is_not_space(char32_t code) { return !has(code, kSpace); }

bool is_line_break(char32_t code) {
  return (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

}  // namespace

std::string_view strip_start(std::string_view text) { return strip_start_if(text, is_space); }
std::string_view strip_end(std::string_view text) { return strip_end_if(text, is_space); }
std::string_view strip_start(std::string_view text, std::u32string_view set) {
  const CodePointSet codes(set);
  return strip_start_if(text, [&](char32_t code) { return codes.contains(code); });
}
std::string_view strip_end(std::string_view text, std::u32string_view set) {
  const CodePointSet codes(set);
  return strip_end_if(text, [&](char32_t code) { return codes.contains(code); });
}

size_t find_first(std::string_view text, std::string_view part) {
  if (part.size() < kShort) return text.find(part);
  const void* found = memmem(text.data(), text.size(), part.data(), part.size());  // two-way: linear
  return found == nullptr ? npos : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t find_last(std::string_view text, std::string_view part) {
  if (part.size() < kShort || part.size() > text.size()) return text.rfind(part);
  // Knuth, Morris and Pratt, from the end to the start.
  const auto backward = [](std::string_view of, size_t i) { return of[of.size() - 1 - i]; };
  std::vector<size_t> border(part.size() + 1, 0);
  for (size_t i = 1, length = 0; i < part.size(); ++i) {
    while (length > 0 && backward(part, i) != backward(part, length)) length = border[length];
    if (backward(part, i) == backward(part, length)) ++length;
    border[i + 1] = length;
  }
  for (size_t i = 0, length = 0; i < text.size(); ++i) {
    while (length > 0 && backward(text, i) != backward(part, length)) length = border[length];
    if (backward(text, i) == backward(part, length)) ++length;
    if (length == part.size()) return text.size() - 1 - i;
  }
  return npos;
}

std::vector<std::string_view> split_space(std::string_view text, int64_t limit) {
  std::vector<std::string_view> out;
  text = strip_start(text);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<int64_t>(out.size()) == limit) {
      out.push_back(text);  // with the space at its end, as Python has it
      break;
    }
    const std::string_view rest = strip_start_if(text, is_not_space);
    out.push_back(text.substr(0, text.size() - rest.size()));
    text = strip_start(rest);
  }
  return out;
}

std::vector<std::string_view> rsplit_space(std::string_view text, int64_t limit) {
  std::vector<std::string_view> out;
  text = strip_end(text);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<int64_t>(out.size()) == limit) {
      out.push_back(text);
      break;
    }
    const std::string_view rest = strip_end_if(text, is_not_space);
    out.push_back(text.substr(rest.size()));
    text = strip_end(rest);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string_view> out;
  while (limit < 0 || static_cast<int64_t>(out.size()) < limit) {
    const size_t at = find_first(text, separator);
    if (at == npos) break;
    out.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  out.push_back(text);
  return out;
}

std::vector<std::string_view> rsplit(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string_view> out;
  while (limit < 0 || static_cast<int64_t>(out.size()) < limit) {
    const size_t at = find_last(text, separator);
    if (at == npos) break;
    out.push_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  out.push_back(text);
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> out;
  size_t start = 0, at = 0;
  while (at < text.size()) {
    const CodePoint point = first_code_point(text.substr(at));
    size_t next = at + static_cast<size_t>(point.length);
    if (is_line_break(point.code)) {
      if (point.code == '\r' && next < text.size() && text[next] == '\n') ++next;
      out.push_back(text.substr(start, (keep_ends ? next : at) - start));
      start = next;
    }
    at = next;
  }
  if (start < text.size()) out.push_back(text.substr(start));
  return out;
}

int64_t count(std::string_view text, std::string_view part) {
  if (part.empty()) return count_code_points(text) + 1;
  int64_t total = 0;
  for (size_t at = find_first(text, part); at != npos; at = find_first(text, part)) {
    text.remove_prefix(at + part.size());
    ++total;
  }
  return total;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  std::string out;
  int64_t done = 0;
  if (from.empty()) {
    while (limit < 0 || done < limit) {
      out += to;
      ++done;
      if (text.empty()) return out;
      const auto length = static_cast<size_t>(first_code_point(text).length);
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
    return out + std::string(text);
  }
  while (limit < 0 || done < limit) {
    const size_t at = find_first(text, from);
    if (at == npos) break;
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
    ++done;
  }
  return out + std::string(text);
}

}  // namespace duet::jinja
