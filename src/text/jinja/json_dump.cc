#include <algorithm>
#include <cmath>

#include "text/jinja/filter_tables.h"
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

  void set_indent(std::string unit) {
    indent_ = std::move(unit);
    item_separator_ = ",";
    pretty_ = true;
  }
  void set_separators(std::string item, std::string key) {
    item_separator_ = std::move(item);
    key_separator_ = std::move(key);
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
            if (code == 0x7f) {
              out_ += '\x7f';
            } else {
              out_ += fmt::format("\\u{:04x}", code);
            }
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
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += item_separator_;
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
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += item_separator_;
      new_line(level + 1);
      append_key(entries[i]->first);
      out_ += key_separator_;
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
  bool pretty_ = false;
  std::string indent_, item_separator_ = ", ", key_separator_ = ": ";
  std::string out_;
};

}  // namespace

Value filter_tojson(Runtime& runtime, Args& args) {
  const Bound bound(args, "tojson", {"x", "ensure_ascii", "indent", "separators", "sort_keys"}, 1);
  JsonDumper dumper(runtime, bound.truth(1, false), bound.truth(4, false));
  if (bound.has_value(2)) {
    if (bound[2].is_string()) {
      dumper.set_indent(bound[2].text());
    } else if (bound[2].is_small_integer()) {
      dumper.set_indent(repeat_text(runtime, " ", bound[2].integer_value()));
    } else {
      raise_type("can't multiply sequence by non-int of type '{}'", type_name(bound[2]));
    }
  }
  if (bound.has_value(3)) {
    const bool pair = (bound[3].is(Type::kTuple) || bound[3].is(Type::kList)) && bound[3].items().size() == 2;
    if (!pair || !bound[3].items()[0].is_string() || !bound[3].items()[1].is_string()) {
      raise_type("separators must be a pair of strings");
    }
    dumper.set_separators(bound[3].items()[0].text(), bound[3].items()[1].text());
  }
  return runtime.string(dumper.dump(bound[0]));
}

}  // namespace duet::jinja
