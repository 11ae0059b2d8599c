#include <algorithm>
#include <cmath>

#include "text/jinja/filter_tables.h"
#include "text/jinja/iterators.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

/// json.dumps of Python's standard library.
class JsonDumper {
 public:
  JsonDumper(Runtime& runtime, bool ensure_ascii, bool sort_keys)
      : runtime_(runtime), ensure_ascii_(ensure_ascii), sort_keys_(sort_keys) {}

  /// A str, or a number of blanks.
  void set_indent(const Value& unit) {
    if (unit.is_undefined()) fail_undefined(unit);
    if (!unit.is_string() && !unit.is_integral())
      raise_type("can't multiply sequence by non-int of type '{}'", type_name(unit));
    if (unit.is(Type::kBigInt) && !to_bigint(unit).negative())
      raise_limit("cannot fit 'int' into an index-sized integer");
    if (unit.is_string()) indent_ = unit.text();
    if (unit.is_small_integer()) indent_ = repeat_text(runtime_, " ", unit.integer_value());
    if (!separators_given_) item_separator_ = runtime_.string(",");
    pretty_ = true;
  }
  /// Only a container that is spread over lines looks at them when it uses them; else they must be texts beforehand.
  void set_separators(const Value& pair) {
    const std::vector<Value> parts = collect(runtime_, pair);
    if (parts.size() != 2) raise_type("separators: 2 values are wanted, not {}", parts.size());
    separators_given_ = true;
    item_separator_ = parts[0];
    key_separator_ = parts[1];
  }
  void check_separators() const {
    if (!pretty_) static_cast<void>(separator(item_separator_).size() + separator(key_separator_).size());
  }

  std::string dump(const Value& value) {
    append(value, 0);
    return std::move(out_);
  }

 private:
  void append(const Value& value, int64_t level) {
    const Budget::Nesting nesting(runtime_.budget);
    runtime_.budget.items(1);
    runtime_.budget.check_size(static_cast<int64_t>(out_.size()));
    switch (value.type()) {
      case Type::kNone:
        out_ += "null";
        break;
      case Type::kBool:
        out_ += value.integer_value() != 0 ? "true" : "false";
        break;
      case Type::kInt:
      case Type::kBigInt:
        out_ += integer_text(value);
        break;
      case Type::kFloat:
        out_ += float_text(value.real_value());
        break;
      case Type::kString:
        append_string(value.text());
        break;
      case Type::kList:
      case Type::kTuple:
        append_list(value.items(), level);
        break;
      case Type::kDict:
        append_dict(value.as<Dict>(), level);
        break;
      default:
        raise_type("Object of type {} is not JSON serializable", type_name(value));
    }
  }

  static std::string float_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return float_repr(value);
  }

  void append_string(std::string_view text) {
    out_ += '"';
    while (!text.empty()) {
      const CodePoint point = first_code_point(text);
      const auto code = static_cast<uint32_t>(point.code);
      switch (code) {
        case '"':
          out_ += "\\\"";
          break;
        case '\\':
          out_ += "\\\\";
          break;
        case '\n':
          out_ += "\\n";
          break;
        case '\r':
          out_ += "\\r";
          break;
        case '\t':
          out_ += "\\t";
          break;
        case '\f':
          out_ += "\\f";
          break;
        case '\b':
          out_ += "\\b";
          break;
        default:
          if (code < 0x20 || (ensure_ascii_ && code > 0x7e && code < 0x10000)) {
            out_ += fmt::format("\\u{:04x}", code);
          } else if (ensure_ascii_ && code >= 0x10000) {
            out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((code - 0x10000) >> 10),
                                0xdc00 + ((code - 0x10000) & 0x3ff));
          } else {
            out_ += text.substr(0, static_cast<size_t>(point.length));
          }
      }
      text.remove_prefix(static_cast<size_t>(point.length));
    }
    out_ += '"';
  }

  static const std::string& separator(const Value& value) {
    if (!value.is_string()) raise_type("a separator must be str, not {}", type_name(value));
    return value.text();
  }

  void new_line(int64_t level) {
    if (!pretty_) return;
    out_ += '\n' + repeat_text(runtime_, indent_, level);
  }

  void append_list(const std::vector<Value>& items, int64_t level) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    const std::string& between = separator(item_separator_);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += between;
      new_line(level + 1);
      append(items[i], level + 1);
    }
    new_line(level);
    out_ += ']';
  }

  void append_key(const Value& key) {
    switch (key.type()) {
      case Type::kString:
        append_string(key.text());
        break;
      case Type::kNone:
        out_ += "\"null\"";
        break;
      case Type::kBool:
        out_ += key.integer_value() != 0 ? "\"true\"" : "\"false\"";
        break;
      case Type::kInt:
      case Type::kBigInt:
        out_ += '"' + integer_text(key) + '"';
        break;
      case Type::kFloat:
        out_ += '"' + float_text(key.real_value()) + '"';
        break;
      default:
        raise_type("keys must be str, int, float, bool or None, not {}", type_name(key));
    }
  }

  void append_dict(const Dict& dict, int64_t level) {
    if (dict.entries().empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const Dict::Entry*> entries;
    for (const auto& entry : dict.entries()) entries.push_back(&entry);
    if (sort_keys_) sort_entries(entries);
    out_ += '{';
    const std::string &between = separator(item_separator_), &behind_key = separator(key_separator_);
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += between;
      new_line(level + 1);
      append_key(entries[i]->first);
      out_ += behind_key;
      append(entries[i]->second, level + 1);
    }
    new_line(level);
    out_ += '}';
  }

  void sort_entries(std::vector<const Dict::Entry*>& entries) {
    // An insertion sort by halves: comparing keys of different types throws in the middle.
    std::vector<const Dict::Entry*> sorted;
    for (const Dict::Entry* entry : entries) {
      runtime_.budget.items(static_cast<int64_t>(sorted.size() / 16 + 8));
      size_t low = 0, high = sorted.size();
      while (low < high) {
        const size_t middle = (low + high) / 2;
        if (less(runtime_, entry->first, sorted[middle]->first)) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      sorted.insert(sorted.begin() + static_cast<int64_t>(low), entry);
    }
    entries = std::move(sorted);
  }

  Runtime& runtime_;
  bool ensure_ascii_, sort_keys_;
  bool pretty_ = false, separators_given_ = false;
  std::string indent_;
  Value item_separator_ = runtime_.string(", "), key_separator_ = runtime_.string(": ");
  std::string out_;
};

}  // namespace

Value filter_tojson(Runtime& runtime, Args& args) {
  const Bound bound(args, "tojson", {"x", "ensure_ascii", "indent", "separators", "sort_keys"}, 1);
  JsonDumper dumper(runtime, bound.truth(1, false), bound.truth(4, false));
  const bool text = bound[0].is_string();  // looks at neither indent nor separators
  if (bound.has_value(3)) dumper.set_separators(bound[3]);
  if (bound.has_value(2) && !text) dumper.set_indent(bound[2]);
  if (!text) dumper.check_separators();
  return runtime.string(dumper.dump(bound[0]));
}

}  // namespace duet::jinja
