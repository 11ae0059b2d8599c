#include <random>

#include "text/jinja/attributes.h"
#include "text/jinja/filter_tables.h"
#include "text/jinja/iterators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {
namespace {

/// Calls a filter or test that is given by its name.
Value call_builtin(Runtime& runtime, const Value& name, bool filter, const Value& item, const Args& more) {
  const std::string_view kind = filter ? "filter" : "test";
  if (!name.is_string()) {
    hash_value(name);  // the table is a dict: what cannot be hashed is a type error
    raise(TemplateErrorKind::kRuntime, "No {} named {}.", kind, to_repr(runtime, name));
  }
  const Builtin* builtin = filter ? find_filter(name.text()) : find_test(name.text());
  if (builtin == nullptr) raise(TemplateErrorKind::kRuntime, "No {} named '{}'.", kind, name.text());
  Args args = more;
  args.positional.insert(args.positional.begin(), item);
  return builtin->function(runtime, args);
}

int32_t depth_of(const Args& args) {
  int32_t depth = 0;
  for (const Value& value : args.positional) depth = std::max(depth, value.depth());
  for (const auto& item : args.keyword) depth = std::max(depth, item.second.depth());
  return depth;
}

/// map: nothing happens before the first item is asked for.
class MapIterator final : public Iterator {
 public:
  MapIterator(Value value, Args args) : value_(std::move(value)), args_(std::move(args)) {}
  bool next(Runtime& runtime, Value& out) override {
    const Budget::Nesting nesting(runtime.budget);
    if (source_ == nullptr && !start(runtime)) return false;
    Value item;
    if (!source_->next(runtime, item)) return false;
    runtime.budget.step();
    out =
        by_attribute_ ? follow_path(runtime, item, path_, fallback_) : call_builtin(runtime, name_, true, item, args_);
    return true;
  }

 private:
  bool start(Runtime& runtime) {
    if (!truthy(value_)) return false;
    if (args_.positional.empty() && !args_.keyword.empty()) {
      Value attribute;
      std::string unexpected;
      for (const auto& [name, value] : args_.keyword) {
        if (name == "attribute") {
          attribute = value;
        } else if (name == "default") {
          fallback_ = value;
        } else if (unexpected.empty()) {
          unexpected = name;
        }
      }
      if (!attribute.is_missing()) {
        if (!unexpected.empty()) raise(TemplateErrorKind::kRuntime, "Unexpected keyword argument '{}'", unexpected);
        by_attribute_ = true;
        path_ = attribute_path(runtime, attribute);
      }
    }
    if (!by_attribute_) {
      if (args_.positional.empty()) raise(TemplateErrorKind::kRuntime, "map requires a filter argument");
      name_ = args_.positional[0];
      args_.positional.erase(args_.positional.begin());
    }
    source_ = make_iterator(runtime, value_);
    return true;
  }

  Value value_, name_, fallback_;
  Args args_;
  std::shared_ptr<Iterator> source_;
  std::vector<Value> path_;
  bool by_attribute_ = false;
};

Args without_value(Args& args) {
  Args rest;
  rest.positional.assign(args.positional.begin() + 1, args.positional.end());
  rest.keyword = args.keyword;
  return rest;
}

Value filter_map(Runtime& runtime, Args& args) {
  Args rest = without_value(args);
  const int32_t depth = std::max(args.positional[0].depth(), depth_of(rest));
  return make_lazy(runtime, std::make_shared<MapIterator>(args.positional[0], std::move(rest)), depth);
}

/// select, reject, selectattr, rejectattr
class SelectIterator final : public Iterator {
 public:
  SelectIterator(Value value, Args args, bool keep, bool by_attribute)
      : value_(std::move(value)), args_(std::move(args)), keep_(keep), by_attribute_(by_attribute) {}
  bool next(Runtime& runtime, Value& out) override {
    const Budget::Nesting nesting(runtime.budget);
    if (source_ == nullptr && !start(runtime)) return false;
    while (source_->next(runtime, out)) {
      runtime.budget.step();
      const Value item = by_attribute_ ? follow_path(runtime, out, path_, {}) : out;
      const bool fits = truthy(name_.is_missing() ? item : call_builtin(runtime, name_, false, item, args_));
      if (fits == keep_) return true;
    }
    return false;
  }

 private:
  bool start(Runtime& runtime) {
    if (!truthy(value_)) return false;
    auto& given = args_.positional;
    if (by_attribute_) {
      if (given.empty()) raise(TemplateErrorKind::kRuntime, "Missing parameter for attribute name");
      path_ = attribute_path(runtime, given[0]);
      given.erase(given.begin());
    }
    if (!given.empty()) {
      name_ = given[0];
      given.erase(given.begin());
    }
    source_ = make_iterator(runtime, value_);
    return true;
  }

  Value value_, name_;
  Args args_;
  bool keep_, by_attribute_;
  std::vector<Value> path_;
  std::shared_ptr<Iterator> source_;
};

template <bool kKeep, bool kByAttribute>
Value filter_select(Runtime& runtime, Args& args) {
  Args rest = without_value(args);
  const int32_t depth = std::max(args.positional[0].depth(), depth_of(rest));
  return make_lazy(runtime, std::make_shared<SelectIterator>(args.positional[0], std::move(rest), kKeep, kByAttribute),
                   depth);
}

Value filter_random(Runtime& runtime, Args& args) {
  const Bound bound(args, "random", {"seq"}, 1);
  const int64_t length = length_of(runtime, bound[0]);
  if (length < 0) raise_type("object of type '{}' has no len()", type_name(bound[0]));
  if (length == 0) return undefined_hint("No random item, sequence was empty.");
  std::random_device device;
  return get_item(runtime, bound[0], Value::integer(static_cast<int64_t>(device()) % length));
}

Value filter_attr(Runtime& runtime, Args& args) {
  const Bound bound(args, "attr", {"obj", "name"}, 2);
  if (!bound[1].is_string()) raise_type("attribute name must be string, not '{}'", type_name(bound[1]));
  const std::string& name = bound[1].text();
  if (!has_attribute(runtime, bound[0], name)) {
    if (bound[0].is_undefined() && !(name.starts_with("__") && name.ends_with("__"))) fail_undefined(bound[0]);
    return undefined_hint(fmt::format("'{} object' has no attribute {}", type_name(bound[0]), string_repr(name)));
  }
  return get_attribute(runtime, bound[0], name);
}

Value filter_default(Runtime& runtime, Args& args) {
  const Bound bound(args, "default", {"value", "default_value", "boolean"}, 1);
  if (bound[0].is_undefined() || (bound.truth(2, false) && !truthy(bound[0]))) return bound.get(1, runtime.string(""));
  return bound[0];
}

constexpr Builtin kFilters[] = {
    {"attr", filter_attr},
    {"d", filter_default},
    {"default", filter_default},
    {"map", filter_map, true},
    {"random", filter_random, true},
    {"reject", filter_select<false, false>, true},
    {"rejectattr", filter_select<false, true>, true},
    {"select", filter_select<true, false>, true},
    {"selectattr", filter_select<true, true>, true},
};

}  // namespace

std::span<const Builtin> selection_filters() { return kFilters; }

}  // namespace duet::jinja
