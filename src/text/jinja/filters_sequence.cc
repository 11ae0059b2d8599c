#include <algorithm>
#include <cmath>

#include "text/jinja/attributes.h"
#include "text/jinja/filter_tables.h"
#include "text/jinja/iterators.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {

std::vector<Value> attribute_path(Runtime& runtime, const Value& attribute) {
  std::vector<Value> path;
  if (attribute.is_missing() || attribute.is_none()) return path;
  if (!attribute.is_string()) return {attribute};
  for (const std::string_view part : split(attribute.text(), ".", -1)) {
    const std::u32string codes = decode(part);
    const bool digits =
        !codes.empty() && std::all_of(codes.begin(), codes.end(), [](char32_t code) { return has(code, kDigit); });
    if (!digits) {
      path.push_back(runtime.string(std::string(part)));
      continue;
    }
    std::string ascii;
    for (const char32_t code : codes) {
      const int digit = decimal_value(code);
      if (digit < 0) raise_type("invalid literal for int() with base 10: '{}'", part);
      ascii += static_cast<char>('0' + digit);
    }
    if (ascii.size() > 4300) raise_type("an index of {} digits", ascii.size());
    path.push_back(make_integer(BigInt::parse(ascii, 10).value_or(BigInt())));
  }
  return path;
}

Value follow_path(Runtime& runtime, Value item, const std::vector<Value>& path, const Value& fallback) {
  for (const Value& part : path) {
    item = get_item(runtime, item, part);
    if (item.is_undefined() && !fallback.is_missing() && !fallback.is_none()) item = fallback;
  }
  return item;
}

Value ignore_case(Runtime& runtime, const Value& value) {
  return value.is_string() ? runtime.string(to_lower(value.text()), value.is_markup()) : value;
}

void merge_sort(Runtime& runtime, std::vector<std::pair<Value, Value>>& items,
                bool (*before)(Runtime&, const Value&, const Value&)) {
  std::vector<std::pair<Value, Value>> other(items.size());
  for (size_t width = 1; width < items.size(); width *= 2) {
    for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, items.size()), end = std::min(begin + 2 * width, items.size());
      size_t left = begin, right = middle;
      for (size_t out = begin; out < end; ++out) {
        runtime.budget.items(2);
        const bool take_right =
            left == middle || (right < end && before(runtime, items[right].first, items[left].first));
        other[out] = std::move(items[take_right ? right++ : left++]);
      }
    }
    items.swap(other);
  }
}

namespace {

std::vector<Value> sorted(Runtime& runtime, const std::vector<Value>& values, const std::vector<Value>& keys,
                          bool reverse) {
  std::vector<std::pair<Value, Value>> pairs;
  pairs.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) pairs.emplace_back(keys[i], values[i]);
  // Reversed before and after, so that equal keys keep their order.
  if (reverse) std::reverse(pairs.begin(), pairs.end());
  merge_sort(runtime, pairs, less);
  if (reverse) std::reverse(pairs.begin(), pairs.end());
  std::vector<Value> out;
  out.reserve(pairs.size());
  for (auto& pair : pairs) out.push_back(std::move(pair.second));
  return out;
}

/// reverse= of Python's sorted(): an int, nothing else.
bool reverse_flag(const Bound& bound, size_t index) {
  if (!bound.has(index)) return false;
  const Value& flag = bound[index];
  if (!flag.is_integral()) raise_type("'{}' object cannot be interpreted as an integer", type_name(flag));
  if (!flag.is_small_integer() || flag.integer_value() != static_cast<int32_t>(flag.integer_value())) {
    raise_limit("Python int too large to convert to C int");
  }
  return flag.integer_value() != 0;
}

Value filter_sort(Runtime& runtime, Args& args) {
  const Bound bound(args, "sort", {"value", "reverse", "case_sensitive", "attribute"}, 1);
  const bool case_sensitive = bound.truth(2, false);
  std::vector<std::vector<Value>> paths;
  if (bound.has(3) && bound[3].is_string()) {
    for (const std::string_view part : split(bound[3].text(), ",", -1)) {
      paths.push_back(attribute_path(runtime, runtime.string(std::string(part))));
    }
  } else {
    paths.push_back(attribute_path(runtime, bound[3]));
  }
  const std::vector<Value> values = collect(runtime, bound[0]);
  const bool reverse = reverse_flag(bound, 1);
  std::vector<Value> keys;
  for (const Value& value : values) {
    std::vector<Value> key;
    for (const auto& path : paths) {
      Value part = follow_path(runtime, value, path, {});
      key.push_back(case_sensitive ? part : ignore_case(runtime, part));
    }
    keys.push_back(runtime.list(std::move(key)));
  }
  return runtime.list(sorted(runtime, values, keys, reverse));
}

Value filter_dictsort(Runtime& runtime, Args& args) {
  const Bound bound(args, "dictsort", {"value", "case_sensitive", "by", "reverse"}, 1);
  const std::string by = bound.has(2) ? to_text(runtime, bound[2]) : "key";
  if (by != "key" && by != "value")
    raise(TemplateErrorKind::kRuntime, "You can only sort by either \"key\" or \"value\"");
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  if (!bound[0].is(Type::kDict)) raise_type("'{}' object has no attribute 'items'", type_name(bound[0]));
  const bool reverse = reverse_flag(bound, 3);
  std::vector<Value> values, keys;
  for (const auto& [key, value] : bound[0].as<Dict>().entries()) {
    values.push_back(runtime.tuple({key, value}));
    const Value& sort_by = by == "key" ? key : value;
    keys.push_back(bound.truth(1, false) ? sort_by : ignore_case(runtime, sort_by));
  }
  return runtime.list(sorted(runtime, values, keys, reverse));
}

Value filter_groupby(Runtime& runtime, Args& args) {
  const Bound bound(args, "groupby", {"value", "attribute", "default", "case_sensitive"}, 2);
  const bool case_sensitive = bound.truth(3, false);
  const std::vector<Value> path = attribute_path(runtime, bound[1]);
  const auto key_of = [&](const Value& value) {
    Value key = follow_path(runtime, value, path, bound[2]);
    return case_sensitive ? key : ignore_case(runtime, key);
  };
  const std::vector<Value> values = collect(runtime, bound[0]);
  std::vector<Value> keys;
  keys.reserve(values.size());
  for (const Value& value : values) keys.push_back(key_of(value));
  const std::vector<Value> ordered = sorted(runtime, values, keys, false);
  std::vector<Value> groups;
  for (size_t begin = 0, end = 0; begin < ordered.size(); begin = end) {
    const Value key = key_of(ordered[begin]);
    std::vector<Value> members;
    for (end = begin; end < ordered.size(); ++end) {
      const Value other = key_of(ordered[end]);
      if (!identical(other, key) && !equal(runtime, other, key)) break;
      members.push_back(ordered[end]);
    }
    const Value shown = case_sensitive ? key : follow_path(runtime, members[0], path, bound[2]);
    const Value group = runtime.tuple({shown, runtime.list(std::move(members))});
    group.mutable_as<Sequence>().group = true;
    groups.push_back(group);
  }
  return runtime.list(std::move(groups));
}

class UniqueIterator final : public Iterator {
 public:
  UniqueIterator(Value value, Value attribute, bool case_sensitive)
      : value_(std::move(value)), attribute_(std::move(attribute)), case_sensitive_(case_sensitive) {}
  bool next(Runtime& runtime, Value& out) override {
    const Budget::Nesting nesting(runtime.budget);
    if (source_ == nullptr) {
      path_ = attribute_path(runtime, attribute_);
      source_ = make_iterator(runtime, value_);
    }
    while (source_->next(runtime, out)) {
      runtime.budget.items(4);
      Value key = follow_path(runtime, out, path_, {});
      if (!case_sensitive_) key = ignore_case(runtime, key);
      if (seen_.find(key) != nullptr) continue;
      seen_.set(key, Value::none());
      return true;
    }
    return false;
  }

 private:
  Value value_, attribute_;
  std::shared_ptr<Iterator> source_;
  std::vector<Value> path_;
  bool case_sensitive_;
  Dict seen_;
};

Value filter_unique(Runtime& runtime, Args& args) {
  const Bound bound(args, "unique", {"value", "case_sensitive", "attribute"}, 1);
  return make_lazy(runtime, std::make_shared<UniqueIterator>(bound[0], bound[2], bound.truth(1, false)),
                   bound[0].depth());
}

Value extreme(Runtime& runtime, Args& args, bool largest) {
  const Bound bound(args, largest ? "max" : "min", {"value", "case_sensitive", "attribute"}, 1);
  const auto iterator = make_iterator(runtime, bound[0]);
  Value best, best_key, item;
  std::vector<Value> path;
  while (iterator->next(runtime, item)) {
    if (best.is_missing()) path = attribute_path(runtime, bound[2]);
    Value key = follow_path(runtime, item, path, {});
    if (!bound.truth(1, false)) key = ignore_case(runtime, key);
    if (best.is_missing() || (largest ? less(runtime, best_key, key) : less(runtime, key, best_key))) {
      best = item;
      best_key = key;
    }
  }
  return best.is_missing() ? undefined_hint("No aggregated item, sequence was empty.") : best;
}
Value filter_min(Runtime& runtime, Args& args) { return extreme(runtime, args, false); }
Value filter_max(Runtime& runtime, Args& args) { return extreme(runtime, args, true); }

Value filter_first(Runtime& runtime, Args& args) {
  const Bound bound(args, "first", {"seq"}, 1);
  Value item;
  if (make_iterator(runtime, bound[0])->next(runtime, item)) return item;
  return undefined_hint("No first item, sequence was empty.");
}

Value filter_last(Runtime& runtime, Args& args) {
  const Bound bound(args, "last", {"seq"}, 1);
  if (bound[0].is_string()) {
    const String& text = bound[0].as<String>();
    if (text.length == 0) return undefined_hint("No last item, sequence was empty.");
    return character_at(runtime, text, text.length - 1);
  }
  const Value reversed = make_reversed(runtime, bound[0]);
  if (reversed.is_missing()) raise_type("'{}' object is not reversible", type_name(bound[0]));
  Value item;
  if (reversed.mutable_as<Iterator>().next(runtime, item)) return item;
  return undefined_hint("No last item, sequence was empty.");
}

Value filter_length(Runtime& runtime, Args& args) {
  const Bound bound(args, "len", {"/obj"}, 1);
  const int64_t length = length_of(runtime, bound[0]);
  if (length < 0) raise_type("object of type '{}' has no len()", type_name(bound[0]));
  return Value::integer(length);
}

Value filter_list(Runtime& runtime, Args& args) {
  const Bound bound(args, "list", {"value"}, 1);
  return runtime.list(collect(runtime, bound[0]));
}

Value filter_items(Runtime& runtime, Args& args) {
  const Bound bound(args, "items", {"value"}, 1);
  class ItemsIterator final : public Iterator {
   public:
    explicit ItemsIterator(Value value) : value_(std::move(value)) {}
    bool next(Runtime& rt, Value& out) override {
      if (value_.is_undefined()) return false;
      if (!value_.is(Type::kDict)) raise_type("Can only get item pairs from a mapping.");
      const auto& entries = value_.as<Dict>().entries();
      if (position_ >= entries.size()) return false;
      rt.budget.items(2);
      out = rt.tuple({entries[position_].first, entries[position_].second});
      ++position_;
      return true;
    }

   private:
    Value value_;
    size_t position_ = 0;
  };
  return make_lazy(runtime, std::make_shared<ItemsIterator>(bound[0]), bound[0].depth());
}

Value filter_reverse(Runtime& runtime, Args& args) {
  const Bound bound(args, "reverse", {"value"}, 1);
  if (bound[0].is_string()) return get_slice(runtime, bound[0], {}, {}, Value::integer(-1));
  Value reversed = make_reversed(runtime, bound[0]);
  if (!reversed.is_missing()) return reversed;
  std::vector<Value> items;
  try {
    items = collect(runtime, bound[0]);
  } catch (const TemplateError& error) {  // Jinja catches the TypeError, also that of a lazy sequence
    if (error.kind() != TemplateErrorKind::kType) throw;
    raise(TemplateErrorKind::kRuntime, "argument must be iterable");
  }
  std::reverse(items.begin(), items.end());
  return runtime.list(std::move(items));
}

Value filter_sum(Runtime& runtime, Args& args) {
  const Bound bound(args, "sum", {"iterable", "attribute", "start"}, 1);
  Value total = bound.get(2, Value::integer(0));
  if (total.is_string()) raise_type("sum() can't sum strings [use ''.join(seq) instead]");
  const bool by_attribute = bound.has_value(1);
  const std::vector<Value> path = attribute_path(runtime, bound[1]);
  const auto iterator = make_iterator(runtime, bound[0]);
  Value item;
  while (iterator->next(runtime, item)) {
    runtime.budget.items(4);
    total = binary(runtime, BinaryOp::kAdd, total, by_attribute ? follow_path(runtime, item, path, {}) : item);
  }
  return total;
}

class BatchIterator final : public Iterator {
 public:
  BatchIterator(Value value, Value count, Value fill)
      : value_(std::move(value)), wanted_(std::move(count)), fill_(std::move(fill)) {}
  bool next(Runtime& runtime, Value& out) override {
    if (source_ == nullptr) start(runtime);
    std::vector<Value> batch;
    if (!held_.is_missing()) batch.push_back(std::exchange(held_, Value()));
    Value item;
    while (!done_) {
      if (!source_->next(runtime, item)) {
        done_ = true;
        break;
      }
      // As in Jinja, a batch is handed out when the item after it has come; a count below one never splits.
      if (static_cast<int64_t>(batch.size()) == count_) {
        if (!batch.empty() || count_ == 0) {
          held_ = item;
          out = runtime.list(std::move(batch));
          return true;
        }
      }
      batch.push_back(item);
      runtime.budget.check_size(static_cast<int64_t>(batch.size() * sizeof(Value)));
    }
    if (batch.empty()) return false;
    const Value size = Value::integer(static_cast<int64_t>(batch.size()));
    if (!fill_.is_missing() && !fill_.is_none() && less(runtime, size, wanted_)) {
      if (wanted_.is(Type::kFloat)) raise_type("can't multiply sequence by non-int of type 'float'");
      if (!wanted_.is_small_integer()) raise_limit("cannot fit 'int' into an index-sized integer");
      runtime.budget.check_size(count_ > INT64_MAX / 64 ? INT64_MAX : count_ * static_cast<int64_t>(sizeof(Value)));
      batch.resize(static_cast<size_t>(count_), fill_);
    }
    out = runtime.list(std::move(batch));
    return true;
  }

 private:
  void start(Runtime& runtime) {
    source_ = make_iterator(runtime, value_);
    if (wanted_.is_small_integer()) count_ = wanted_.integer_value();
    if (wanted_.is(Type::kFloat) && wanted_.real_value() == std::floor(wanted_.real_value()) &&
        std::fabs(wanted_.real_value()) < 1e15) {
      count_ = static_cast<int64_t>(wanted_.real_value());  // 2.0 == 2
    }
  }

  Value value_, wanted_;
  std::shared_ptr<Iterator> source_;
  int64_t count_ = -1;  // of items in a batch; -1: a batch is never full
  Value fill_, held_;
  bool done_ = false;
};

Value filter_batch(Runtime& runtime, Args& args) {
  const Bound bound(args, "batch", {"value", "linecount", "fill_with"}, 2);
  return make_lazy(runtime, std::make_shared<BatchIterator>(bound[0], bound[1], bound[2]),
                   std::max(bound[0].depth(), bound[2].depth()));
}

class SliceIterator final : public Iterator {
 public:
  SliceIterator(Value source, Value slices, Value fill)
      : source_(std::move(source)), slices_(std::move(slices)), fill_(std::move(fill)) {}
  bool next(Runtime& runtime, Value& out) override {
    if (!started_) {
      started_ = true;
      items_ = runtime.list(collect(runtime, source_));
      if (slices_.is_undefined()) fail_undefined(slices_);  // the length is divided by it
      count_ = index_value(slices_, "slice");
      if (count_ == 0) raise_type("integer division or modulo by zero");
    }
    if (number_ >= count_) return false;
    runtime.budget.step();
    const auto length = static_cast<int64_t>(items_.items().size());
    const int64_t per_slice = length / count_, extra = length % count_;
    const int64_t start = number_ * per_slice + std::min(number_, extra);
    const int64_t end = start + per_slice + (number_ < extra ? 1 : 0);
    std::vector<Value> slice(items_.items().begin() + start, items_.items().begin() + end);
    if (!fill_.is_missing() && !fill_.is_none() && number_ >= extra) slice.push_back(fill_);
    ++number_;
    out = runtime.list(std::move(slice));
    return true;
  }

 private:
  Value source_, slices_, fill_, items_;
  int64_t count_ = 0, number_ = 0;
  bool started_ = false;
};

Value filter_slice(Runtime& runtime, Args& args) {
  const Bound bound(args, "slice", {"value", "slices", "fill_with"}, 2);
  return make_lazy(runtime, std::make_shared<SliceIterator>(bound[0], bound[1], bound[2]),
                   std::max(bound[0].depth(), bound[2].depth()));
}

Value filter_join(Runtime& runtime, Args& args) {
  const Bound bound(args, "join", {"value", "d", "attribute"}, 1);
  const bool by_attribute = bound.has_value(2);
  const std::vector<Value> path = attribute_path(runtime, bound[2]);
  const Value separator = bound.get(1, runtime.string(""));
  const auto iterator = make_iterator(runtime, bound[0]);
  std::vector<Value> items;
  bool escape = runtime.autoescape && separator.is_markup();
  std::string out;
  const auto append = [&](const Value& item, bool first) {
    if (!first) out += escape ? escape_html(runtime, separator) : to_text(runtime, separator);
    out += escape ? escape_html(runtime, item) : to_text(runtime, item);
    runtime.budget.items(2);
    runtime.budget.check_size(static_cast<int64_t>(out.size()));
  };
  Value item;
  bool first = true;
  while (iterator->next(runtime, item)) {
    if (by_attribute) item = follow_path(runtime, item, path, {});
    if (!runtime.autoescape) {
      append(item, first);
      first = false;
      continue;
    }
    escape = escape || item.is_markup();
    items.push_back(item);
    runtime.budget.check_size(static_cast<int64_t>(items.size() * sizeof(Value)));
  }
  for (size_t i = 0; i < items.size(); ++i) append(items[i], i == 0);
  return runtime.string(std::move(out), escape);
}

constexpr Builtin kFilters[] = {
    {"batch", filter_batch},     {"count", filter_length}, {"dictsort", filter_dictsort}, {"first", filter_first},
    {"groupby", filter_groupby}, {"items", filter_items},  {"join", filter_join},         {"last", filter_last},
    {"length", filter_length},   {"list", filter_list},    {"max", filter_max},           {"min", filter_min},
    {"reverse", filter_reverse}, {"slice", filter_slice},  {"sort", filter_sort},         {"sum", filter_sum},
    {"unique", filter_unique},
};

}  // namespace

std::span<const Builtin> sequence_filters() { return kFilters; }

}  // namespace duet::jinja
