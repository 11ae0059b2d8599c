#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace duet::jinja {

class Interpreter;

/// Variables by name: what the template was given, and over it what its top level has set.
struct Context final : Runtime::Cyclic {
  std::unordered_map<std::string, Value> given;
  std::unordered_map<std::string, Value> set;
  Value find(const std::string& name) const;  // missing if absent
  void clear() override {                     // a macro in it keeps the activation that keeps it
    given.clear();
    set.clear();
  }
};

/// The slots of one running function. Functions defined inside keep it alive and see its current values.
class Activation final : public Runtime::Cyclic {
 public:
  Activation(const FunctionInfo& function, std::shared_ptr<Activation> o, std::shared_ptr<Context> c)
      : slots(static_cast<size_t>(function.slot_count)), outer(std::move(o)), context(std::move(c)) {}
  void clear() override { slots.clear(); }
  Value& at(const VariableRef& ref);

  std::vector<Value> slots;
  std::shared_ptr<Activation> outer;
  std::shared_ptr<Context> context;
  bool kept = false;  // registered with the runtime
};

/// Where text goes: the result, or the buffer of a macro, filter or set block.
struct Sink {
  std::string text;
  int64_t code_points = 0;  // counted for the result only
  bool is_result = false;
  std::string not_text;  // type of something printed raw that is no text: the whole cannot be joined then
};

/// Runs a resolved template once.
class Interpreter {
 public:
  Interpreter(const Program& program, Runtime& runtime) : program_(program), runtime_(runtime) {}

  /// Renders with the given variables.
  std::string render(std::unordered_map<std::string, Value> variables);
  /// Code point spans of generation blocks, in the order in which they ended.
  const std::vector<std::pair<int64_t, int64_t>>& generation() const { return generation_; }

  Runtime& runtime() { return runtime_; }
  Value evaluate(const Expr& expr, Activation& frame);
  /// The same as Jinja evaluates constants when it compiles: a slice of what has none is undefined then.
  Value evaluate_folding(const Expr& expr, Activation& frame) {
    folding_ = true;
    return evaluate(expr, frame);
  }
  /// The body of a macro or call block with its arguments bound.
  Value call_macro(const Stmt& statement, const std::shared_ptr<Activation>& outer, Args& args,
                   const std::string& name);
  /// One level of a recursive loop.
  Value run_recursive_loop(const Stmt& statement, const std::shared_ptr<Activation>& outer, const Value& iterable,
                           int64_t depth);
  std::string run_block(const Stmt& statement, const std::shared_ptr<Context>& context);
  const Stmt* find_block(std::string_view name) const;
  /// Whether the filter of a loop lets an item through.
  bool passes(const Stmt& statement, const std::shared_ptr<Activation>& outer, const Value& item);

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  using Frame = std::shared_ptr<Activation>;

  // statements (interpreter.cc)
  Flow execute(const Body& body, const Frame& frame, Sink& sink);
  Flow execute(const Stmt& statement, const Frame& frame, Sink& sink);
  void output(const Stmt& statement, const Frame& frame, Sink& sink);
  Flow run_if(const Stmt& statement, const Frame& frame, Sink& sink);
  Flow run_for(const Stmt& statement, const Frame& frame, Sink& sink);
  Flow run_loop(const Stmt& statement, const Frame& outer, const Frame& frame, const Value& iterable, int64_t depth,
                Sink& sink);
  Flow run_with(const Stmt& statement, const Frame& frame, Sink& sink);
  Flow run_filter_block(const Stmt& statement, const Frame& frame, Sink& sink);
  Flow run_set_block(const Stmt& statement, const Frame& frame);
  void run_set(const Stmt& statement, const Frame& frame);
  void run_call_block(const Stmt& statement, const Frame& frame, Sink& sink);
  void run_generation(const Stmt& statement, const Frame& frame, Sink& sink);
  void print_block(const Stmt& statement, const Frame& frame, Sink& sink);
  void print_block_body(const Stmt& statement, const std::shared_ptr<Context>& context, Sink& sink);
  Flow run_autoescape(const Stmt& statement, const Frame& frame, Sink& sink);
  Value make_macro(const Stmt& statement, const Frame& frame, std::string name);
  void keep(const Frame& frame);
  void enter(const Scope& scope, Activation& frame);
  static void leave(const Scope& scope, Activation& frame);
  void assign(const Expr& target, const Value& value, Activation& frame);
  void bind_test_target(const Expr& target, const Value& value, const FunctionInfo& function, Activation& frame);
  std::vector<Value> unpack(const Value& value, size_t count);
  void export_names(const Expr& target, Activation& frame);
  void write(Sink& sink, std::string_view text);
  /// What a filter block or call block gives goes out as it is; what is no text is an error when the sink is joined.
  void write_raw(Sink& sink, const Value& value);
  static std::string joined(Sink& sink);
  Value buffer_value(Sink& sink, Escape escape);
  bool escapes(Escape escape) const;

  // expressions (evaluator.cc)
  Value evaluate_container(const Expr& expr, Activation& frame);
  Value evaluate_compare(const Expr& expr, Activation& frame);
  Value evaluate_concat(const Expr& expr, Activation& frame);
  Value evaluate_item(const Expr& expr, Activation& frame);
  Value evaluate_slice(const Expr& expr, Activation& frame);
  Value evaluate_builtin(const Expr& expr, Activation& frame, const Value* given);
  Value evaluate_call(const Expr& expr, Activation& frame, const Value* caller);
  Value evaluate_name(const Expr& expr, Activation& frame);
  Args evaluate_arguments(const CallArguments& arguments, Activation& frame, const Value* first, bool replace = false);

  const Program& program_;
  Runtime& runtime_;
  bool folding_ = false;
  Sink result_;
  std::vector<std::pair<int64_t, int64_t>> generation_;
};

/// Whether an expression has a value without any variable, and whether that is true. False for what fails as well. The
/// work is counted by `budget`.
bool constant_truth(Budget& budget, const Expr& expr, bool& truth);
/// Whether Jinja folds an expression when it compiles, and to a negative number.
bool is_folded(Budget& budget, const Expr& expr);
bool is_folded_negative(Budget& budget, const Expr& expr);
/// Whether the value of a folded expression can stand in its place: not one that only Python objects can be.
bool is_folded_literal(Budget& budget, const Expr& expr);

}  // namespace duet::jinja
