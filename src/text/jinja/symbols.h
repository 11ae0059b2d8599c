#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"

namespace duet::jinja {

/// Slots of one function while it is being resolved.
struct FunctionSlots {
  FunctionInfo* info = nullptr;
  FunctionSlots* outer = nullptr;
  Budget* budget = nullptr;
  std::map<std::pair<int, std::string>, int32_t> slots;  // (level of the scope, name)
  int32_t slot(int level, const std::string& name);
};

/// The names of one scope and where they come from. Jinja decides this while compiling: a name that is set anywhere in
/// a scope belongs to it from the start, taking its first value from outside (jinja2/idtracking.py has the reference
/// rules).
class Symbols {
 public:
  Symbols(Symbols* parent, FunctionSlots* function)
      : level_(parent == nullptr ? 0 : parent->level_ + 1), parent_(parent), function_(function) {}

  enum class Part { kBody, kElse, kTest };
  /// Collects the names of the scope that `statement` opens.
  void analyze(const Stmt& statement, Part part = Part::kBody);
  /// Collects the names of the statements of a template.
  void analyze(const Body& body);

  int32_t declare_parameter(const std::string& name);
  /// Where the name lives, seen from `function`; std::nullopt for a name that no analysis has met.
  std::optional<VariableRef> find(const std::string& name, const FunctionSlots& function) const;
  /// What entering and leaving the scope does.
  Scope scope() const;
  /// All names that are set in this scope and outward, for scoped blocks.
  std::vector<std::string> stored_names() const;
  FunctionSlots* function() const { return function_; }

 private:
  enum class Load { kParameter, kResolve, kAlias, kUndefined };
  struct Ref {
    FunctionSlots* function;
    int32_t slot;
  };
  struct LoadInfo {
    Load load;
    std::string name;
    Ref source{};
  };

  const Ref* find_ref(const std::string& name) const;
  int32_t define(const std::string& name, LoadInfo info);
  void store(const std::string& name);
  void load(const std::string& name);
  void visit(const Body& body);
  void visit(const Stmt& statement);
  void visit(const Expr* expr);
  void visit_target(const Expr& target, bool as_parameter);
  void merge_branches(const std::vector<Symbols>& branches);
  static VariableRef seen_from(const Ref& ref, const FunctionSlots& function);

  int level_;
  Symbols* parent_;
  FunctionSlots* function_;
  std::map<std::string, Ref> refs_;
  std::map<int32_t, LoadInfo> loads_;  // by slot
  std::set<std::string> stores_;
};

/// Which of `names` the statements read before they set them. Blocks are not looked into.
std::set<std::string> undeclared_names(const Body& body, std::set<std::string> names);

}  // namespace duet::jinja
