#include "text/jinja/interpreter.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/iterators.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {

Value Context::find(const std::string& name) const {
  if (const auto it = set.find(name); it != set.end()) return it->second;
  if (const auto it = given.find(name); it != given.end()) return it->second;
  return {};
}

Value& Activation::at(const VariableRef& ref) {
  Activation* activation = this;
  for (int32_t i = 0; i < ref.hops; ++i) activation = activation->outer.get();
  return activation->slots[static_cast<size_t>(ref.slot)];
}

void Interpreter::keep(const Frame& frame) {
  for (Frame at = frame; at != nullptr && !at->kept; at = at->outer) {
    at->kept = true;
    runtime_.keep(at);
  }
}

void Interpreter::enter(const Scope& scope, Activation& frame) {
  for (const ScopeLoad& load : scope.loads) {
    Value& slot = frame.slots[static_cast<size_t>(load.slot)];
    switch (load.kind) {
      case ScopeLoad::Kind::kResolve:
        slot = frame.context->find(load.name);
        break;
      case ScopeLoad::Kind::kAlias:
        slot = frame.at(load.source);
        break;
      case ScopeLoad::Kind::kUndefined:
        slot = Value();
        break;
    }
  }
}

void Interpreter::leave(const Scope& scope, Activation& frame) {
  for (const int32_t slot : scope.slots) frame.slots[static_cast<size_t>(slot)] = Value();
}

std::string Interpreter::render(std::unordered_map<std::string, Value> variables) {
  auto context = std::make_shared<Context>();
  runtime_.keep(context);
  context->given = std::move(variables);
  const Frame frame = std::make_shared<Activation>(program_.function, nullptr, context);
  keep(frame);
  if (program_.function.self_slot >= 0) {
    frame->slots[static_cast<size_t>(program_.function.self_slot)] = make_template_reference(*this, context);
  }
  enter(program_.function.scope, *frame);
  result_.is_result = true;
  execute(program_.body, frame, result_);
  return joined(result_);
}

bool Interpreter::escapes(Escape escape) const {
  return escape == Escape::kDynamic ? runtime_.autoescape : escape == Escape::kOn;
}

void Interpreter::write(Sink& sink, std::string_view text) {
  runtime_.budget.bytes(static_cast<int64_t>(text.size()));
  if (sink.is_result) {
    sink.code_points += count_code_points(text);
    const int64_t limit = runtime_.budget.limits().max_output;
    if (sink.code_points > limit) raise_limit("the output is longer than {} characters", limit);
  } else {
    runtime_.budget.check_size(static_cast<int64_t>(sink.text.size() + text.size()));
  }
  sink.text += text;
}

void Interpreter::write_raw(Sink& sink, const Value& value) {
  if (value.is_string()) return write(sink, value.text());
  if (sink.not_text.empty()) sink.not_text = type_name(value);
}

std::string Interpreter::joined(Sink& sink) {
  if (!sink.not_text.empty()) raise_type("sequence item: expected str instance, {} found", sink.not_text);
  return std::move(sink.text);
}

Value Interpreter::buffer_value(Sink& sink, Escape escape) { return runtime_.string(joined(sink), escapes(escape)); }

Interpreter::Flow Interpreter::execute(const Body& body, const Frame& frame, Sink& sink) {
  for (const StmtPtr& statement : body) {
    const Flow flow = execute(*statement, frame, sink);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute(const Stmt& statement, const Frame& frame, Sink& sink) {
  const Budget::Nesting nesting(runtime_.budget);
  runtime_.budget.step();
  switch (statement.kind) {
    case StmtKind::kOutput:
      output(statement, frame, sink);
      break;
    case StmtKind::kFor:
      return run_for(statement, frame, sink);
    case StmtKind::kIf:
      return run_if(statement, frame, sink);
    case StmtKind::kMacro: {
      const Value macro = make_macro(statement, frame, statement.name);
      frame->at(statement.variable) = macro;
      if (statement.toplevel) frame->context->set[statement.name] = macro;
      break;
    }
    case StmtKind::kCallBlock:
      run_call_block(statement, frame, sink);
      break;
    case StmtKind::kGeneration:
      run_generation(statement, frame, sink);
      break;
    case StmtKind::kFilterBlock:
      return run_filter_block(statement, frame, sink);
    case StmtKind::kWith:
      return run_with(statement, frame, sink);
    case StmtKind::kSet:
      run_set(statement, frame);
      break;
    case StmtKind::kSetBlock:
      return run_set_block(statement, frame);
    case StmtKind::kBlock:
      print_block(statement, frame, sink);
      break;
    case StmtKind::kAutoescape:
      return run_autoescape(statement, frame, sink);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
    case StmtKind::kInclude:
    case StmtKind::kExtends:
    case StmtKind::kImport:
    case StmtKind::kFromImport: {
      const char* tag = statement.kind == StmtKind::kInclude   ? "include"
                        : statement.kind == StmtKind::kExtends ? "extends"
                                                               : "import";
      evaluate(*statement.values[0], *frame);
      raise_type("line {}: {}: no loader for this environment specified", statement.line, tag);
    }
  }
  return Flow::kNormal;
}

void Interpreter::output(const Stmt& statement, const Frame& frame, Sink& sink) {
  for (const ExprPtr& expr : statement.values) {
    const bool escape = escapes(expr->escape);
    if (expr->kind == ExprKind::kConst && expr->constant.is_string() && !escape) {
      write(sink, expr->constant.text());
      continue;
    }
    const Value value = evaluate(*expr, *frame);
    if (escape) {
      write(sink, escape_html(runtime_, value));
    } else if (value.is_string()) {
      write(sink, value.text());
    } else {
      write(sink, to_text(runtime_, value));
    }
  }
}

Interpreter::Flow Interpreter::run_if(const Stmt& statement, const Frame& frame, Sink& sink) {
  if (truthy(evaluate(*statement.test, *frame))) return execute(statement.body, frame, sink);
  for (const StmtPtr& branch : statement.elifs) {
    if (truthy(evaluate(*branch->test, *frame))) return execute(branch->body, frame, sink);
  }
  return execute(statement.else_body, frame, sink);
}

bool Interpreter::passes(const Stmt& statement, const Frame& outer, const Value& item) {
  Activation frame(*statement.test_function, outer, outer->context);
  enter(statement.test_function->scope, frame);
  bind_test_target(*statement.targets[0], item, *statement.test_function, frame);
  return truthy(evaluate(*statement.test, frame));
}

void Interpreter::bind_test_target(const Expr& target, const Value& value, const FunctionInfo& function,
                                   Activation& frame) {
  if (target.kind == ExprKind::kTuple) {
    const std::vector<Value> parts = unpack(value, target.items.size());
    for (size_t i = 0; i < parts.size(); ++i) bind_test_target(*target.items[i], parts[i], function, frame);
    return;
  }
  for (const auto& [name, slot] : function.parameters) {
    if (name == target.name) frame.slots[static_cast<size_t>(slot)] = value;
  }
}

Interpreter::Flow Interpreter::run_for(const Stmt& statement, const Frame& frame, Sink& sink) {
  const Value iterable = evaluate(*statement.values[0], *frame);
  if (!statement.recursive) return run_loop(statement, frame, frame, iterable, 0, sink);
  write(sink, run_recursive_loop(statement, frame, iterable, 0).text());
  return Flow::kNormal;
}

Value Interpreter::run_recursive_loop(const Stmt& statement, const Frame& outer, const Value& iterable, int64_t depth) {
  const Budget::Depth guard(runtime_.budget);
  const Frame frame = std::make_shared<Activation>(*statement.function, outer, outer->context);
  Sink sink;
  run_loop(statement, outer, frame, iterable, depth, sink);
  return buffer_value(sink, statement.escape);
}

/// `outer` is the function around the loop, `frame` the one that holds the loop's variables: its own when it is
/// recursive.
Interpreter::Flow Interpreter::run_loop(const Stmt& statement, const Frame& outer, const Frame& frame,
                                        const Value& iterable, int64_t depth, Sink& sink) {
  Value source = iterable;
  if (statement.test != nullptr) {
    keep(outer);
    auto filtered = std::make_shared<LoopFilter>(*this, statement, outer, make_iterator(runtime_, iterable));
    check_depth(runtime_.budget, filtered->depth);
    source = Value(Type::kIterator, std::move(filtered));
  }
  std::shared_ptr<Iterator> iterator;
  std::shared_ptr<Loop> loop;
  if (statement.loop_slot >= 0) {
    if (statement.recursive) keep(frame);
    loop = std::make_shared<Loop>(runtime_, source, depth);
    if (statement.recursive) loop->set_recursion(*this, statement, outer);
  } else {
    iterator = make_iterator(runtime_, source);
  }
  bool untouched = true;  // no iteration came to its end
  Value item;
  while (loop != nullptr ? loop->next(runtime_, item) : iterator->next(runtime_, item)) {
    runtime_.budget.step();
    assign(*statement.targets[0], item, *frame);
    if (loop != nullptr) frame->slots[static_cast<size_t>(statement.loop_slot)] = Value(Type::kObject, loop);
    enter(statement.scope, *frame);
    const Flow flow = execute(statement.body, frame, sink);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) untouched = false;
  }
  leave(statement.scope, *frame);
  if (untouched && !statement.else_body.empty()) {
    enter(statement.else_scope, *frame);
    const Flow flow = execute(statement.else_body, frame, sink);
    leave(statement.else_scope, *frame);
    return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_with(const Stmt& statement, const Frame& frame, Sink& sink) {
  enter(statement.scope, *frame);
  for (size_t i = 0; i < statement.targets.size(); ++i) {
    assign(*statement.targets[i], evaluate(*statement.values[i], *frame), *frame);
  }
  const Flow flow = execute(statement.body, frame, sink);
  leave(statement.scope, *frame);
  return flow;
}

Interpreter::Flow Interpreter::run_filter_block(const Stmt& statement, const Frame& frame, Sink& sink) {
  enter(statement.scope, *frame);
  Sink buffer;
  const Flow flow = execute(statement.body, frame, buffer);
  if (flow == Flow::kNormal) {
    const Value body = buffer_value(buffer, statement.escape);
    write_raw(sink, evaluate_builtin(*statement.call, *frame, &body));
    leave(statement.scope, *frame);
  }
  return flow;
}

Interpreter::Flow Interpreter::run_set_block(const Stmt& statement, const Frame& frame) {
  enter(statement.scope, *frame);
  Sink buffer;
  const Flow flow = execute(statement.body, frame, buffer);
  if (flow != Flow::kNormal) return flow;
  Value value = buffer_value(buffer, statement.escape);
  if (statement.call != nullptr) value = evaluate_builtin(*statement.call, *frame, &value);
  if (runtime_.autoescape) value = runtime_.string(to_text(runtime_, value), true);
  assign(*statement.targets[0], value, *frame);
  if (statement.toplevel) export_names(*statement.targets[0], *frame);
  leave(statement.scope, *frame);
  return Flow::kNormal;
}

void Interpreter::run_set(const Stmt& statement, const Frame& frame) {
  const Expr& target = *statement.targets[0];
  const auto check = [&](const Expr& part, const auto& self) -> void {
    for (const ExprPtr& item : part.items) self(*item, self);
    if (part.kind == ExprKind::kNamespaceRef && frame->at(part.variable).get_if<Namespace>() == nullptr) {
      raise(TemplateErrorKind::kRuntime, "line {}: cannot assign attribute on non-namespace object '{}'", part.line,
            part.name);
    }
  };
  check(target, check);
  assign(target, evaluate(*statement.values[0], *frame), *frame);
  if (statement.toplevel) export_names(target, *frame);
}

void Interpreter::export_names(const Expr& target, Activation& frame) {
  for (const ExprPtr& item : target.items) export_names(*item, frame);
  if (target.kind == ExprKind::kName) frame.context->set[target.name] = frame.at(target.variable);
}

std::vector<Value> Interpreter::unpack(const Value& value, size_t count) {
  const std::shared_ptr<Iterator> iterator = make_iterator(runtime_, value);
  std::vector<Value> parts;
  Value part;
  while (iterator->next(runtime_, part)) {
    if (parts.size() == count) raise_type("too many values to unpack (expected {})", count);
    parts.push_back(part);
  }
  if (parts.size() < count) raise_type("not enough values to unpack (expected {}, got {})", count, parts.size());
  return parts;
}

void Interpreter::assign(const Expr& target, const Value& value, Activation& frame) {
  if (target.kind == ExprKind::kTuple) {
    const std::vector<Value> parts = unpack(value, target.items.size());
    for (size_t i = 0; i < parts.size(); ++i) assign(*target.items[i], parts[i], frame);
  } else if (target.kind == ExprKind::kNamespaceRef) {
    auto* object = frame.at(target.variable).get_if<Namespace>();
    if (object == nullptr) raise_type("'{}' does not support item assignment", target.name);
    object->set(runtime_, runtime_.string(target.attribute), value);
  } else {
    frame.at(target.variable) = value;
  }
}

Value Interpreter::make_macro(const Stmt& statement, const Frame& frame, std::string name) {
  keep(frame);
  return Value(Type::kObject, std::make_shared<Macro>(*this, statement, frame, std::move(name)));
}

Value Interpreter::call_macro(const Stmt& statement, const Frame& outer, Args& args, const std::string& name) {
  const Budget::Depth guard(runtime_.budget);
  runtime_.budget.step();
  const FunctionInfo& info = *statement.function;
  const Frame frame = std::make_shared<Activation>(info, outer, outer->context);
  const auto slot = [&](int32_t index) -> Value& { return frame->slots[static_cast<size_t>(index)]; };
  const size_t count = info.parameters.size();
  const auto pop_keyword = [&](std::string_view key) {
    const auto it =
        std::find_if(args.keyword.begin(), args.keyword.end(), [&](const auto& item) { return item.first == key; });
    if (it == args.keyword.end()) return Value();
    Value value = std::move(it->second);
    args.keyword.erase(it);
    return value;
  };
  enter(info.scope, *frame);
  for (size_t i = 0; i < count; ++i) {
    slot(info.parameters[i].second) =
        i < args.positional.size() ? args.positional[i] : pop_keyword(info.parameters[i].first);
  }
  if (info.caller_slot >= 0) {
    Value caller = pop_keyword("caller");
    if (caller.is_missing() || caller.is_none()) caller = undefined_hint("No caller defined");
    slot(info.caller_slot) = std::move(caller);
  }
  if (info.kwargs_slot >= 0) {
    slot(info.kwargs_slot) = make_keyword_dict(runtime_, args);
  } else if (!args.keyword.empty()) {
    raise_type("macro '{}' takes no keyword argument '{}'", name, args.keyword[0].first);
  }
  if (info.varargs_slot >= 0) {
    const size_t used = std::min(count, args.positional.size());
    slot(info.varargs_slot) =
        runtime_.tuple({args.positional.begin() + static_cast<int64_t>(used), args.positional.end()});
  } else if (args.positional.size() > count) {
    raise_type("macro '{}' takes not more than {} argument(s)", name, count);
  }
  const size_t first_default = count - statement.values.size();
  for (size_t i = 0; i < count; ++i) {
    Value& parameter = slot(info.parameters[i].second);
    if (!parameter.is_missing()) continue;
    if (i < first_default) {
      parameter = undefined_hint(fmt::format("parameter '{}' was not provided", info.parameters[i].first));
    } else {
      Value value = evaluate(*statement.values[i - first_default], *frame);
      slot(info.parameters[i].second) = std::move(value);
    }
  }
  Sink sink;
  execute(statement.body, frame, sink);
  return runtime_.string(joined(sink), runtime_.autoescape);
}

void Interpreter::run_call_block(const Stmt& statement, const Frame& frame, Sink& sink) {
  const Value caller = make_macro(statement, frame, "");
  write_raw(sink, evaluate_call(*statement.call, *frame, &caller));
}

void Interpreter::run_generation(const Stmt& statement, const Frame& frame, Sink& sink) {
  Args none;
  const int64_t start = result_.code_points;
  const Value text = call_macro(statement, frame, none, "caller");
  generation_.emplace_back(start, start + text.as<String>().length);
  write(sink, text.text());
}

const Stmt* Interpreter::find_block(std::string_view name) const {
  for (const Stmt* block : program_.blocks) {
    if (block->name == name) return block;
  }
  return nullptr;
}

void Interpreter::print_block(const Stmt& statement, const Frame& frame, Sink& sink) {
  if (statement.required) raise(TemplateErrorKind::kRuntime, "Required block '{}' not found", statement.name);
  std::shared_ptr<Context> context = frame->context;
  if (statement.scoped) {
    auto derived = std::make_shared<Context>();
    runtime_.keep(derived);
    derived->given = context->given;
    for (const auto& [name, value] : context->set) derived->given[name] = value;
    for (size_t i = 0; i < statement.names.size(); ++i) {
      const Value& value = frame->at(statement.variables[i]);
      if (!value.is_missing()) derived->given[statement.names[i]] = value;
    }
    runtime_.budget.items(static_cast<int64_t>(derived->given.size()) * 4);  // kept until the end
    context = std::move(derived);
  }
  print_block_body(statement, context, sink);
}

void Interpreter::print_block_body(const Stmt& statement, const std::shared_ptr<Context>& context, Sink& sink) {
  const Budget::Depth guard(runtime_.budget);
  const FunctionInfo& info = *statement.function;
  const Frame frame = std::make_shared<Activation>(info, nullptr, context);
  if (info.self_slot >= 0) frame->slots[static_cast<size_t>(info.self_slot)] = make_template_reference(*this, context);
  if (info.super_slot >= 0) {
    frame->slots[static_cast<size_t>(info.super_slot)] =
        undefined_hint(fmt::format("there is no parent block called '{}'.", statement.name));
  }
  enter(info.scope, *frame);
  execute(statement.body, frame, sink);
}

std::string Interpreter::run_block(const Stmt& statement, const std::shared_ptr<Context>& context) {
  Sink sink;
  print_block_body(statement, context, sink);
  return joined(sink);
}

Interpreter::Flow Interpreter::run_autoescape(const Stmt& statement, const Frame& frame, Sink& sink) {
  enter(statement.scope, *frame);
  const bool before = runtime_.autoescape;
  runtime_.autoescape = truthy(evaluate(*statement.test, *frame));
  const Flow flow = execute(statement.body, frame, sink);
  if (flow != Flow::kNormal) return flow;  // Jinja leaves the flag as it is when a loop is left from here
  runtime_.autoescape = before;
  leave(statement.scope, *frame);
  return Flow::kNormal;
}

}  // namespace duet::jinja
