#include "text/jinja/globals.h"

#include <algorithm>
#include <ctime>

#include "base/utf8.h"
#include "text/jinja/attributes.h"
#include "text/jinja/iterators.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/strftime.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;

int64_t range_part(const Value& value) {
  if (value.is_small_integer()) return value.integer_value();
  if (value.is(Type::kBigInt)) raise_limit("Range too big");
  raise_type("'{}' object cannot be interpreted as an integer", type_name(value));
}

Value make_range(Runtime&, Args& args) {
  if (!args.keyword.empty()) raise_type("range() takes no keyword arguments");
  if (args.positional.empty() || args.positional.size() > 3) {
    raise_type("range expected 1 to 3 arguments, got {}", args.positional.size());
  }
  std::vector<int64_t> parts;
  for (const Value& value : args.positional) parts.push_back(range_part(value));
  if (parts.size() == 1) parts.insert(parts.begin(), 0);
  if (parts.size() == 2) parts.push_back(1);
  if (parts[2] == 0) raise_type("range() arg 3 must not be zero");
  auto range = std::make_shared<Range>(parts[0], parts[1], parts[2]);
  if (range->length > kMaxRange)
    raise_limit("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", kMaxRange);
  return Value(Type::kRange, std::move(range));
}

/// dict(...): a mapping or pairs, then keywords.
std::shared_ptr<Dict> build_dict(Runtime& runtime, const Args& args, std::string_view name) {
  auto dict = std::make_shared<Dict>();
  if (args.positional.size() > 1) raise_type("{} expected at most 1 argument, got {}", name, args.positional.size());
  if (!args.positional.empty()) {
    const Value& source = args.positional[0];
    if (source.is_undefined()) fail_undefined(source);
    if (source.is(Type::kDict)) {
      for (const auto& [key, value] : source.as<Dict>().entries()) dict->set(key, value);
    } else {
      for (const Value& pair : collect(runtime, source)) {
        const std::vector<Value> parts = collect(runtime, pair);
        if (parts.size() != 2)
          raise_type("dictionary update sequence element has length {}; 2 is required", parts.size());
        dict->set(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [key, value] : args.keyword) dict->set(runtime.string(key), value);
  dict->seal(runtime.budget);
  return dict;
}

Value make_dict(Runtime& runtime, Args& args) { return Value(Type::kDict, build_dict(runtime, args, "dict")); }

Value make_namespace(Runtime& runtime, Args& args) {
  auto object = std::make_shared<Namespace>();
  runtime.keep(object);
  const std::shared_ptr<Dict> given = build_dict(runtime, args, "namespace");
  for (const auto& [key, value] : given->entries()) object->set(runtime, key, value);
  return Value(Type::kObject, std::move(object));
}

class Cycler final : public Object {
 public:
  explicit Cycler(Value items) : items_(std::move(items)) { depth = items_.depth() + 1; }
  std::string type_name() const override { return "Cycler"; }
  Value attribute(Runtime& runtime, std::string_view name) const override {
    if (name == "items") return items_;
    if (name == "pos") return Value::integer(static_cast<int64_t>(position_));
    if (name == "current") return items_.items()[position_];
    if (name != "next" && name != "reset") return {};
    check_depth(runtime.budget, depth + 1);
    auto self = std::static_pointer_cast<const Cycler>(shared_from_this());
    const bool advance = name == "next";
    return make_function(
        std::string(name), "method",
        [self, advance](Runtime&, Args& args) {
          if (!args.positional.empty() || !args.keyword.empty())
            raise_type("cycler.{}() takes no arguments", advance ? "next" : "reset");
          if (!advance) {
            self->position_ = 0;
            return Value::none();
          }
          Value value = self->items_.items()[self->position_];
          self->position_ = (self->position_ + 1) % self->items_.items().size();
          return value;
        },
        depth + 1);
  }

 private:
  Value items_;
  mutable size_t position_ = 0;
};

Value make_cycler(Runtime& runtime, Args& args) {
  if (!args.keyword.empty()) raise_type("cycler() takes no keyword arguments");
  if (args.positional.empty()) raise_type("at least one item has to be provided");
  Value items = runtime.tuple(args.positional);
  return Value(Type::kObject, std::make_shared<Cycler>(std::move(items)));
}

class Joiner final : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) { depth = separator_.depth() + 1; }
  std::string type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value attribute(Runtime&, std::string_view name) const override {
    if (name == "sep") return separator_;
    return name == "used" ? Value::boolean(used_) : Value();
  }
  Value call(Runtime& runtime, Args& args) const override {
    if (!args.positional.empty() || !args.keyword.empty()) raise_type("a joiner takes no arguments");
    if (used_) return separator_;
    used_ = true;
    return runtime.string("");
  }

 private:
  Value separator_;
  mutable bool used_ = false;
};

Value make_joiner(Runtime& runtime, Args& args) {
  const Bound bound(args, "joiner", {"sep"}, 0);
  Value separator = bound.get(0, runtime.string(", "));
  check_depth(runtime.budget, separator.depth() + 1);
  return Value(Type::kObject, std::make_shared<Joiner>(std::move(separator)));
}

Value raise_exception(Runtime& runtime, Args& args) {
  const Bound bound(args, "raise_exception", {"message"}, 1);
  throw TemplateError(TemplateErrorKind::kRaised, to_text(runtime, bound[0]));
}

Value refuse_lipsum(Runtime&, Args& args) {
  const Bound bound(args, "lipsum", {"n", "html", "min", "max"}, 0);
  constexpr int64_t kReasonable = 1000;
  if (bound.integer(0, 5) > kReasonable) raise_limit("lipsum: {} paragraphs", bound.integer(0, 5));
  raise(TemplateErrorKind::kRuntime, "lipsum() is refused: its text is random and has no place in a chat template");
}

Value strftime_now(Runtime& runtime, Args& args) {
  const Bound bound(args, "strftime_now", {"format"}, 1);
  if (!bound[0].is_string()) raise_type("strftime() argument 1 must be str, not {}", type_name(bound[0]));
  std::tm now{};
  if (runtime.now) {
    now = *runtime.now;
  } else {
    const std::time_t seconds = std::time(nullptr);
    ::localtime_r(&seconds, &now);
  }
  if (!is_valid_utf8(bound[0].text())) raise_type("'utf-8' codec can't encode the format: surrogates not allowed");
  runtime.budget.check_size(static_cast<int64_t>(bound[0].text().size()) * 32);
  std::string text = strftime(now, bound[0].text());
  runtime.budget.check_size(static_cast<int64_t>(text.size()));
  return runtime.string(std::move(text));
}

}  // namespace

void add_globals(Runtime&, std::unordered_map<std::string, Value>& variables) {
  const auto add = [&](const char* name, const char* type, Value (*body)(Runtime&, Args&)) {
    variables.try_emplace(name, make_function(name, type, body));
  };
  add("range", "function", make_range);
  add("dict", "type", make_dict);
  add("lipsum", "function", refuse_lipsum);
  add("cycler", "type", make_cycler);
  add("joiner", "type", make_joiner);
  add("namespace", "type", make_namespace);
  add("raise_exception", "function", raise_exception);
  add("strftime_now", "function", strftime_now);
}

}  // namespace duet::jinja
