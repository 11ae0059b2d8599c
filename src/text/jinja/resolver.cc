#include "text/jinja/resolver.h"

#include <algorithm>
#include <optional>
#include <set>

#include "text/jinja/interpreter.h"

namespace duet::jinja {
namespace {

/// Calls visit(expr) for the names that the targets and expressions of a statement set, in it and below.
bool sets_name(const Expr& target, std::string_view name) {
  if (target.kind == ExprKind::kName) return target.name == name;
  return std::any_of(target.items.begin(), target.items.end(),
                     [&](const ExprPtr& item) { return sets_name(*item, name); });
}

bool body_sets_name(const Body& body, std::string_view name);
bool statement_sets_name(const Stmt& statement, std::string_view name) {
  if (statement.kind == StmtKind::kFor || statement.kind == StmtKind::kSet || statement.kind == StmtKind::kSetBlock) {
    if (sets_name(*statement.targets[0], name)) return true;
  }
  return body_sets_name(statement.body, name) || body_sets_name(statement.elifs, name) ||
         body_sets_name(statement.else_body, name);
}
bool body_sets_name(const Body& body, std::string_view name) {
  return std::any_of(body.begin(), body.end(), [&](const StmtPtr& part) { return statement_sets_name(*part, name); });
}

bool has_scoped_block(const Body& body) {
  return std::any_of(body.begin(), body.end(), [](const StmtPtr& part) {
    return (part->kind == StmtKind::kBlock && part->scoped) || has_scoped_block(part->body) ||
           has_scoped_block(part->elifs) || has_scoped_block(part->else_body);
  });
}

}  // namespace

Symbols& Resolver::new_symbols(Symbols* parent, FunctionSlots* function) {
  return *symbols_.emplace_back(std::make_unique<Symbols>(parent, function));
}

FunctionSlots& Resolver::new_function(FunctionInfo& info, FunctionSlots* outer) {
  auto slots = std::make_unique<FunctionSlots>();
  slots->info = &info;
  slots->outer = outer;
  slots->budget = &budget_;
  return *functions_.emplace_back(std::move(slots));
}

Resolver::Frame Resolver::inner(const Frame& frame, Symbols& symbols) {
  return {.symbols = &symbols,
          .function = symbols.function(),
          .escape = frame.escape,
          .constants_escape = frame.constants_escape,
          .loops = frame.loops,
          .prints = frame.prints};
}

void Resolver::run() {
  collect_blocks(program_.body);
  FunctionSlots& function = new_function(program_.function, nullptr);
  Symbols& symbols = new_symbols(nullptr, &function);
  if (!undeclared_names(program_.body, {"self"}).empty())
    program_.function.self_slot = symbols.declare_parameter("self");
  symbols.analyze(program_.body);
  program_.function.scope = symbols.scope();
  statements(program_.body, {.symbols = &symbols, .function = &function, .toplevel = true, .prints = true});
  for (const Stmt* block : program_.blocks) block_function(const_cast<Stmt&>(*block));
  if (!refused_.empty()) raise_type("{}", refused_);
}

void Resolver::collect_blocks(const Body& body) {
  for (const StmtPtr& statement : body) {
    if (statement->kind == StmtKind::kBlock) {
      for (const Stmt* block : program_.blocks) {
        if (block->name == statement->name) {
          raise(TemplateErrorKind::kSyntax, "line {}: block '{}' defined twice", statement->line, statement->name);
        }
      }
      budget_.items(static_cast<int64_t>(program_.blocks.size()));
      program_.blocks.push_back(statement.get());
    }
    if (statement->kind == StmtKind::kGeneration) program_.has_generation = true;
    collect_blocks(statement->body);
    collect_blocks(statement->elifs);
    collect_blocks(statement->else_body);
  }
}

/// A block is a function of its own that sees the context and none of the variables around it.
void Resolver::block_function(Stmt& statement) {
  FunctionSlots& function = new_function(*statement.function, nullptr);
  Symbols& symbols = new_symbols(nullptr, &function);
  const std::set<std::string> special = undeclared_names(statement.body, {"self", "super"});
  if (special.contains("self")) statement.function->self_slot = symbols.declare_parameter("self");
  if (special.contains("super")) statement.function->super_slot = symbols.declare_parameter("super");
  symbols.analyze(statement);
  statement.function->scope = symbols.scope();
  statements(statement.body, {.symbols = &symbols, .function = &function});
}

VariableRef Resolver::reference(const std::string& name, const Frame& frame) const {
  const std::optional<VariableRef> ref = frame.symbols->find(name, *frame.function);
  if (!ref) raise_type("Tried to resolve a name to a reference that was unknown to the frame ('{}')", name);
  return *ref;
}

void Resolver::statements(Body& body, const Frame& frame) {
  for (StmtPtr& part : body) {
    if (extends_) {  // Jinja compiles, and so checks, no output below it, and nothing that follows a second one
      if (part->kind == StmtKind::kExtends && frame.toplevel) return;
      if (part->kind == StmtKind::kOutput && frame.prints) continue;
    }
    statement(*part, frame);
  }
}

void Resolver::statement(Stmt& statement, const Frame& frame) {
  statement.escape = frame.escape;
  statement.toplevel = frame.toplevel;
  switch (statement.kind) {
    case StmtKind::kOutput:
      for (ExprPtr& value : statement.values) {
        foldable_.clear();
        expression(value.get(), frame);
        bool truth = false;
        if (foldable_.empty() && frame.escape != Escape::kDynamic) continue;
        if (!fold(*value, truth)) continue;
        mark_folded(0);  // what is printed need not be a literal
        // Jinja prints a constant when it compiles, where it knows nothing of a flag that is a variable.
        if (frame.escape == Escape::kDynamic) value->escape = frame.constants_escape ? Escape::kOn : Escape::kOff;
      }
      break;
    case StmtKind::kFor:
      for_loop(statement, frame);
      break;
    case StmtKind::kIf: {
      Frame soft = frame;
      soft.soft = true;
      expression(statement.test.get(), soft);
      statements(statement.body, soft);
      for (StmtPtr& branch : statement.elifs) {
        expression(branch->test.get(), soft);
        statements(branch->body, soft);
      }
      statements(statement.else_body, soft);
      break;
    }
    case StmtKind::kMacro:
      macro_body(statement, frame);
      statement.variable = reference(statement.name, frame);
      break;
    case StmtKind::kCallBlock:
      macro_body(statement, frame);
      expression(statement.call.get(), frame);
      break;
    case StmtKind::kGeneration:
      macro_body(statement, frame);
      break;
    case StmtKind::kFilterBlock:
    case StmtKind::kWith:
    case StmtKind::kAutoescape:
      scope_body(statement, frame);
      break;
    case StmtKind::kSet:
    case StmtKind::kSetBlock:
      set(statement, frame);
      break;
    case StmtKind::kBlock:
      statement.function = std::make_unique<FunctionInfo>();
      if (statement.scoped) {
        for (std::string& name : frame.symbols->stored_names()) {
          statement.variables.push_back(reference(name, frame));
          statement.names.push_back(std::move(name));
        }
      }
      break;
    case StmtKind::kInclude:
    case StmtKind::kImport:
    case StmtKind::kFromImport:
      expression(statement.values[0].get(), frame);
      break;
    case StmtKind::kExtends:
      if (!frame.toplevel) {
        raise(TemplateErrorKind::kSyntax, "line {}: cannot use extend from a non top-level scope", statement.line);
      }
      expression(statement.values[0].get(), frame);
      extends_ = extends_ || !frame.soft;
      break;
    case StmtKind::kBreak:
    case StmtKind::kContinue:
      if (frame.loops == 0) {
        refuse(fmt::format("line {}: '{}' outside loop", statement.line,
                           statement.kind == StmtKind::kBreak ? "break" : "continue"));
      }
      break;
  }
}

void Resolver::for_loop(Stmt& statement, const Frame& frame) {
  FunctionSlots* body_function = frame.function;
  if (statement.recursive) {
    statement.function = std::make_unique<FunctionInfo>();
    body_function = &new_function(*statement.function, frame.function);
  }
  Symbols& loop_symbols = new_symbols(frame.symbols, body_function);
  const bool extended = statement.recursive || !undeclared_names(statement.body, {"loop"}).empty() ||
                        has_scoped_block(statement.body) || has_scoped_block(statement.else_body);
  if (extended) statement.loop_slot = loop_symbols.declare_parameter("loop");
  loop_symbols.analyze(statement);
  Symbols& else_symbols = new_symbols(frame.symbols, body_function);
  if (!statement.else_body.empty()) else_symbols.analyze(statement, Symbols::Part::kElse);
  if (statement.test != nullptr) {
    // The filter is a function of its own: it sees its own copy of the targets and none of the body's variables.
    statement.test_function = std::make_unique<FunctionInfo>();
    FunctionSlots& test_slots = new_function(*statement.test_function, frame.function);
    Symbols& test_symbols = new_symbols(frame.symbols, &test_slots);
    test_symbols.analyze(statement, Symbols::Part::kTest);
    statement.test_function->scope = test_symbols.scope();
    Frame test_frame = inner(frame, test_symbols);
    expression(statement.test.get(), test_frame);
    for (const auto& [key, slot] : test_slots.slots) statement.test_function->parameters.emplace_back(key.second, slot);
  }
  if (statement_sets_name(statement, "loop")) {
    raise(TemplateErrorKind::kSyntax, "line {}: Can't assign to special loop variable in for-loop target",
          statement.line);
  }
  Frame loop_frame = inner(frame, loop_symbols);
  loop_frame.loops = statement.recursive ? 1 : frame.loops + 1;
  target(*statement.targets[0], loop_frame);
  expression(statement.values[0].get(), frame);
  statement.scope = loop_symbols.scope();
  statements(statement.body, loop_frame);
  Frame else_frame = inner(frame, else_symbols);
  if (statement.recursive) else_frame.loops = 0;
  statement.else_scope = else_symbols.scope();
  statements(statement.else_body, else_frame);
}

void Resolver::macro_body(Stmt& statement, const Frame& frame) {
  statement.function = std::make_unique<FunctionInfo>();
  FunctionInfo& info = *statement.function;
  FunctionSlots& function = new_function(info, frame.function);
  Symbols& symbols = new_symbols(frame.symbols, &function);
  symbols.analyze(statement);
  const std::set<std::string> special = undeclared_names(statement.body, {"caller", "kwargs", "varargs"});
  const auto position = std::find(statement.parameters.begin(), statement.parameters.end(), "caller");
  const bool explicit_caller = position != statement.parameters.end();
  const auto is_parameter = [&](std::string_view name) {
    return std::find(statement.parameters.begin(), statement.parameters.end(), name) != statement.parameters.end();
  };
  info.accesses_caller = special.contains("caller");
  if (info.accesses_caller) {
    const size_t first_default = statement.parameters.size() - statement.values.size();
    if (explicit_caller && static_cast<size_t>(position - statement.parameters.begin()) < first_default) {
      raise(
          TemplateErrorKind::kSyntax,
          "line {}: When defining macros or call blocks the special \"caller\" argument must be omitted or be given a default.",
          statement.line);
    }
    if (!explicit_caller) info.caller_slot = symbols.declare_parameter("caller");
  }
  if (special.contains("kwargs") && !is_parameter("kwargs")) info.kwargs_slot = symbols.declare_parameter("kwargs");
  if (special.contains("varargs") && !is_parameter("varargs")) info.varargs_slot = symbols.declare_parameter("varargs");
  symbols.analyze(statement);
  std::set<std::string_view> names;
  for (const std::string& name : statement.parameters) {
    if (!names.insert(name).second)
      refuse(fmt::format("line {}: duplicate argument '{}' in function definition", statement.line, name));
    info.parameters.emplace_back(name, symbols.find(name, function)->slot);
  }
  info.scope = symbols.scope();
  Frame body_frame = inner(frame, symbols);
  body_frame.loops = 0;
  body_frame.prints = false;
  for (ExprPtr& value : statement.values) expression(value.get(), body_frame);
  statements(statement.body, body_frame);
}

void Resolver::scope_body(Stmt& statement, const Frame& frame) {
  Symbols& symbols = new_symbols(frame.symbols, frame.function);
  symbols.analyze(statement);
  statement.scope = symbols.scope();
  Frame body_frame = inner(frame, symbols);
  if (statement.kind == StmtKind::kWith) {
    for (ExprPtr& item : statement.targets) target(*item, body_frame);
    for (ExprPtr& value : statement.values) expression(value.get(), frame);
  } else if (statement.kind == StmtKind::kAutoescape) {
    expression(statement.test.get(), body_frame);
    bool on = false;
    const bool known = fold(*statement.test, on);
    if (known) body_frame.constants_escape = on;
    // Once a flag is a variable, Jinja treats all below as dynamic, blocks with a constant flag too.
    if (frame.escape != Escape::kDynamic) {
      body_frame.escape = !known ? Escape::kDynamic : on ? Escape::kOn : Escape::kOff;
    }
  }
  statements(statement.body, body_frame);
  if (statement.kind == StmtKind::kFilterBlock) expression(statement.call.get(), body_frame);
}

void Resolver::set(Stmt& statement, const Frame& frame) {
  if (statement.kind == StmtKind::kSet) {
    target(*statement.targets[0], frame);
    expression(statement.values[0].get(), frame);
    return;
  }
  Symbols& symbols = new_symbols(frame.symbols, frame.function);
  symbols.analyze(statement);
  statement.scope = symbols.scope();
  const Frame body_frame = inner(frame, symbols);
  statements(statement.body, body_frame);
  target(*statement.targets[0], frame);
  expression(statement.call.get(), body_frame);
}

void Resolver::target(Expr& target_expr, const Frame& frame) {
  if (target_expr.kind == ExprKind::kTuple) {
    for (ExprPtr& item : target_expr.items) target(*item, frame);
  } else {
    target_expr.variable = reference(target_expr.name, frame);
  }
}

bool Resolver::fold(const Expr& expr, bool& truth) {
  if (expr.kind == ExprKind::kAnd || expr.kind == ExprKind::kOr) {
    if (!fold(*expr.a, truth)) return false;
    return truth == (expr.kind == ExprKind::kOr) || fold(*expr.b, truth);
  }
  if (expr.kind == ExprKind::kCondition) {
    if (!fold(*expr.a, truth)) return false;
    const Expr* chosen = truth ? expr.b.get() : expr.c.get();
    return chosen != nullptr && fold(*chosen, truth);
  }
  return !expr.unknown_below && constant_truth(budget_, expr, truth);
}

/// Where it shows in the result that Jinja folds constants when it compiles (not inside an autoescape block whose flag
/// is a variable).
void Resolver::folding_traits(Expr& expr) {
  const bool dynamic = expr.escape == Escape::kDynamic;
  if (expr.kind == ExprKind::kConcat && expr.escape != Escape::kOff) {
    expr.joins_plainly = dynamic || is_folded(budget_, expr);
  }
  if (expr.kind == ExprKind::kBinary && expr.binary == BinaryOp::kPow && !dynamic) {
    expr.negated_power = is_folded_negative(budget_, *expr.a) && !is_folded(budget_, expr);
  }
}

void Resolver::mark_folded(size_t begin) {
  for (size_t i = begin; i < foldable_.size(); ++i) foldable_[i]->folded = true;
  foldable_.resize(begin);
}

void Resolver::expression(Expr* expr, const Frame& frame) {
  if (expr == nullptr) return;
  const size_t begin = foldable_.size();
  parts(*expr, frame);
  const bool slice = expr->kind == ExprKind::kGetitem && expr->b->kind == ExprKind::kSlice;
  const bool spread = (expr->kind == ExprKind::kFilter || expr->kind == ExprKind::kTest) &&
                      expr->arguments != nullptr && expr->arguments->more_keyword != nullptr;
  if (slice || spread) foldable_.push_back(expr);
  // From the inside outwards, as Jinja's optimizer goes.
  if (foldable_.size() > begin && is_folded_literal(budget_, *expr)) mark_folded(begin);
}

void Resolver::parts(Expr& whole, const Frame& frame) {
  Expr* const expr = &whole;
  expr->escape = frame.escape;
  bool truth = false;
  const bool chooses =
      expr->kind == ExprKind::kAnd || expr->kind == ExprKind::kOr || expr->kind == ExprKind::kCondition;
  if (expr->unknown_below && chooses && fold(*expr, truth)) {
    // Jinja folds this to the operand that is chosen and never looks at the others.
    fold(*expr->a, truth);
    const bool condition = expr->kind == ExprKind::kCondition;
    const bool first = condition ? truth : truth == (expr->kind == ExprKind::kOr);
    ExprPtr chosen = condition ? std::move(first ? expr->b : expr->c) : std::move(first ? expr->a : expr->b);
    Expr moved = std::move(*chosen);
    *expr = std::move(moved);
    return parts(*expr, frame);
  }
  if (expr->kind == ExprKind::kName) expr->variable = reference(expr->name, frame);
  const bool is_filter = expr->kind == ExprKind::kFilter;
  if ((is_filter || expr->kind == ExprKind::kTest) && expr->function == nullptr && !frame.soft) {
    raise(TemplateErrorKind::kSyntax, "line {}: No {} named '{}'.", expr->line, is_filter ? "filter" : "test",
          expr->name);
  }
  Frame soft = frame;
  soft.soft = frame.soft || expr->kind == ExprKind::kCondition;
  expression(expr->a.get(), soft);
  expression(expr->b.get(), soft);
  expression(expr->c.get(), soft);
  for (ExprPtr& item : expr->items) expression(item.get(), soft);
  folding_traits(*expr);
  if (expr->arguments == nullptr) return;
  for (ExprPtr& item : expr->arguments->positional) expression(item.get(), soft);
  std::set<std::string_view> names;
  for (auto& [name, value] : expr->arguments->keyword) {
    if (!names.insert(name).second) refuse(fmt::format("line {}: keyword argument repeated: {}", expr->line, name));
    expression(value.get(), soft);
  }
  expression(expr->arguments->more_positional.get(), soft);
  expression(expr->arguments->more_keyword.get(), soft);
}

}  // namespace duet::jinja
