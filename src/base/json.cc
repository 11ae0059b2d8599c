#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>  // the only file that includes it: its headers cost seconds
#include <unordered_set>

#include "base/error.h"
#include "base/utf8.h"

namespace duet {
namespace {

/// Hands on nlohmann's events (its parser is iterative, so depth costs no stack) with numbers kept exact and limits
/// kept.
class Adapter {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  Adapter(std::string_view name, const JsonLimits& limits, JsonEvents& events)
      : name_(name), limits_(limits), events_(events) {}

  bool null() { return scalar(Json(nullptr)); }
  bool boolean(bool v) { return scalar(Json(v)); }
  bool number_integer(number_integer_t v) { return scalar(Json(static_cast<int64_t>(v))); }
  bool number_unsigned(number_unsigned_t v) {
    if (v <= static_cast<uint64_t>(INT64_MAX)) return scalar(Json(static_cast<int64_t>(v)));
    return scalar(Json(Json::BigInteger{std::to_string(v)}));
  }
  bool number_float(number_float_t v, const string_t& text) {
    // nlohmann reports integers beyond 64 bits here; their text tells them apart.
    if (text.find_first_of(".eE") == std::string::npos) return scalar(Json(Json::BigInteger{text}));
    return scalar(Json(static_cast<double>(v)));
  }
  bool string(string_t& v) { return scalar(Json(std::move(v))); }
  bool binary(binary_t&) { return false; }
  bool start_object(std::size_t) {
    open();
    events_.begin_object();
    return true;
  }
  bool start_array(std::size_t) {
    open();
    events_.begin_array();
    return true;
  }
  bool key(string_t& v) {
    events_.key(std::move(v));
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) {
    std::string reason = e.what();
    if (const auto colon = reason.rfind("; "); colon != std::string::npos) reason = reason.substr(colon + 2);
    if (reason.find("number overflow") != std::string::npos) reason = "number out of the range of a double";
    fail(ErrorCode::kBadJson, "{}: not JSON at byte {}: {}", name_, position, printable(reason, 200));
  }

 private:
  void count_value() {
    if (++values_ > limits_.max_values) {
      fail(ErrorCode::kTooLarge, "{}: more than {} JSON values", name_, limits_.max_values);
    }
  }
  bool scalar(Json v) {
    count_value();
    events_.scalar(std::move(v));
    return true;
  }
  void open() {
    if (depth_ >= limits_.max_depth) {
      fail(ErrorCode::kTooDeep, "{}: JSON is nested deeper than {} levels", name_, limits_.max_depth);
    }
    ++depth_;
    count_value();
  }
  bool close() {
    --depth_;
    events_.end();
    return true;
  }

  std::string_view name_;
  JsonLimits limits_;
  JsonEvents& events_;
  int64_t depth_ = 0;
  int64_t values_ = 0;
};

/// Builds a Json from events.
class Builder final : public JsonEvents {
 public:
  Builder(std::string_view name, bool allow_duplicate_keys)
      : name_(name), allow_duplicate_keys_(allow_duplicate_keys) {}

  void scalar(Json v) override { add(std::move(v)); }
  void begin_object() override { stack_.push_back(Level{Json(Json::Object{}), {}, false, {}}); }
  void begin_array() override { stack_.push_back(Level{Json(Json::Array{}), {}, false, {}}); }
  void key(std::string v) override {
    Level& level = stack_.back();
    level.replace = !level.keys.insert(v).second;
    if (level.replace && !allow_duplicate_keys_) {
      fail(ErrorCode::kBadKey, "{}: key '{}' stands twice in one object", name_, printable(v));
    }
    level.key = std::move(v);
  }
  void end() override {
    Json v = std::move(stack_.back().value);
    stack_.pop_back();
    add(std::move(v));
  }
  Json take() { return std::move(root_); }

 private:
  struct Level {
    Json value;
    std::string key;
    bool replace = false;
    std::unordered_set<std::string> keys;
  };

  void add(Json v) {
    if (stack_.empty()) {
      root_ = std::move(v);
      return;
    }
    Level& level = stack_.back();
    if (level.value.is_array()) {
      level.value.array().push_back(std::move(v));
    } else if (level.replace) {
      auto& members = level.value.object();
      std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.first == level.key; })->second =
          std::move(v);
    } else {
      level.value.object().emplace_back(std::move(level.key), std::move(v));
    }
  }

  std::string_view name_;
  bool allow_duplicate_keys_;
  Json root_;
  std::vector<Level> stack_;
};

void dump_to(const Json& json, std::string& out) {
  struct Visitor {
    std::string& out;
    void operator()(std::nullptr_t) const { out += "null"; }
    void operator()(bool v) const { out += v ? "true" : "false"; }
    void operator()(int64_t v) const { out += std::to_string(v); }
    void operator()(const Json::BigInteger& v) const { out += v.digits; }
    void operator()(double v) const {
      if (!std::isfinite(v)) {
        out += "null";
        return;
      }
      char buffer[32];
      const auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
      out.append(buffer, end);
      if (std::string_view(buffer, static_cast<size_t>(end - buffer)).find_first_of(".e") == std::string_view::npos) {
        out += ".0";
      }
    }
    void operator()(const std::string& v) const { out += json_quote(v); }
    void operator()(const Json::Array& v) const {
      out += '[';
      for (size_t i = 0; i < v.size(); ++i) {
        if (i > 0) out += ',';
        dump_to(v[i], out);
      }
      out += ']';
    }
    void operator()(const Json::Object& v) const {
      out += '{';
      for (size_t i = 0; i < v.size(); ++i) {
        if (i > 0) out += ',';
        out += json_quote(v[i].first);
        out += ':';
        dump_to(v[i].second, out);
      }
      out += '}';
    }
  };
  std::visit(Visitor{out}, json.value());
}

}  // namespace

double Json::number() const {
  if (is_integer()) return static_cast<double>(integer());
  if (is_float()) return std::get<double>(value_);
  const std::string& digits = std::get<BigInteger>(value_).digits;
  double v = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), v);
  return v;
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const Member& member : object()) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

std::string_view Json::kind_name() const {
  static constexpr std::string_view kNames[] = {"null",   "bool",   "integer", "integer",
                                                "number", "string", "array",   "object"};
  return kNames[value_.index()];
}

std::string Json::dump() const {
  std::string out;
  dump_to(*this, out);
  return out;
}

void parse_json_events(std::string_view text, std::string_view name, const JsonLimits& limits, JsonEvents& events) {
  if (text.starts_with("\xef\xbb\xbf")) {
    fail(ErrorCode::kBadJson, "{}: not JSON at byte 0: a byte order mark stands in front", name);
  }
  Adapter adapter(name, limits, events);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &adapter)) {
    fail(ErrorCode::kBadJson, "{}: not JSON", name);
  }
}

Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits) {
  Builder builder(name, limits.allow_duplicate_keys);
  parse_json_events(text, name, limits, builder);
  return builder.take();
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  const std::string valid = replace_invalid_utf8(text);
  for (size_t i = 0; i < valid.size(); ++i) {
    const char c = valid[i];
    // Legal as they are, but many readers of lines take them for line ends: NEL, LINE and PARAGRAPH SEPARATOR.
    const std::string_view rest = std::string_view(valid).substr(i);
    if (rest.starts_with("\xc2\x85")) {
      out += "\\u0085";
      i += 1;
      continue;
    }
    if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) {
      out += rest.starts_with("\xe2\x80\xa8") ? "\\u2028" : "\\u2029";
      i += 2;
      continue;
    }
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

}  // namespace duet
