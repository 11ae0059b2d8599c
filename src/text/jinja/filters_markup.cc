#include <algorithm>
#include <set>

#include "text/jinja/filter_tables.h"
#include "text/jinja/iterators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"
#include "text/jinja/urlize.h"

namespace duet::jinja {
namespace {

Value filter_escape(Runtime& runtime, Args& args) {
  const Bound bound(args, "escape", {"/s"}, 1);
  return runtime.string(escape_html(runtime, bound[0]), true);
}

Value filter_force_escape(Runtime& runtime, Args& args) {
  const Bound bound(args, "forceescape", {"value"}, 1);
  return runtime.string(escape_html_text(to_text(runtime, bound[0])), true);
}

Value filter_safe(Runtime& runtime, Args& args) {
  const Bound bound(args, "safe", {"value"}, 1);
  return runtime.string(to_text(runtime, bound[0]), true);
}

Value filter_strip_tags(Runtime& runtime, Args& args) {
  const Bound bound(args, "striptags", {"value"}, 1);
  return runtime.string(strip_tags(runtime, to_text(runtime, bound[0])));
}

/// urllib.parse.quote of the UTF-8 bytes; in a query string a blank becomes '+' and '/' is quoted.
std::string quote_url(Runtime& runtime, const Value& value, bool query) {
  std::string text = value.is(Type::kBytes) ? value.as<Bytes>().bytes : to_text(runtime, value);
  if (has_surrogate(text)) raise_type("'utf-8' codec can't encode character: surrogates not allowed");
  runtime.budget.check_size(static_cast<int64_t>(text.size()) * 3);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '.' || c == '-' || c == '~';
    if (plain || (c == '/' && !query)) {
      out += c;
    } else if (c == ' ' && query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

Value filter_urlencode(Runtime& runtime, Args& args) {
  const Bound bound(args, "urlencode", {"value"}, 1);
  const Value& value = bound[0];
  if (value.is_string() || !is_iterable(value)) return runtime.string(quote_url(runtime, value, false));
  std::string out;
  const auto add = [&](const Value& key, const Value& item) {
    out += (out.empty() ? "" : "&") + quote_url(runtime, key, true) + "=" + quote_url(runtime, item, true);
    runtime.budget.check_size(static_cast<int64_t>(out.size()));
  };
  if (value.is(Type::kDict)) {
    for (const auto& [key, item] : value.as<Dict>().entries()) add(key, item);
  } else {
    for (const Value& pair : collect(runtime, value)) {
      const std::vector<Value> parts = collect(runtime, pair);
      if (parts.size() != 2) raise_type("expected 2 values to unpack, got {}", parts.size());
      add(parts[0], parts[1]);
    }
  }
  return runtime.string(std::move(out));
}

Value filter_xmlattr(Runtime& runtime, Args& args) {
  const Bound bound(args, "xmlattr", {"d", "autospace"}, 1);
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  if (!bound[0].is(Type::kDict)) raise_type("'{}' object has no attribute 'items'", type_name(bound[0]));
  std::string out;
  for (const auto& [key, value] : bound[0].as<Dict>().entries()) {
    if (value.is_none() || value.is_undefined()) continue;
    if (!key.is_string()) raise_type("expected string or bytes-like object, got '{}'", type_name(key));
    if (key.text().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      raise_type("Invalid character in attribute name: {}", string_repr(key.text()));
    }
    out += (out.empty() ? "" : " ") + escape_html(runtime, key) + "=\"" + escape_html(runtime, value) + "\"";
  }
  if (bound.truth(1, true) && !out.empty()) out.insert(0, " ");
  return runtime.string(std::move(out), runtime.autoescape);
}

Value filter_urlize(Runtime& runtime, Args& args) {
  const Bound bound(args, "urlize", {"value", "trim_url_limit", "nofollow", "target", "rel", "extra_schemes"}, 1);
  UrlizeOptions options;
  std::set<std::string> rel{"noopener"};
  if (bound.has_value(4) && truthy(bound[4])) {
    for (const std::string_view word : split_space(bound.text(4).text(), -1)) rel.emplace(word);
  }
  if (bound.truth(2, false)) rel.emplace("nofollow");
  for (const std::string& word : rel) options.rel += (options.rel.empty() ? "" : " ") + word;
  if (bound.has_value(3) && truthy(bound[3])) options.target = to_text(runtime, bound[3]);
  if (bound.has_value(1)) options.trim_limit = bound[1];
  if (bound.has_value(5)) {
    for (const Value& scheme : collect(runtime, bound[5])) {
      if (!scheme.is_string()) raise_type("expected string or bytes-like object, got '{}'", type_name(scheme));
      if (!is_uri_scheme(scheme.text())) {
        raise(TemplateErrorKind::kRuntime, "{} is not a valid URI scheme prefix.", string_repr(scheme.text()));
      }
      options.extra_schemes.push_back(scheme.text());
    }
  }
  return runtime.string(urlize(runtime, escape_html(runtime, bound[0]), options), runtime.autoescape);
}

constexpr Builtin kFilters[] = {
    {"e", filter_escape},      {"escape", filter_escape},        {"forceescape", filter_force_escape},
    {"safe", filter_safe},     {"striptags", filter_strip_tags}, {"urlencode", filter_urlencode},
    {"urlize", filter_urlize}, {"xmlattr", filter_xmlattr},
};

}  // namespace

std::span<const Builtin> markup_filters() { return kFilters; }

}  // namespace duet::jinja
