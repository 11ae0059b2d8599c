#include "text/jinja/urlize.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "text/jinja/attributes.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

bool is_word(char32_t code) { return code == '_' || has(code, kAlpha | kDecimal | kDigit | kNumeric); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), text.begin(), [](char a, char b) {
           return a == (is_letter(b) ? static_cast<char>(b | 0x20) : b);
         });
}

/// Bytes at the start that are word characters, '%', '-' or '.'.
size_t host_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint point = first_code_point(text.substr(at));
    if (!is_word(point.code) && point.code != '%' && point.code != '-' && point.code != '.') break;
    at += static_cast<size_t>(point.length);
  }
  return at;
}

/// (:port)?([/?#]...)? to the end
bool is_port_and_path(std::string_view text) {
  if (text.starts_with(':')) {
    size_t end = 1;
    while (end < text.size() && end <= 5 && is_digit(text[end])) ++end;
    if (end == 1) return false;
    text.remove_prefix(end);
  }
  return text.empty() || text[0] == '/' || text[0] == '?' || text[0] == '#';
}

bool is_top_level(std::string_view label) {
  if (starts_with_ignoring_case(label, "xn--")) {
    const std::u32string rest = decode(label.substr(4));
    return rest.size() >= 2 && rest.size() <= 59 && rest.find(U'-') == std::u32string::npos;
  }
  return label.size() >= 2 && label.size() <= 63 && std::all_of(label.begin(), label.end(), is_letter);
}

bool labels_are(std::string_view host, size_t shortest, size_t longest) {
  for (const std::string_view label : split(host, ".", -1)) {
    const size_t length = decode(label).size();
    if (length < shortest || length > longest) return false;
  }
  return true;
}

bool is_ip_address(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == npos || !is_port_and_path(text.substr(end + 1))) return false;
    const std::vector<std::string_view> groups = split(text.substr(1, end - 1), ":", -1);
    const bool valid = std::all_of(groups.begin(), groups.end(), [](std::string_view group) {
      return group.size() <= 4 && group.find_first_not_of("0123456789abcdefABCDEF") == npos;
    });
    return valid && groups.size() >= 3 && groups.size() <= 9;
  }
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::vector<std::string_view> parts = split(text.substr(0, end), ".", -1);
  return parts.size() == 4 && labels_are(text.substr(0, end), 1, 3) && is_port_and_path(text.substr(end));
}

bool is_web_address(std::string_view text) {
  std::string_view rest = text;
  bool scheme = false, known = false;
  for (const std::string_view prefix : {"https://", "http://", "www."}) {
    if (!starts_with_ignoring_case(rest, prefix)) continue;
    scheme = prefix != "www.";
    known = true;
    rest.remove_prefix(prefix.size());
    break;
  }
  if (scheme && is_ip_address(rest)) return true;
  const auto check = [](std::string_view host_and_path, bool basic) {
    const size_t end = host_length(host_and_path);
    const std::string_view host = host_and_path.substr(0, end);
    if (!is_port_and_path(host_and_path.substr(end))) return false;
    const size_t dot = host.rfind('.');
    const std::string_view top = dot == npos ? host : host.substr(dot + 1);
    if (!basic) return is_top_level(top) && (dot == npos || labels_are(host.substr(0, dot), 1, host.size()));
    constexpr std::array<std::string_view, 8> kTops{"com", "net", "int", "edu", "gov", "org", "info", "mil"};
    return dot != npos && labels_are(host.substr(0, dot), 2, 63) &&
           std::any_of(kTops.begin(), kTops.end(), [&](std::string_view known_top) {
             return top.size() == known_top.size() && starts_with_ignoring_case(top, known_top);
           });
  };
  return (known && check(rest, false)) || check(text, true);
}

bool is_mail_address(std::string_view text) {
  const size_t at = text.rfind('@');  // no other, for a host holds none
  if (at == npos || at == 0) return false;
  const std::u32string host = decode(text.substr(at + 1));
  const size_t dot = host.rfind(U'.');
  const bool shape = dot != std::u32string::npos && dot > 0 && dot + 1 < host.size() && is_word(host[0]);
  return shape &&
         std::all_of(host.begin(), host.end(), [](char32_t c) { return is_word(c) || c == '.' || c == '-'; }) &&
         std::all_of(host.begin() + static_cast<int64_t>(dot) + 1, host.end(), is_word);
}

constexpr std::array<std::string_view, 6> kTails{"&gt;", ")", ">", ".", ",", "\n"};

/// What is shown of a link.
std::string shortened(Runtime& runtime, const std::string& text, const Value& limit) {
  if (limit.is_missing()) return text;
  const Value whole = runtime.string(text);
  if (!compare(runtime, CompareOp::kGt, Value::integer(whole.as<String>().length), limit)) return text;
  return get_slice(runtime, whole, {}, limit, {}).text() + "...";
}

/// `attributes`: rel and target as they stand in the tag.
std::string link_word(Runtime& runtime, std::string_view word, const UrlizeOptions& options,
                      const std::string& attributes) {
  std::string_view middle_view = word;
  for (bool more = true; more;) {
    more = false;
    for (const std::string_view open : {"(", "<", "&lt;"}) {
      if (middle_view.starts_with(open)) {
        middle_view.remove_prefix(open.size());
        more = true;
      }
    }
  }
  const std::string head(word.substr(0, word.size() - middle_view.size()));
  std::string_view kept = middle_view;
  for (bool more = true; more;) {
    more = false;
    for (const std::string_view end : kTails) {
      if (kept.ends_with(end)) {
        kept.remove_suffix(end.size());
        more = true;
        break;
      }
    }
  }
  std::string middle(kept), tail(middle_view.substr(kept.size()));
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kPairs{
      {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}}};
  for (const auto& [open, close] : kPairs) {
    const int64_t opened = count(middle, open);
    if (opened <= count(middle, close)) continue;
    size_t taken = 0;
    for (int64_t i = std::min(opened, count(tail, close)); i > 0; --i) taken = tail.find(close, taken) + close.size();
    middle += tail.substr(0, taken);
    tail.erase(0, taken);
  }
  if (is_web_address(middle)) {
    const bool absolute = middle.starts_with("https://") || middle.starts_with("http://");
    middle = "<a href=\"" + std::string(absolute ? "" : "https://") + middle + "\"" + attributes + ">" +
             shortened(runtime, middle, options.trim_limit) + "</a>";
  } else if (middle.starts_with("mailto:") && is_mail_address(std::string_view(middle).substr(7))) {
    middle = "<a href=\"" + middle + "\">" + middle.substr(7) + "</a>";
  } else if (middle.find('@') != std::string::npos && !middle.starts_with("www.") && !middle.starts_with('@') &&
             middle.find(':') == std::string::npos && is_mail_address(middle)) {
    middle = "<a href=\"mailto:" + middle + "\">" + middle + "</a>";
  } else {
    for (const std::string& scheme : options.extra_schemes) {
      if (middle != scheme && middle.starts_with(scheme))
        middle = fmt::format("<a href=\"{0}\"{1}>{0}</a>", middle, attributes);
    }
  }
  return head + middle + tail;
}

}  // namespace

bool is_uri_scheme(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == npos) return false;
  const std::u32string name = decode(text.substr(0, colon));
  const std::string_view slashes = text.substr(colon + 1);
  return name.size() >= 2 && (slashes.empty() || slashes == "/" || slashes == "//") &&
         std::all_of(name.begin(), name.end(),
                     [](char32_t c) { return is_word(c) || c == '.' || c == '+' || c == '-'; });
}

std::string urlize(Runtime& runtime, std::string_view escaped, const UrlizeOptions& options) {
  runtime.budget.bytes(static_cast<int64_t>(escaped.size()) * 64);
  const std::string attributes = (options.rel.empty() ? "" : " rel=\"" + escape_html_text(options.rel) + "\"") +
                                 (options.target.empty() ? "" : " target=\"" + escape_html_text(options.target) + "\"");
  std::string out;
  while (!escaped.empty()) {
    const std::string_view after_space = strip_start(escaped);
    out += escaped.substr(0, escaped.size() - after_space.size());
    size_t end = 0;
    while (end < after_space.size()) {
      const CodePoint point = first_code_point(after_space.substr(end));
      if (has(point.code, kSpace)) break;
      end += static_cast<size_t>(point.length);
    }
    if (end > 0) out += link_word(runtime, after_space.substr(0, end), options, attributes);
    runtime.budget.check_size(static_cast<int64_t>(out.size()));
    escaped = after_space.substr(end);
  }
  return out;
}

}  // namespace duet::jinja
