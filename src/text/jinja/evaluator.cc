#include <algorithm>
#include <cmath>

#include "text/jinja/attributes.h"
#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/iterators.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {

Value Interpreter::evaluate(const Expr& expr, Activation& frame) {
  const Budget::Nesting nesting(runtime_.budget);
  runtime_.budget.expression();
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.constant;
    case ExprKind::kName:
      return evaluate_name(expr, frame);
    case ExprKind::kTuple:
    case ExprKind::kList:
    case ExprKind::kDict:
      return evaluate_container(expr, frame);
    case ExprKind::kNot:
      return Value::boolean(!truthy(evaluate(*expr.a, frame)));
    case ExprKind::kNegate:
      return negate(runtime_, evaluate(*expr.a, frame));
    case ExprKind::kPlus:
      return plus(runtime_, evaluate(*expr.a, frame));
    case ExprKind::kBinary: {
      const Value left = evaluate(*expr.a, frame);
      if (expr.negated_power) {
        return negate(runtime_, binary(runtime_, expr.binary, negate(runtime_, left), evaluate(*expr.b, frame)));
      }
      return binary(runtime_, expr.binary, left, evaluate(*expr.b, frame));
    }
    case ExprKind::kAnd: {
      Value left = evaluate(*expr.a, frame);
      return truthy(left) ? evaluate(*expr.b, frame) : left;
    }
    case ExprKind::kOr: {
      Value left = evaluate(*expr.a, frame);
      return truthy(left) ? left : evaluate(*expr.b, frame);
    }
    case ExprKind::kCondition:
      if (truthy(evaluate(*expr.a, frame))) return evaluate(*expr.b, frame);
      if (expr.c != nullptr) return evaluate(*expr.c, frame);
      return undefined_hint(fmt::format(
          "the inline if-expression on line {} evaluated to false and no else section was defined.", expr.line));
    case ExprKind::kConcat:
      return evaluate_concat(expr, frame);
    case ExprKind::kCompare:
      return evaluate_compare(expr, frame);
    case ExprKind::kGetattr:
      return get_attribute(runtime_, evaluate(*expr.a, frame), expr.name);
    case ExprKind::kGetitem:
      return evaluate_item(expr, frame);
    case ExprKind::kSlice:
      raise_type("line {}: a slice stands only alone between brackets", expr.line);
    case ExprKind::kFilter:
    case ExprKind::kTest:
      return evaluate_builtin(expr, frame, nullptr);
    case ExprKind::kCall:
      return evaluate_call(expr, frame, nullptr);
    case ExprKind::kNamespaceRef:
      break;  // a target only
  }
  return {};
}

Value Interpreter::evaluate_name(const Expr& expr, Activation& frame) {
  const Value& value = frame.at(expr.variable);
  return value.is_missing() ? undefined_name(expr.name) : value;
}

Value Interpreter::evaluate_container(const Expr& expr, Activation& frame) {
  if (expr.kind == ExprKind::kDict) {
    auto dict = std::make_shared<Dict>();
    for (size_t i = 0; i + 1 < expr.items.size(); i += 2) {
      const Value key = evaluate(*expr.items[i], frame);
      dict->set(key, evaluate(*expr.items[i + 1], frame));
    }
    dict->seal(runtime_.budget);
    return Value(Type::kDict, std::move(dict));
  }
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) items.push_back(evaluate(*item, frame));
  return expr.kind == ExprKind::kList ? runtime_.list(std::move(items)) : runtime_.tuple(std::move(items));
}

Value Interpreter::evaluate_compare(const Expr& expr, Activation& frame) {
  Value left = evaluate(*expr.a, frame);
  for (size_t i = 0; i < expr.items.size(); ++i) {
    Value right = evaluate(*expr.items[i], frame);
    if (!compare(runtime_, expr.compare[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_concat(const Expr& expr, Activation& frame) {
  std::vector<Value> parts;
  bool markup = false;
  const bool escape = !expr.joins_plainly && escapes(expr.escape);
  for (const ExprPtr& item : expr.items) parts.push_back(evaluate(*item, frame));
  for (const Value& part : parts) markup = markup || (escape && part.is_markup());
  std::string out;
  for (const Value& part : parts) {
    out += markup ? escape_html(runtime_, part) : to_text(runtime_, part);
    runtime_.budget.check_size(static_cast<int64_t>(out.size()));
  }
  return runtime_.string(std::move(out), markup);
}

Value Interpreter::evaluate_item(const Expr& expr, Activation& frame) {
  if (expr.b->kind == ExprKind::kSlice) return evaluate_slice(expr, frame);
  const Value base = evaluate(*expr.a, frame);
  return get_item(runtime_, base, evaluate(*expr.b, frame));
}

Value Interpreter::evaluate_slice(const Expr& expr, Activation& frame) {
  const Value value = evaluate(*expr.a, frame);
  const Expr& slice = *expr.b;
  const auto part = [&](const ExprPtr& bound) { return bound == nullptr ? Value() : evaluate(*bound, frame); };
  const Value start = part(slice.a), stop = part(slice.b), step = part(slice.c);
  if (!folding_ && !expr.folded) return get_slice(runtime_, value, start, stop, step);
  const bool value_error = is_sliceable(value) && step.is_small_integer() && step.integer_value() == 0;
  try {
    return get_slice(runtime_, value, start, stop, step);
  } catch (const TemplateError& error) {
    if (error.kind() != TemplateErrorKind::kType || value_error) throw;
    return undefined_attribute(runtime_, value, runtime_.string("slice"));
  }
}

Args Interpreter::evaluate_arguments(const CallArguments& arguments, Activation& frame, const Value* first,
                                     bool replace) {
  Args out;
  if (first != nullptr) out.positional.push_back(*first);
  for (const ExprPtr& item : arguments.positional) out.positional.push_back(evaluate(*item, frame));
  for (const auto& [name, value] : arguments.keyword) out.keyword.emplace_back(name, evaluate(*value, frame));
  if (arguments.more_positional != nullptr) {
    for (Value& item : collect(runtime_, evaluate(*arguments.more_positional, frame)))
      out.positional.push_back(std::move(item));
  }
  if (arguments.more_keyword != nullptr) {
    const Value more = evaluate(*arguments.more_keyword, frame);
    if (more.is_undefined()) fail_undefined(more);
    if (!more.is(Type::kDict)) raise_type("argument after ** must be a mapping, not {}", type_name(more));
    for (const auto& [key, value] : more.as<Dict>().entries()) {
      if (!key.is_string()) raise_type("keywords must be strings");
      const auto same = std::find_if(out.keyword.begin(), out.keyword.end(),
                                     [&name = key.text()](const auto& other) { return other.first == name; });
      if (same == out.keyword.end()) {
        out.keyword.emplace_back(key.text(), value);
      } else if (replace) {
        same->second = value;
      } else {
        raise_type("got multiple values for keyword argument '{}'", key.text());
      }
    }
  }
  return out;
}

Value Interpreter::evaluate_builtin(const Expr& expr, Activation& frame, const Value* given) {
  const Value value = expr.a == nullptr  ? *given
                      : given != nullptr ? evaluate_builtin(*expr.a, frame, given)
                                         : evaluate(*expr.a, frame);
  Args args = evaluate_arguments(*expr.arguments, frame, &value, folding_ || expr.folded);
  if (expr.function == nullptr) {
    // What stands for an unknown one in Jinja's compiled code takes positional arguments only.
    if (!args.keyword.empty()) raise_type("{}() got an unexpected keyword argument", expr.name);
    raise(TemplateErrorKind::kRuntime, "No {} named '{}' found.", expr.kind == ExprKind::kFilter ? "filter" : "test",
          expr.name);
  }
  return expr.function(runtime_, args);
}

Value Interpreter::evaluate_call(const Expr& expr, Activation& frame, const Value* caller) {
  const Value function = evaluate(*expr.a, frame);
  Args args = evaluate_arguments(*expr.arguments, frame, nullptr);
  if (caller != nullptr) args.keyword.emplace_back("caller", *caller);
  return call_value(runtime_, function, args);
}

namespace {

bool is_constant(const Expr& expr) {
  if (expr.kind == ExprKind::kName || expr.kind == ExprKind::kNamespaceRef || expr.kind == ExprKind::kCall ||
      expr.context_filter) {
    return false;
  }
  // What a filter or test gives may depend on whether escaping is on.
  const bool is_builtin = expr.kind == ExprKind::kFilter || expr.kind == ExprKind::kTest;
  if (is_builtin && expr.escape == Escape::kDynamic) return false;
  const auto child = [](const ExprPtr& part) { return part == nullptr || is_constant(*part); };
  if (!child(expr.a) || !child(expr.b) || !child(expr.c)) return false;
  for (const ExprPtr& item : expr.items) {
    if (!is_constant(*item)) return false;
  }
  if (expr.arguments == nullptr) return true;
  for (const ExprPtr& item : expr.arguments->positional) {
    if (!is_constant(*item)) return false;
  }
  for (const auto& item : expr.arguments->keyword) {
    if (!is_constant(*item.second)) return false;
  }
  return child(expr.arguments->more_positional) && child(expr.arguments->more_keyword);
}

}  // namespace

namespace {

/// Evaluates a constant; false where Jinja could not fold it.
template <typename Use>
bool with_constant(Budget& budget, const Expr& expr, const Use& use) {
  if (expr.unknown_below || !is_constant(expr)) return false;
  Limits limits;
  limits.max_steps = 10'000;
  Runtime runtime(limits);
  const Program program;
  Interpreter interpreter(program, runtime);
  const FunctionInfo function;
  Activation frame(function, nullptr, nullptr);
  bool result = false;
  try {
    result = use(interpreter.evaluate_folding(expr, frame));
  } catch (const TemplateError&) {
  }
  budget.items(runtime.budget.spent() + 16);
  return result;
}

}  // namespace

bool constant_truth(Budget& budget, const Expr& expr, bool& truth) {
  return with_constant(budget, expr, [&](const Value& value) {
    truth = truthy(value);
    return true;
  });
}

bool is_folded(Budget& budget, const Expr& expr) {
  return with_constant(budget, expr, [](const Value&) { return true; });
}

namespace {

/// Whether Python's repr() of the value is the value again.
bool has_literal(const Value& value) {
  const auto all = [](const std::vector<Value>& items) { return std::all_of(items.begin(), items.end(), has_literal); };
  switch (value.type()) {
    case Type::kNone:
    case Type::kBool:
    case Type::kInt:
    case Type::kBigInt:
    case Type::kFloat:
    case Type::kString:
    case Type::kRange:
      return true;
    case Type::kList:
    case Type::kTuple:
      return all(value.items());
    case Type::kDict: {
      const auto& entries = value.as<Dict>().entries();
      return std::all_of(entries.begin(), entries.end(),
                         [](const auto& entry) { return has_literal(entry.first) && has_literal(entry.second); });
    }
    default:
      return false;
  }
}

}  // namespace

bool is_folded_literal(Budget& budget, const Expr& expr) {
  return with_constant(budget, expr, [](const Value& value) { return has_literal(value); });
}

bool is_folded_negative(Budget& budget, const Expr& expr) {
  return with_constant(budget, expr, [](const Value& value) {
    if (value.is(Type::kFloat)) return std::signbit(value.real_value()) && !std::isnan(value.real_value());
    return (value.is(Type::kInt) || value.is(Type::kBigInt)) && to_bigint(value).negative();
  });
}

}  // namespace duet::jinja
