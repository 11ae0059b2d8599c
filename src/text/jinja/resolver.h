#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/symbols.h"

namespace duet::jinja {

/// Gives every variable of a parsed template its slot and checks what Jinja checks while compiling.
/// Throws TemplateError: syntax (unknown filter or test, block defined twice, assignment to loop) or type (break
/// outside a loop).
class Resolver {
 public:
  explicit Resolver(Program& program, Budget& budget) : program_(program), budget_(budget) {}
  void run();

 private:
  struct Frame {
    Symbols* symbols;
    FunctionSlots* function;
    bool toplevel = false;
    bool soft = false;  // inside a condition: unknown filters are errors only when they are reached
    Escape escape = Escape::kOff;
    bool constants_escape = false;  // where `escape` is dynamic: what the last constant flag around said
    int loops = 0;                  // around, within the function
    bool prints = false;            // what it prints is the template's own text, which an extends above drops
  };

  void collect_blocks(const Body& body);
  void block_function(Stmt& statement);
  void statements(Body& body, const Frame& frame);
  void statement(Stmt& statement, const Frame& frame);
  void for_loop(Stmt& statement, const Frame& frame);
  void macro_body(Stmt& statement, const Frame& frame);
  void scope_body(Stmt& statement, const Frame& frame);
  void set(Stmt& statement, const Frame& frame);
  void target(Expr& target, const Frame& frame);
  void expression(Expr* expr, const Frame& frame);
  void parts(Expr& expr, const Frame& frame);
  void mark_folded(size_t begin);
  /// Whether an expression is constant, given that what its conditions skip (an unknown filter, say) does not count.
  void folding_traits(Expr& expr);
  /// Remembers what Python's compiler would refuse: Jinja finds its own faults, wherever they are, before that.
  void refuse(std::string message) {
    if (refused_.empty()) refused_ = std::move(message);
  }
  bool fold(const Expr& expr, bool& truth);
  VariableRef reference(const std::string& name, const Frame& frame) const;
  static Frame inner(const Frame& frame, Symbols& symbols);

  Program& program_;
  Budget& budget_;
  std::string refused_;
  bool extends_ = false;         // an extends that no condition guards stands above
  std::vector<Expr*> foldable_;  // of the expression at hand, as far as they stand in no folded part of it
  std::vector<std::unique_ptr<Symbols>> symbols_;
  std::vector<std::unique_ptr<FunctionSlots>> functions_;
  Symbols& new_symbols(Symbols* parent, FunctionSlots* function);
  FunctionSlots& new_function(FunctionInfo& info, FunctionSlots* outer);
};

}  // namespace duet::jinja
