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
  char32_t code;
};

/// The named characters of HTML that texts use; others stay as they are written.
constexpr Entity kEntities[] = {
    {"AMP", '&'},      {"GT", '>'},        {"LT", '<'},       {"QUOT", '"'},     {"aacute", 0xe1}, {"acirc", 0xe2},
    {"acute", 0xb4},   {"aelig", 0xe6},    {"agrave", 0xe0},  {"alpha", 0x3b1},  {"amp", '&'},     {"apos", '\''},
    {"aring", 0xe5},   {"atilde", 0xe3},   {"auml", 0xe4},    {"beta", 0x3b2},   {"brvbar", 0xa6}, {"bull", 0x2022},
    {"ccedil", 0xe7},  {"cedil", 0xb8},    {"cent", 0xa2},    {"copy", 0xa9},    {"curren", 0xa4}, {"deg", 0xb0},
    {"divide", 0xf7},  {"eacute", 0xe9},   {"ecirc", 0xea},   {"egrave", 0xe8},  {"eth", 0xf0},    {"euml", 0xeb},
    {"euro", 0x20ac},  {"frac12", 0xbd},   {"frac14", 0xbc},  {"frac34", 0xbe},  {"gamma", 0x3b3}, {"ge", 0x2265},
    {"gt", '>'},       {"hellip", 0x2026}, {"iacute", 0xed},  {"icirc", 0xee},   {"iexcl", 0xa1},  {"igrave", 0xec},
    {"infin", 0x221e}, {"iquest", 0xbf},   {"iuml", 0xef},    {"lambda", 0x3bb}, {"laquo", 0xab},  {"larr", 0x2190},
    {"ldquo", 0x201c}, {"le", 0x2264},     {"lsquo", 0x2018}, {"lt", '<'},       {"macr", 0xaf},   {"mdash", 0x2014},
    {"micro", 0xb5},   {"middot", 0xb7},   {"minus", 0x2212}, {"mu", 0x3bc},     {"nbsp", 0xa0},   {"ndash", 0x2013},
    {"ne", 0x2260},    {"not", 0xac},      {"ntilde", 0xf1},  {"oacute", 0xf3},  {"ocirc", 0xf4},  {"ograve", 0xf2},
    {"omega", 0x3c9},  {"ordf", 0xaa},     {"ordm", 0xba},    {"oslash", 0xf8},  {"otilde", 0xf5}, {"ouml", 0xf6},
    {"para", 0xb6},    {"pi", 0x3c0},      {"plusmn", 0xb1},  {"pound", 0xa3},   {"quot", '"'},    {"raquo", 0xbb},
    {"rarr", 0x2192},  {"rdquo", 0x201d},  {"reg", 0xae},     {"rsquo", 0x2019}, {"sect", 0xa7},   {"shy", 0xad},
    {"sup1", 0xb9},    {"sup2", 0xb2},     {"sup3", 0xb3},    {"szlig", 0xdf},   {"thorn", 0xfe},  {"times", 0xd7},
    {"trade", 0x2122}, {"uacute", 0xfa},   {"ucirc", 0xfb},   {"ugrave", 0xf9},  {"uml", 0xa8},    {"uuml", 0xfc},
    {"yacute", 0xfd},  {"yen", 0xa5},      {"yuml", 0xff},
};

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

/// html.unescape
std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text[0] == '&') {
      if (text.size() > 1 && text[1] == '#') {
        if (const size_t used = numeric_entity(text, out); used > 0) {
          text.remove_prefix(used);
          continue;
        }
      }
      const size_t end = text.substr(0, 13).find(';');  // no name is longer
      const auto entity = end > 12 ? std::end(kEntities)
                                   : std::find_if(std::begin(kEntities), std::end(kEntities), [&](const Entity& item) {
                                       return item.name == text.substr(1, end - 1);
                                     });
      if (end != std::string_view::npos && entity != std::end(kEntities)) {
        append_code_point(out, entity->code);
        text.remove_prefix(end + 1);
        continue;
      }
    }
    out += text[0];
    text.remove_prefix(1);
  }
  return out;
}

/// Removes everything from `open` to `close`, from left to right; what is never closed stays.
std::string remove_between(std::string_view text, std::string_view open, std::string_view close) {
  std::string out;
  while (true) {
    const size_t start = text.find(open);
    const size_t end = start == std::string_view::npos ? start : text.find(close, start);
    if (end == std::string_view::npos) return out + std::string(text);
    out += text.substr(0, start);
    text.remove_prefix(end + close.size());
  }
}

}  // namespace

std::string strip_tags(Runtime& runtime, std::string_view text) {
  runtime.budget.bytes(static_cast<int64_t>(text.size()) * 8);
  const std::string plain = remove_between(remove_between(text, "<!--", "-->"), "<", ">");
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
