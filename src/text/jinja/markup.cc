#include <algorithm>
#include <array>

#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

struct Entity {
  std::string_view name;
  char32_t first;
  char32_t second = 0;
};

constexpr Entity kEntities[] = {
// clang-format off
#include "text/jinja/html_entities.inc"
    // clang-format on
};

const Entity* find_entity(std::string_view name) {
  const Entity* found = std::lower_bound(std::begin(kEntities), std::end(kEntities), name,
                                         [](const Entity& item, std::string_view text) { return item.name < text; });
  return found != std::end(kEntities) && found->name == name ? found : nullptr;
}

constexpr auto npos = std::string_view::npos;

/// What browsers make of &#128; to &#159;.
constexpr std::array<char32_t, 32> kWindows{0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                            0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                            0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                            0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

/// A numeric reference after "&#"; appends the character and returns the bytes it took, or 0.
size_t numeric_entity(std::string_view text, std::string& out) {
  const bool hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  size_t at = hex ? 3 : 2;
  const size_t start = at;
  uint32_t code = 0;
  for (; at < text.size(); ++at) {
    const char c = static_cast<char>(text[at] | 0x20);
    int digit = c >= '0' && c <= '9' ? c - '0' : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (text[at] < '0') digit = -1;
    if (digit < 0) break;
    code = std::min<uint32_t>(0x110000, code * (hex ? 16 : 10) + static_cast<uint32_t>(digit));
  }
  if (at == start) return 0;
  if (at < text.size() && text[at] == ';') ++at;
  const bool control = (code >= 1 && code <= 8) || (code >= 0xe && code <= 0x1f) || (code >= 0x7f && code < 0x80) ||
                       code == 0xb || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
  if (code >= 0x80 && code < 0xa0) {
    append_code_point(out, kWindows[code - 0x80]);
  } else if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
    append_code_point(out, 0xfffd);
  } else if (!control) {
    append_code_point(out, code);
  }
  return at;
}

/// A named reference after '&': the whole name, or the longest start of it that is one, as old pages have it. Appends
/// the characters and returns the bytes it took, or 0.
size_t named_entity(std::string_view text, std::string& out) {
  constexpr size_t kLongest = 32;  // characters after the '&', as in html.unescape
  size_t end = 1, count = 0;
  while (end < text.size() && count < kLongest && std::string_view("\t\n\f <&#;").find(text[end]) == npos) {
    end += static_cast<size_t>(first_code_point(text.substr(end)).length);
    ++count;
  }
  if (count == 0) return 0;
  if (end < text.size() && text[end] == ';') ++end;
  for (; end > 2; --end) {
    const Entity* entity = find_entity(text.substr(1, end - 1));
    if (entity == nullptr) continue;
    append_code_point(out, entity->first);
    if (entity->second != 0) append_code_point(out, entity->second);
    return end;
  }
  return 0;
}

/// html.unescape
std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text[0] == '&') {
      const bool number = text.size() > 1 && text[1] == '#';
      const size_t used = number ? numeric_entity(text, out) : named_entity(text, out);
      if (used > 0) {
        text.remove_prefix(used);
        continue;
      }
    }
    out += text[0];
    text.remove_prefix(1);
  }
  return out;
}

/// Without tags and comments; what is never closed stays, with all that follows.
std::string without_tags(std::string_view text) {
  std::string out;
  while (true) {
    const size_t start = text.find('<');
    if (start == npos) return out + std::string(text);
    const bool comment = text.substr(start).starts_with("<!--");
    const size_t end = comment ? text.find("-->", start + 4) : text.find('>', start);
    if (end == npos) return out + std::string(text);
    out += text.substr(0, start);
    text.remove_prefix(end + (comment ? 3 : 1));
  }
}

}  // namespace

std::string strip_tags(Runtime& runtime, std::string_view text) {
  runtime.budget.bytes(static_cast<int64_t>(text.size()) * 8);
  const std::string plain = without_tags(text);
  std::string out;
  for (const std::string_view word : split_space(plain, -1)) out += (out.empty() ? "" : " ") + std::string(word);
  return unescape(out);
}

Value markup_method(Runtime& runtime, const Value& text, std::string_view name) {
  if (name == "striptags") {
    return make_function(
        "striptags", "method",
        [text](Runtime& rt, Args& args) {
          const Bound bound(args, "striptags", {}, 0);
          return rt.string(strip_tags(rt, text.text()));
        },
        1);
  }
  if (name == "unescape") {
    return make_function(
        "unescape", "method",
        [text](Runtime& rt, Args& args) {
          const Bound bound(args, "unescape", {}, 0);
          rt.budget.bytes(static_cast<int64_t>(text.text().size()) * 4);
          return rt.string(unescape(text.text()));
        },
        1);
  }
  if (name == "escape") {
    return make_function(
        "escape", "method",
        [](Runtime& rt, Args& args) {
          const Bound bound(args, "escape", {"/s"}, 1);
          return rt.string(escape_html(rt, bound[0]), true);
        },
        1);
  }
  static_cast<void>(runtime);
  return {};
}

}  // namespace duet::jinja
