#include "text/jinja/attributes.h"

#include <algorithm>
#include <array>

#include "text/jinja/iterators.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

bool one_of(std::string_view name, Names names) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// Attributes that begin with an underscore: they exist, and the sandbox keeps them from templates.
bool has_private_attribute(const Value& value, std::string_view name) {
  static const Names kAll{"__class__",   "__delattr__", "__dir__",           "__doc__",         "__eq__",
                          "__format__",  "__ge__",      "__getattribute__",  "__getstate__",    "__gt__",
                          "__hash__",    "__init__",    "__init_subclass__", "__le__",          "__lt__",
                          "__ne__",      "__new__",     "__reduce__",        "__reduce_ex__",   "__repr__",
                          "__setattr__", "__sizeof__",  "__str__",           "__subclasshook__"};
  static const Names kSequence{"__add__", "__contains__", "__getitem__", "__iter__", "__len__", "__mul__", "__rmul__"};
  static const Names kInPlace{"__class_getitem__", "__delitem__",  "__iadd__",
                              "__imul__",          "__reversed__", "__setitem__"};
  static const Names kNumber{"__abs__",   "__add__",      "__bool__",       "__ceil__", "__divmod__",  "__float__",
                             "__floor__", "__floordiv__", "__getnewargs__", "__int__",  "__mod__",     "__mul__",
                             "__neg__",   "__pos__",      "__pow__",        "__radd__", "__rdivmod__", "__rfloordiv__",
                             "__rmod__",  "__rmul__",     "__round__",      "__rpow__", "__rsub__",    "__rtruediv__",
                             "__sub__",   "__truediv__",  "__trunc__"};
  static const Names kInteger{"__and__",     "__index__", "__invert__",  "__lshift__", "__or__",   "__rand__",
                              "__rlshift__", "__ror__",   "__rrshift__", "__rshift__", "__rxor__", "__xor__"};
  static const Names kDict{"__class_getitem__", "__contains__", "__delitem__",  "__getitem__", "__ior__",    "__iter__",
                           "__len__",           "__or__",       "__reversed__", "__ror__",     "__setitem__"};
  static const Names kFunction{"__annotations__", "__builtins__", "__call__",    "__closure__", "__code__",
                               "__defaults__",    "__dict__",     "__get__",     "__globals__", "__kwdefaults__",
                               "__module__",      "__name__",     "__qualname__"};
  static const Names kBuiltin{"__call__", "__module__", "__name__", "__qualname__", "__self__", "__text_signature__"};
  static const Names kClass{"__abstractmethods__",
                            "__annotations__",
                            "__base__",
                            "__bases__",
                            "__basicsize__",
                            "__call__",
                            "__dict__",
                            "__dictoffset__",
                            "__flags__",
                            "__instancecheck__",
                            "__itemsize__",
                            "__module__",
                            "__mro__",
                            "__name__",
                            "__or__",
                            "__prepare__",
                            "__qualname__",
                            "__ror__",
                            "__subclasscheck__",
                            "__subclasses__",
                            "__text_signature__",
                            "__weakrefoffset__"};
  static const Names kInstance{"__dict__", "__module__", "__weakref__"};
  if (one_of(name, kAll)) return true;
  switch (value.type()) {
    case Type::kString:
      return one_of(name, kSequence) || one_of(name, {"__getnewargs__", "__mod__", "__rmod__"}) ||
             (value.is_markup() &&
              (one_of(name, {"__html__", "__html_format__", "__radd__"}) || one_of(name, kInstance)));
    case Type::kBytes:
      return one_of(name, kSequence) || one_of(name, {"__getnewargs__", "__mod__", "__rmod__", "__bytes__"});
    case Type::kList:
      return one_of(name, kSequence) || one_of(name, kInPlace);
    case Type::kTuple:
      return one_of(name, kSequence) || one_of(name, {"__class_getitem__", "__getnewargs__"});
    case Type::kDict:
      return one_of(name, kDict);
    case Type::kDictView:
      return one_of(name, {"__contains__", "__iter__", "__len__", "__reversed__"});
    case Type::kRange:
      return one_of(name, {"__bool__", "__contains__", "__getitem__", "__iter__", "__len__", "__reversed__"});
    case Type::kInt:
    case Type::kBigInt:
    case Type::kBool:
      return one_of(name, kNumber) || one_of(name, kInteger);
    case Type::kFloat:
      return one_of(name, kNumber) || name == "__getformat__";
    case Type::kNone:
      return name == "__bool__";
    case Type::kIterator:
      return one_of(name, {"__iter__", "__next__", "__name__", "__qualname__", "__del__"});
    case Type::kUndefined:
      return one_of(name, {"__add__", "__bool__", "__call__", "__getattr__", "__getitem__", "__iter__", "__len__",
                           "__slots__", "_undefined_hint", "_undefined_obj", "_undefined_name", "_undefined_exception",
                           "_undefined_message", "_fail_with_undefined_error"});
    case Type::kObject:
      break;
    default:
      return false;
  }
  const std::string type = value.object()->type_name();
  if (type == "function" || type == "method")
    return one_of(name, kFunction) || (type == "method" && one_of(name, {"__func__", "__self__"}));
  if (type == "builtin_function_or_method") return one_of(name, kBuiltin);
  if (type == "type") return one_of(name, kClass);
  if (type == "Namespace") return name == "__class__";
  if (one_of(name, kInstance)) return true;
  if (type == "LoopContext") {
    return one_of(
        name, {"__call__", "__iter__", "__len__", "__next__", "_after", "_before", "_current", "_iterable", "_iterator",
               "_last_changed_value", "_length", "_peek_next", "_recurse", "_to_iterator", "_undefined"});
  }
  if (type == "Macro") {
    return one_of(name, {"__call__", "_argument_count", "_async_invoke", "_default_autoescape", "_environment", "_func",
                         "_invoke"});
  }
  if (type == "TemplateReference") return name == "_TemplateReference__context" || name == "__getitem__";
  if (type == "BlockReference") return one_of(name, {"__call__", "_async_call", "_context", "_depth", "_stack"});
  if (type == "Joiner") return name == "__call__";
  return type == "Cycler" && name == "__next__";
}

/// Methods that would change the object: a template may look at them and not call them.
bool is_mutating(const Value& value, std::string_view name) {
  if (value.is(Type::kList)) {
    return one_of(name, {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
  }
  return value.is(Type::kDict) && one_of(name, {"clear", "pop", "popitem", "setdefault", "update"});
}

Value unsafe(const Value& value, std::string_view name) {
  const auto* function = value.get_if<Function>();  // its own name says more than its type
  const std::string object = function != nullptr ? function->name : type_name(value) + " object";
  return undefined_hint(fmt::format("access to attribute '{}' of '{}' is unsafe.", name, object),
                        TemplateErrorKind::kSecurity);
}

}  // namespace

Value undefined_attribute(Runtime& runtime, const Value& value, const Value& name) {
  const std::string object = value.is_none() ? "None" : type_name(value) + " object";
  if (!name.is_string()) return undefined_hint(fmt::format("{} has no element {}", object, to_repr(runtime, name)));
  return undefined_hint(fmt::format("'{}' has no attribute {}", object, string_repr(name.text())));
}

namespace {

/// What the sandbox makes of an attribute; missing if there is none.
Value checked_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (name.starts_with('_')) return has_private_attribute(value, name) ? unsafe(value, name) : Value();
  if (is_mutating(value, name)) return unsafe(value, name);
  return python_attribute(runtime, value, name);
}

/// value[key] by Python's own rules; missing where Python raises a TypeError or LookupError.
Value python_item(Runtime& runtime, const Value& value, const Value& key) {
  switch (value.type()) {
    case Type::kDict: {
      if (key.is(Type::kList) || key.is(Type::kDict)) return {};
      if (key.is(Type::kTuple)) runtime.budget.items(1000);
      const Value* found = nullptr;
      try {
        found = value.as<Dict>().find(key);
      } catch (const TemplateError& error) {  // a tuple with a list inside cannot be hashed
        if (error.kind() == TemplateErrorKind::kLimit) throw;
        return {};
      }
      return found == nullptr ? Value() : *found;
    }
    case Type::kList:
    case Type::kTuple:
    case Type::kString:
    case Type::kBytes:
    case Type::kRange: {
      if (!key.is_small_integer()) return {};
      const int64_t length = length_of(runtime, value);
      int64_t index = key.integer_value();
      if (index < 0) index += length;
      if (index < 0 || index >= length) return {};
      if (value.is_string()) return character_at(runtime, value.as<String>(), index);
      if (value.is(Type::kRange)) return Value::integer(value.as<Range>().at(index));
      if (value.is(Type::kBytes))
        return Value::integer(static_cast<unsigned char>(value.as<Bytes>().bytes[static_cast<size_t>(index)]));
      return value.items()[static_cast<size_t>(index)];
    }
    case Type::kObject:
      return value.object()->item(runtime, key);
    default:
      return {};
  }
}

}  // namespace

Value python_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  switch (value.type()) {
    case Type::kString:
      return text_method(runtime, value, name);
    case Type::kBytes:
      return bytes_method(runtime, value, name);
    case Type::kObject:
      return value.object()->attribute(runtime, name);
    default:
      return other_method(runtime, value, name);
  }
}

bool has_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (name.starts_with('_')) return has_private_attribute(value, name);
  return is_mutating(value, name) || !python_attribute(runtime, value, name).is_missing();
}

Value get_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  if (value.is_undefined() && !has_private_attribute(value, name)) fail_undefined(value);
  Value found = checked_attribute(runtime, value, name);
  if (!found.is_missing()) return found;
  if (value.is(Type::kDict)) {
    const Value* item = value.as<Dict>().find(std::string_view(name));
    if (item != nullptr) return *item;
  } else if (value.is(Type::kObject)) {
    found = value.object()->item(runtime, runtime.string(name));
    if (!found.is_missing()) return found;
  }
  return undefined_attribute(runtime, value, runtime.string(name));
}

Value get_item(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_undefined()) fail_undefined(value);
  Value found = python_item(runtime, value, key);
  if (found.is_missing() && key.is_string()) found = checked_attribute(runtime, value, key.text());
  return found.is_missing() ? undefined_attribute(runtime, value, key) : found;
}

namespace {

/// A bound of a slice, as in PySlice_AdjustIndices.
int64_t slice_bound(const Value& bound, int64_t length, int64_t step, int64_t absent) {
  if (bound.is_missing() || bound.is_none()) return absent;
  int64_t index = 0;
  if (bound.is(Type::kBigInt)) {
    index = to_bigint(bound).negative() ? INT64_MIN / 2 : INT64_MAX / 2;
  } else if (bound.is_small_integer()) {
    index = bound.integer_value();
  } else {
    raise_type("slice indices must be integers or None or have an __index__ method");
  }
  if (index < 0) {
    index = std::max(index, INT64_MIN / 2) + length;
    return index < 0 ? (step < 0 ? -1 : 0) : index;
  }
  return index >= length ? (step < 0 ? length - 1 : length) : index;
}

Value slice_text(Runtime& runtime, const String& text, int64_t start, int64_t count, int64_t step) {
  std::string out;
  if (step == 1) {
    const size_t begin = text.ascii() ? static_cast<size_t>(start) : byte_offset(text.text, start);
    const std::string_view rest = std::string_view(text.text).substr(begin);
    out = std::string(rest.substr(0, text.ascii() ? static_cast<size_t>(count) : byte_offset(rest, count)));
  } else if (text.ascii()) {
    for (int64_t i = 0; i < count; ++i) out += text.text[static_cast<size_t>(start + i * step)];
  } else {
    runtime.budget.bytes(static_cast<int64_t>(text.text.size()) * 4);
    const std::u32string codes = decode(text.text);
    for (int64_t i = 0; i < count; ++i) append_code_point(out, codes[static_cast<size_t>(start + i * step)]);
  }
  return runtime.string(std::move(out), text.markup);
}

}  // namespace

bool is_sliceable(const Value& value) {
  return value.is_string() || value.is(Type::kList) || value.is(Type::kTuple) || value.is(Type::kRange) ||
         value.is(Type::kBytes);
}

Value get_slice(Runtime& runtime, const Value& value, const Value& start_value, const Value& stop_value,
                const Value& step_value) {
  if (value.is_undefined()) fail_undefined(value);
  const int64_t length = length_of(runtime, value);
  if (!is_sliceable(value)) {
    if (value.is(Type::kDict)) raise_type("unhashable type: 'slice'");
    raise_type("'{}' object is not subscriptable", type_name(value));
  }
  int64_t step = 1;
  if (!step_value.is_missing() && !step_value.is_none()) {
    step = step_value.is(Type::kBigInt) ? (to_bigint(step_value).negative() ? -INT64_MAX : INT64_MAX)
                                        : slice_bound(step_value, 0, 1, 1);
    if (step_value.is_small_integer()) step = std::max(step_value.integer_value(), -INT64_MAX);
    if (step == 0) raise_type("slice step cannot be zero");
  }
  const int64_t start = slice_bound(start_value, length, step, step < 0 ? length - 1 : 0);
  const int64_t stop = slice_bound(stop_value, length, step, step < 0 ? -1 : length);
  const Range range(start, stop, step);
  const int64_t count = range.length;
  runtime.budget.items(value.is_string() ? count / 64 : count);
  if (value.is_string()) return slice_text(runtime, value.as<String>(), start, count, step);
  if (value.is(Type::kRange)) {
    const Range& source = value.as<Range>();
    const int64_t begin = source.at(start);
    int64_t new_step = 0, distance = 0, end = 0;
    if (__builtin_mul_overflow(source.step, step, &new_step)) new_step = step > 0 ? INT64_MAX : -INT64_MAX;
    if (__builtin_mul_overflow(source.step, stop, &distance) || __builtin_add_overflow(source.begin, distance, &end)) {
      raise_limit("a range is too large");
    }
    return make_object<Range>(Type::kRange, begin, end, new_step);
  }
  if (value.is(Type::kBytes)) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) out += value.as<Bytes>().bytes[static_cast<size_t>(start + i * step)];
    return make_object<Bytes>(Type::kBytes, &runtime.budget, std::move(out));
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) items.push_back(value.items()[static_cast<size_t>(start + i * step)]);
  return value.is(Type::kList) ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
}

Value call_value(Runtime& runtime, const Value& function, Args& args) {
  if (function.is_undefined()) fail_undefined(function);
  if (!function.is(Type::kObject) || !function.object()->callable()) {
    raise_type("'{}' object is not callable", type_name(function));
  }
  return function.object()->call(runtime, args);
}

}  // namespace duet::jinja
