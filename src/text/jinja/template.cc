#include "text/jinja/template.h"

#include "text/jinja/globals.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
#include "text/jinja/resolver.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {

struct Template::State {
  Limits limits;
  Budget budget;  // of the parser; constants of the program are counted in it, so it goes last
  Program program;
  explicit State(const Limits& l) : limits(l), budget(l) {}
};

Template Template::parse(std::string_view source, const Limits& limits) {
  if (static_cast<int64_t>(source.size()) > limits.max_source_bytes) {
    raise_limit("the template has {} bytes, more than {}", source.size(), limits.max_source_bytes);
  }
  auto state = std::make_shared<State>(limits);
  state->program.body = Parser(source, state->budget).parse();
  Resolver(state->program, state->budget).run();
  Template out;
  out.state_ = std::move(state);
  return out;
}

namespace {

int64_t text_bytes(const Json& json) {
  if (json.is_string()) return static_cast<int64_t>(json.string().size());
  int64_t bytes = 0;
  if (json.is_array()) {
    for (const Json& item : json.array()) bytes += text_bytes(item);
  } else if (json.is_object()) {
    for (const auto& [name, item] : json.object()) bytes += static_cast<int64_t>(name.size()) + text_bytes(item);
  }
  return bytes;
}

/// Values of the caller are not counted: they are bounded by the request.
Value from_json(const Json& json) {
  if (json.is_null()) return Value::none();
  if (json.is_bool()) return Value::boolean(json.boolean());
  if (json.is_integer()) return Value::integer(json.integer());
  if (json.is_float()) return Value::real(json.number());
  if (json.is_string()) return make_object<String>(Type::kString, nullptr, json.string(), false);
  if (json.is_big_integer()) {
    const std::string& digits = std::get<Json::BigInteger>(json.value()).digits;
    if (digits.size() > 4301) raise_type("an integer of {} digits in the variables", digits.size());
    const bool negative = digits.starts_with('-');
    const BigInt value = BigInt::parse(std::string_view(digits).substr(negative ? 1 : 0), 10).value_or(BigInt());
    return make_integer(negative ? -value : value);
  }
  int32_t deepest = 0;
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json.array()) {
      items.push_back(from_json(item));
      deepest = std::max(deepest, items.back().depth());
    }
    auto list = std::make_shared<Sequence>(nullptr, std::move(items), false);
    list->depth = deepest + 1;
    return Value(Type::kList, std::move(list));
  }
  auto dict = std::make_shared<Dict>();
  for (const auto& [name, item] : json.object()) {
    Value value = from_json(item);
    deepest = std::max(deepest, value.depth());
    dict->set(make_object<String>(Type::kString, nullptr, name, false), std::move(value));
  }
  dict->depth = deepest + 1;
  return Value(Type::kDict, std::move(dict));
}

}  // namespace

Template::Rendered Template::render(const Json& variables, const std::optional<std::tm>& now) const {
  Runtime runtime(state_->limits.for_input(text_bytes(variables)));
  runtime.now = now;
  std::unordered_map<std::string, Value> values;
  for (const auto& [name, value] : variables.object()) values[name] = from_json(value);
  add_globals(runtime, values);
  Interpreter interpreter(state_->program, runtime);
  Rendered out;
  out.text = interpreter.render(std::move(values));
  if (has_surrogate(out.text)) raise_type("'utf-8' codec can't encode a character: surrogates not allowed");
  out.has_generation = state_->program.has_generation;
  out.generation = interpreter.generation();
  return out;
}

}  // namespace duet::jinja
