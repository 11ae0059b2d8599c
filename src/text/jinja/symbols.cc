#include "text/jinja/symbols.h"

#include "base/check.h"

namespace duet::jinja {

int32_t FunctionSlots::slot(int level, const std::string& name) {
  const auto [it, added] = slots.try_emplace({level, name}, info->slot_count);
  if (added) ++info->slot_count;
  return it->second;
}

const Symbols::Ref* Symbols::find_ref(const std::string& name) const {
  for (const Symbols* scope = this; scope != nullptr; scope = scope->parent_) {
    const auto it = scope->refs_.find(name);
    if (it != scope->refs_.end()) return &it->second;
  }
  return nullptr;
}

int32_t Symbols::define(const std::string& name, LoadInfo info) {
  const int32_t slot = function_->slot(level_, name);
  refs_[name] = Ref{function_, slot};
  loads_[slot] = std::move(info);
  return slot;
}

int32_t Symbols::declare_parameter(const std::string& name) {
  stores_.insert(name);
  return define(name, {Load::kParameter, name});
}

void Symbols::store(const std::string& name) {
  stores_.insert(name);
  if (refs_.contains(name)) return;
  const Ref* outer = parent_ == nullptr ? nullptr : parent_->find_ref(name);
  if (outer != nullptr) {
    define(name, {Load::kAlias, name, *outer});
  } else {
    define(name, {Load::kUndefined, name});
  }
}

void Symbols::load(const std::string& name) {
  if (find_ref(name) == nullptr) define(name, {Load::kResolve, name});
}

VariableRef Symbols::seen_from(const Ref& ref, const FunctionSlots& function) {
  VariableRef out{0, ref.slot};
  for (const FunctionSlots* at = &function; at != ref.function; at = at->outer) {
    DUET_CHECK(at != nullptr);
    ++out.hops;
  }
  return out;
}

std::optional<VariableRef> Symbols::find(const std::string& name, const FunctionSlots& function) const {
  const Ref* ref = find_ref(name);
  if (ref == nullptr) return std::nullopt;
  return seen_from(*ref, function);
}

Scope Symbols::scope() const {
  Scope out;
  for (const auto& [slot, info] : loads_) {
    out.slots.push_back(slot);
    switch (info.load) {
      case Load::kParameter:
        break;
      case Load::kResolve:
        out.loads.push_back({ScopeLoad::Kind::kResolve, slot, info.name, {}});
        break;
      case Load::kUndefined:
        out.loads.push_back({ScopeLoad::Kind::kUndefined, slot, {}, {}});
        break;
      case Load::kAlias:
        out.loads.push_back({ScopeLoad::Kind::kAlias, slot, {}, seen_from(info.source, *function_)});
        break;
    }
  }
  return out;
}

std::vector<std::string> Symbols::stored_names() const {
  std::set<std::string> out;
  for (const Symbols* scope = this; scope != nullptr; scope = scope->parent_)
    out.insert(scope->stores_.begin(), scope->stores_.end());
  return {out.begin(), out.end()};
}

void Symbols::analyze(const Body& body) { visit(body); }

void Symbols::analyze(const Stmt& statement, Part part) {
  switch (statement.kind) {
    case StmtKind::kMacro:
    case StmtKind::kCallBlock:
      for (const std::string& name : statement.parameters) declare_parameter(name);
      for (const ExprPtr& value : statement.values) visit(value.get());
      visit(statement.body);
      break;
    case StmtKind::kFilterBlock:
      visit(statement.body);
      visit(statement.call.get());
      break;
    case StmtKind::kAutoescape:
      visit(statement.test.get());
      visit(statement.body);
      break;
    case StmtKind::kWith:
      for (const ExprPtr& target : statement.targets) visit_target(*target, true);
      visit(statement.body);
      break;
    case StmtKind::kFor:
      if (part != Part::kElse) visit_target(*statement.targets[0], true);
      if (part == Part::kBody) visit(statement.body);
      if (part == Part::kElse) visit(statement.else_body);
      if (part == Part::kTest) visit(statement.test.get());
      break;
    default:
      visit(statement.body);
      break;  // kSetBlock, kBlock, kGeneration
  }
}

void Symbols::visit(const Body& body) {
  for (const StmtPtr& statement : body) visit(*statement);
}

void Symbols::visit_target(const Expr& target, bool as_parameter) {
  if (target.kind == ExprKind::kTuple) {
    for (const ExprPtr& item : target.items) visit_target(*item, as_parameter);
  } else if (target.kind == ExprKind::kNamespaceRef) {
    load(target.name);
  } else if (as_parameter) {
    declare_parameter(target.name);
  } else {
    store(target.name);
  }
}

/// A statement inside the scope: what opens a scope of its own is not looked into.
void Symbols::visit(const Stmt& statement) {
  switch (statement.kind) {
    case StmtKind::kOutput:
    case StmtKind::kFor:  // the iterable
    case StmtKind::kWith:
    case StmtKind::kInclude:
    case StmtKind::kExtends:
      for (const ExprPtr& value : statement.values) visit(value.get());
      break;
    case StmtKind::kIf: {
      visit(statement.test.get());
      function_->budget->items(static_cast<int64_t>(8 * (refs_.size() + stores_.size()) + 8));
      std::vector<Symbols> branches(3, *this);
      branches[0].visit(statement.body);
      branches[1].visit(statement.elifs);
      branches[2].visit(statement.else_body);
      merge_branches(branches);
      break;
    }
    case StmtKind::kMacro:
      store(statement.name);
      break;
    case StmtKind::kCallBlock:
    case StmtKind::kFilterBlock:
      visit(statement.call.get());
      break;
    case StmtKind::kSet:
      visit(statement.values[0].get());
      visit_target(*statement.targets[0], false);
      break;
    case StmtKind::kSetBlock:
      visit_target(*statement.targets[0], false);
      break;
    case StmtKind::kImport:
      visit(statement.values[0].get());
      store(statement.name);
      break;
    case StmtKind::kFromImport:
      visit(statement.values[0].get());
      for (const std::string& name : statement.names) store(name);
      break;
    case StmtKind::kBlock:
    case StmtKind::kAutoescape:
    case StmtKind::kGeneration:
    case StmtKind::kBreak:
    case StmtKind::kContinue:
      break;
  }
}

void Symbols::merge_branches(const std::vector<Symbols>& branches) {
  std::set<std::string> stored;
  for (const Symbols& branch : branches) stored.insert(branch.stores_.begin(), branch.stores_.end());
  for (const std::string& name : stores_) stored.erase(name);
  for (const Symbols& branch : branches) {
    for (const auto& [name, ref] : branch.refs_) refs_[name] = ref;
    for (const auto& [slot, info] : branch.loads_) loads_[slot] = info;
    stores_.insert(branch.stores_.begin(), branch.stores_.end());
  }
  for (const std::string& name : stored) {
    const Ref* target = find_ref(name);
    const Ref* outer = parent_ == nullptr ? nullptr : parent_->find_ref(name);
    if (outer != nullptr) {
      loads_[target->slot] = {Load::kAlias, name, *outer};
    } else {
      loads_[target->slot] = {Load::kResolve, name};
    }
  }
}

void Symbols::visit(const Expr* expr) {
  if (expr == nullptr) return;
  if (expr->kind == ExprKind::kName || expr->kind == ExprKind::kNamespaceRef) load(expr->name);
  visit(expr->a.get());
  visit(expr->b.get());
  visit(expr->c.get());
  for (const ExprPtr& item : expr->items) visit(item.get());
  if (expr->arguments == nullptr) return;
  for (const ExprPtr& item : expr->arguments->positional) visit(item.get());
  for (const auto& item : expr->arguments->keyword) visit(item.second.get());
  visit(expr->arguments->more_positional.get());
  visit(expr->arguments->more_keyword.get());
}

namespace {

/// Walks in the order of the source text: a name that was set before it is read does not count any more.
class UndeclaredFinder {
 public:
  explicit UndeclaredFinder(std::set<std::string> names) : names_(std::move(names)) {}
  std::set<std::string> take() { return std::move(found_); }

  void visit(const Body& body) {
    for (const StmtPtr& statement : body) visit(*statement);
  }

 private:
  void visit(const Stmt& statement) {
    if (statement.kind == StmtKind::kBlock) return;
    const auto values = [&] {
      for (const ExprPtr& value : statement.values) visit(value.get());
    };
    const auto targets = [&] {
      for (const ExprPtr& target : statement.targets) visit_target(*target);
    };
    switch (statement.kind) {
      case StmtKind::kCallBlock:
        visit(statement.call.get());
        for (const std::string& name : statement.parameters) names_.erase(name);
        values();
        visit(statement.body);
        return;
      case StmtKind::kMacro:
        for (const std::string& name : statement.parameters) names_.erase(name);
        values();
        visit(statement.body);
        return;
      case StmtKind::kFilterBlock:
        visit(statement.body);
        visit(statement.call.get());
        return;
      case StmtKind::kSetBlock:
        targets();
        visit(statement.call.get());
        visit(statement.body);
        return;
      case StmtKind::kIf:
        visit(statement.test.get());
        visit(statement.body);
        visit(statement.elifs);
        visit(statement.else_body);
        return;
      case StmtKind::kFor:
        targets();
        values();
        visit(statement.body);
        visit(statement.else_body);
        visit(statement.test.get());
        return;
      case StmtKind::kAutoescape:
        visit(statement.test.get());
        break;
      default:
        targets();
        values();
        break;
    }
    visit(statement.body);
  }

  void visit_target(const Expr& target) {
    if (target.kind == ExprKind::kName) names_.erase(target.name);
    for (const ExprPtr& item : target.items) visit_target(*item);
  }

  void visit(const Expr* expr) {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::kName && names_.contains(expr->name)) found_.insert(expr->name);
    visit(expr->a.get());
    visit(expr->b.get());
    visit(expr->c.get());
    for (const ExprPtr& item : expr->items) visit(item.get());
    if (expr->arguments == nullptr) return;
    for (const ExprPtr& item : expr->arguments->positional) visit(item.get());
    for (const auto& item : expr->arguments->keyword) visit(item.second.get());
    visit(expr->arguments->more_positional.get());
    visit(expr->arguments->more_keyword.get());
  }

  std::set<std::string> names_;
  std::set<std::string> found_;
};

}  // namespace

std::set<std::string> undeclared_names(const Body& body, std::set<std::string> names) {
  UndeclaredFinder finder(std::move(names));
  finder.visit(body);
  return finder.take();
}

}  // namespace duet::jinja
