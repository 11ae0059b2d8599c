#include "text/jinja/attributes.h"
#include "text/jinja/iterators.h"
#include "text/jinja/methods.h"
#include "text/jinja/number_methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {
namespace {

const Value& none_value() {
  static const Value kNone = Value::none();
  return kNone;
}

Value dict_view(Runtime& runtime, const Value& self, Args& args, DictView::Part part, std::string_view name) {
  const Bound bound(args, name, {}, 0);
  check_depth(runtime.budget, self.depth() + 1);
  return make_object<DictView>(Type::kDictView, self, part);
}

const MethodEntry kDictMethods[] = {
    {"get",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "get", {"/key", "/default"}, 1);
       rt.budget.items(bound[0].is(Type::kTuple) ? 1000 : 1);
       const Value* found = self.as<Dict>().find(bound[0]);
       return found != nullptr ? *found : bound.get(1, none_value());
     }},
    {"items", [](Runtime& rt, const Value& self,
                 Args& args) { return dict_view(rt, self, args, DictView::Part::kItems, "items"); }},
    {"keys", [](Runtime& rt, const Value& self,
                Args& args) { return dict_view(rt, self, args, DictView::Part::kKeys, "keys"); }},
    {"values", [](Runtime& rt, const Value& self,
                  Args& args) { return dict_view(rt, self, args, DictView::Part::kValues, "values"); }},
    {"copy",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "copy", {}, 0);
       auto dict = std::make_shared<Dict>();
       for (const auto& [key, value] : self.as<Dict>().entries()) dict->set(key, value);
       dict->seal(rt.budget);
       return Value(Type::kDict, std::move(dict));
     }},
    {"fromkeys", [](Runtime& rt, const Value&, Args& args) { return dict_from_keys(rt, args); }},
};

Value sequence_index(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "index", {"/value", "/start", "/stop"}, 1);
  const int64_t length = length_of(runtime, self);
  const auto clamp = [&](size_t at, int64_t absent) {
    int64_t v = bound.integer(at, absent);
    if (v < 0) v = std::max<int64_t>(0, v + length);
    return std::min(v, length);
  };
  for (int64_t i = clamp(1, 0), stop = clamp(2, length); i < stop; ++i) {
    runtime.budget.items(1);
    const Value item =
        self.is(Type::kRange) ? Value::integer(self.as<Range>().at(i)) : self.items()[static_cast<size_t>(i)];
    if ((item.object() != nullptr && identical(item, bound[0])) || equal(runtime, item, bound[0]))
      return Value::integer(i);
  }
  raise_type("{} is not in {}", to_repr(runtime, bound[0]), type_name(self));
}

Value sequence_count(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "count", {"/value"}, 1);
  int64_t count = 0;
  const auto iterator = make_iterator(runtime, self);
  Value item;
  while (iterator->next(runtime, item)) {
    if ((item.object() != nullptr && identical(item, bound[0])) || equal(runtime, item, bound[0])) ++count;
  }
  return Value::integer(count);
}

const MethodEntry kSequenceMethods[] = {
    {"index", sequence_index},
    {"count", sequence_count},
};

const MethodEntry kListMethods[] = {
    {"copy",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "copy", {}, 0);
       return rt.list(self.items());
     }},
};

}  // namespace

Value dict_from_keys(Runtime& runtime, Args& args) {
  const Bound bound(args, "fromkeys", {"/iterable", "/value"}, 1);
  auto dict = std::make_shared<Dict>();
  for (const Value& key : collect(runtime, bound[0])) dict->set(key, bound.get(1, none_value()));
  dict->seal(runtime.budget);
  return Value(Type::kDict, std::move(dict));
}

Value other_method(Runtime& runtime, const Value& value, std::string_view name) {
  switch (value.type()) {
    case Type::kDict:
      return bound_method(runtime, value, name, kDictMethods);
    case Type::kDictView:
      return name == "mapping" ? value.as<DictView>().dict : Value();
    case Type::kRange:
      if (name == "start") return Value::integer(value.as<Range>().begin);
      if (name == "stop") return Value::integer(value.as<Range>().end);
      if (name == "step") return Value::integer(value.as<Range>().step);
      return bound_method(runtime, value, name, kSequenceMethods);
    case Type::kList: {
      Value method = bound_method(runtime, value, name, kListMethods);
      return method.is_missing() ? bound_method(runtime, value, name, kSequenceMethods) : method;
    }
    case Type::kTuple:
      if (value.as<Sequence>().group && name == "grouper") return value.items()[0];
      if (value.as<Sequence>().group && name == "list") return value.items()[1];
      return bound_method(runtime, value, name, kSequenceMethods);
    case Type::kBool:
    case Type::kInt:
    case Type::kBigInt:
    case Type::kFloat:
      return number_attribute(runtime, value, name);
    default:
      return {};
  }
}

}  // namespace duet::jinja
