#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/filter_tables.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

constexpr int64_t kWidth = 80;  // of pprint.pformat()

/// str(type(x)): what keys that cannot be compared are ordered by.
std::string class_text(const Value& value) {
  const std::string name = type_name(value);
  return value.is_markup() ? "<class 'markupsafe.Markup'>" : "<class '" + name + "'>";
}

bool key_less(Runtime& runtime, const Value& a, const Value& b) {
  try {
    return less(runtime, a, b);
  } catch (const TemplateError& error) {
    if (error.kind() != TemplateErrorKind::kType) throw;
    return class_text(a) < class_text(b);
  }
}

/// pprint.pformat(): what fits into a row of 80 stands there as repr() with sorted keys, anything longer is spread over
/// rows. `indent` is the column in which a value begins, `allowance` what must follow its last row.
class PrettyPrinter {
 public:
  explicit PrettyPrinter(Runtime& runtime) : runtime_(runtime) {}

  std::string print(const Value& value) {
    format(value, 0, 0, 0);
    return std::move(out_);
  }

 private:
  void write(std::string_view text) {
    out_ += text;
    runtime_.budget.check_size(static_cast<int64_t>(out_.size()));
  }
  void new_row(int64_t indent) {
    write("\n");
    write(std::string(static_cast<size_t>(indent), ' '));
  }

  static bool is_plain_sequence(const Value& value) {
    const bool sequence = value.is(Type::kList) || value.is(Type::kTuple);
    return sequence && !value.as<Sequence>().group;  // groups of groupby print themselves
  }

  std::vector<Dict::Entry> sorted_entries(const Value& dict) {
    std::vector<Dict::Entry> entries = dict.as<Dict>().entries();
    merge_sort(runtime_, entries, key_less);
    return entries;
  }

  void append_repr(const Value& value, std::string& out) {
    const Budget::Nesting nesting(runtime_.budget);
    runtime_.budget.check_size(static_cast<int64_t>(out.size()));
    if (value.is(Type::kDict)) {
      out += '{';
      std::string_view separator;
      for (const auto& [key, item] : sorted_entries(value)) {
        out += separator;
        append_repr(key, out);
        out += ": ";
        append_repr(item, out);
        separator = ", ";
      }
      out += '}';
    } else if (is_plain_sequence(value)) {
      const bool tuple = value.is(Type::kTuple);
      out += tuple ? '(' : '[';
      std::string_view separator;
      for (const Value& item : value.items()) {
        out += separator;
        append_repr(item, out);
        separator = ", ";
      }
      out += !tuple ? "]" : value.items().size() == 1 ? ",)" : ")";
    } else {
      jinja::append_repr(runtime_, value, out);
    }
  }

  std::string repr(const Value& value) {
    std::string out;
    append_repr(value, out);
    runtime_.budget.bytes(static_cast<int64_t>(out.size()) * 4);
    return out;
  }

  void format(const Value& value, int64_t indent, int64_t allowance, int level) {
    const Budget::Nesting nesting(runtime_.budget);
    runtime_.budget.step();
    const std::string whole = repr(value);
    if (count_code_points(whole) <= kWidth - indent - allowance) return write(whole);
    if (value.is(Type::kDict)) {
      format_dict(value, indent, allowance + 1, level + 1);
    } else if (is_plain_sequence(value)) {
      format_items(value, indent, allowance, level + 1);
    } else if (value.is_string() && !value.is_markup()) {
      format_rows(text_rows(value.text(), whole, indent, allowance, level == 0), indent, level == 0);
    } else if (value.is(Type::kBytes) && value.as<Bytes>().bytes.size() > 4) {
      format_rows(bytes_rows(value.as<Bytes>().bytes, indent, allowance, level == 0), indent, level == 0, true);
    } else {
      write(whole);
    }
  }

  void format_dict(const Value& dict, int64_t indent, int64_t allowance, int level) {
    write("{");
    const std::vector<Dict::Entry> entries = sorted_entries(dict);
    for (size_t i = 0; i < entries.size(); ++i) {
      const bool last = i + 1 == entries.size();
      const std::string key = repr(entries[i].first);
      write(key);
      write(": ");
      format(entries[i].second, indent + 1 + count_code_points(key) + 2, last ? allowance : 1, level);
      if (last) break;
      write(",");
      new_row(indent + 1);
    }
    write("}");
  }

  void format_items(const Value& sequence, int64_t indent, int64_t allowance, int level) {
    const std::vector<Value>& items = sequence.items();
    const std::string_view end = sequence.is(Type::kList) ? "]" : items.size() == 1 ? ",)" : ")";
    write(sequence.is(Type::kList) ? "[" : "(");
    for (size_t i = 0; i < items.size(); ++i) {
      const bool last = i + 1 == items.size();
      format(items[i], indent + 1, last ? allowance + static_cast<int64_t>(end.size()) : 1, level);
      if (last) break;
      write(",");
      new_row(indent + 1);
    }
    write(end);
  }

  /// `always_in_brackets`: bytes have them even around one row.
  void format_rows(const std::vector<std::string>& rows, int64_t indent, bool outermost,
                   bool always_in_brackets = false) {
    const bool brackets = outermost && (rows.size() > 1 || always_in_brackets);
    if (brackets) write("(");
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i > 0) new_row(indent + (outermost ? 1 : 0));
      write(rows[i]);
    }
    if (brackets) write(")");
  }

  /// A text as literals, one a row: lines that fit stand alone, others are cut behind white space.
  std::vector<std::string> text_rows(const std::string& text, const std::string& whole, int64_t indent,
                                     int64_t allowance, bool outermost) {
    if (text.empty()) return {whole};
    if (outermost) {
      ++indent;
      ++allowance;
    }
    const int64_t width = kWidth - indent;
    std::vector<std::string> rows;
    const std::vector<std::string_view> lines = split_lines(text, true);
    for (size_t i = 0; i < lines.size(); ++i) {
      const bool last_line = i + 1 == lines.size();
      std::string line = string_repr(lines[i]);
      runtime_.budget.bytes(static_cast<int64_t>(line.size()) * 4);
      if (count_code_points(line) <= width - (last_line ? allowance : 0)) {
        rows.push_back(std::move(line));
      } else {
        append_parts(lines[i], width, last_line ? allowance : 0, rows);
      }
    }
    return rows;
  }

  void append_parts(std::string_view line, int64_t width, int64_t allowance, std::vector<std::string>& rows) {
    size_t row_begin = 0;
    for (size_t begin = 0; begin < line.size();) {
      const size_t end = part_end(line, begin);
      if (end == line.size()) width -= allowance;
      const std::string candidate = string_repr(line.substr(row_begin, end - row_begin));
      runtime_.budget.bytes(static_cast<int64_t>(candidate.size()) * 4);
      if (count_code_points(candidate) > width && begin > row_begin) {
        rows.push_back(string_repr(line.substr(row_begin, begin - row_begin)));
        row_begin = begin;
      }
      begin = end;
    }
    rows.push_back(string_repr(line.substr(row_begin)));
  }

  /// The end of a word and the white space behind it.
  static size_t part_end(std::string_view line, size_t at) {
    bool in_space = false;
    while (at < line.size()) {
      const CodePoint point = first_code_point(line.substr(at));
      const bool space = has(point.code, kSpace);
      if (in_space && !space) break;
      in_space = space;
      at += static_cast<size_t>(point.length);
    }
    return at;
  }

  /// Bytes as literals, cut at multiples of four.
  std::vector<std::string> bytes_rows(const std::string& bytes, int64_t indent, int64_t allowance, bool outermost) {
    if (outermost) {
      ++indent;
      ++allowance;
    }
    int64_t width = kWidth - indent;
    const auto repr_of = [&](size_t begin, size_t end) {
      return repr(make_object<Bytes>(Type::kBytes, nullptr, bytes.substr(begin, end - begin)));
    };
    std::vector<std::string> rows;
    size_t row_begin = 0;
    for (size_t begin = 0; begin < bytes.size(); begin += 4) {
      if (begin == bytes.size() / 4 * 4) width -= allowance;
      const size_t end = std::min(begin + 4, bytes.size());
      if (count_code_points(repr_of(row_begin, end)) > width && begin > row_begin) {
        rows.push_back(repr_of(row_begin, begin));
        row_begin = begin;
      }
    }
    rows.push_back(repr_of(row_begin, bytes.size()));
    return rows;
  }

  Runtime& runtime_;
  std::string out_;
};

}  // namespace

Value filter_pprint(Runtime& runtime, Args& args) {
  const Bound bound(args, "pprint", {"value"}, 1);
  return runtime.string(PrettyPrinter(runtime).print(bound[0]));
}

}  // namespace duet::jinja
