#include "text/jinja/loop.h"

#include <algorithm>

#include "text/jinja/iterators.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {

Loop::Loop(Runtime& runtime, Value iterable, int64_t depth0)
    : iterable_(std::move(iterable)), iterator_(make_iterator(runtime, iterable_)), depth0_(depth0) {
  depth = iterable_.depth() + 1;
  check_depth(runtime.budget, depth);
}

void Loop::set_recursion(Interpreter& interpreter, const Stmt& statement, std::shared_ptr<Activation> outer) {
  interpreter_ = &interpreter;
  statement_ = &statement;
  outer_ = std::move(outer);
}

Value Loop::peek(Runtime& runtime) const {
  if (after_.is_missing() && !iterator_->next(runtime, after_)) after_ = Value();
  return after_;
}

bool Loop::next(Runtime& runtime, Value& out) {
  Value item = std::move(after_);
  after_ = Value();
  if (item.is_missing() && !iterator_->next(runtime, item)) return false;
  ++index0_;
  before_ = std::move(current_);
  current_ = item;
  depth = std::max(depth, current_.depth() + 1);
  check_depth(runtime.budget, depth);
  out = std::move(item);
  return true;
}

int64_t Loop::length(Runtime& runtime) const {
  if (length_ >= 0) return length_;
  length_ = length_of(runtime, iterable_);
  if (length_ < 0) {
    std::vector<Value> rest;
    Value item;
    while (iterator_->next(runtime, item)) {
      rest.push_back(item);
      runtime.budget.check_size(static_cast<int64_t>(rest.size() * sizeof(Value)));
    }
    length_ = static_cast<int64_t>(rest.size()) + index0_ + 1 + (after_.is_missing() ? 0 : 1);
    iterator_ = make_iterator(runtime, runtime.list(std::move(rest)));
  }
  return length_;
}

std::string Loop::repr(Runtime& runtime) const {
  return fmt::format("<LoopContext {}/{}>", index0_ + 1, length(runtime));
}

bool Loop::changed(Runtime& runtime, const std::vector<Value>& values) const {
  Value now = runtime.tuple(values);
  if (!last_changed_.is_missing() && equals(last_changed_, now)) return false;
  last_changed_ = std::move(now);
  const_cast<Loop*>(this)->depth = std::max(depth, last_changed_.depth() + 1);
  check_depth(runtime.budget, depth);
  return true;
}

Value Loop::attribute(Runtime& runtime, std::string_view name) const {
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "depth") return Value::integer(depth0_ + 1);
  if (name == "depth0") return Value::integer(depth0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(peek(runtime).is_missing());
  if (name == "length") return Value::integer(length(runtime));
  if (name == "revindex") return Value::integer(length(runtime) - index0_);
  if (name == "revindex0") return Value::integer(length(runtime) - index0_ - 1);
  if (name == "previtem") return index0_ == 0 ? undefined_hint("there is no previous item") : before_;
  if (name == "nextitem") {
    Value item = peek(runtime);
    return item.is_missing() ? undefined_hint("there is no next item") : item;
  }
  return method(runtime, name);
}

Value Loop::method(Runtime& runtime, std::string_view name) const {
  if (name != "cycle" && name != "changed") return {};
  auto self = std::const_pointer_cast<Loop>(std::static_pointer_cast<const Loop>(shared_from_this()));
  check_depth(runtime.budget, depth + 1);
  const bool cycle = name == "cycle";
  return make_function(
      std::string(name), "method",
      [self, cycle](Runtime& rt, Args& args) {
        if (!args.keyword.empty())
          raise_type("loop.{}() got an unexpected keyword argument", cycle ? "cycle" : "changed");
        if (!cycle) return Value::boolean(self->changed(rt, args.positional));
        if (args.positional.empty()) raise_type("no items for cycling given");
        return args.positional[static_cast<size_t>(std::max<int64_t>(0, self->index0_)) % args.positional.size()];
      },
      depth + 1);
}

Value Loop::call(Runtime& runtime, Args& args) const {
  if (interpreter_ == nullptr) raise_type("The loop must have the 'recursive' marker to be called recursively.");
  if (args.positional.size() + args.keyword.size() != 1 ||
      (args.positional.empty() && args.keyword[0].first != "iterable")) {
    raise_type("loop() takes exactly one iterable");
  }
  runtime.budget.step();
  return interpreter_->run_recursive_loop(
      *statement_, outer_, args.positional.empty() ? args.keyword[0].second : args.positional[0], depth0_ + 1);
}

LoopFilter::LoopFilter(Interpreter& interpreter, const Stmt& statement, std::shared_ptr<Activation> outer,
                       std::shared_ptr<Iterator> source)
    : interpreter_(interpreter), statement_(statement), outer_(std::move(outer)), source_(std::move(source)) {
  depth = source_->depth + 1;
}

bool LoopFilter::next(Runtime& runtime, Value& out) {
  const Budget::Nesting nesting(runtime.budget);
  while (source_->next(runtime, out)) {
    runtime.budget.step();
    if (interpreter_.passes(statement_, outer_, out)) return true;
  }
  return false;
}

std::string Macro::repr(Runtime& runtime) const {
  return name_.empty() ? "<Macro anonymous>" : "<Macro " + to_repr(runtime, runtime.string(name_)) + ">";
}

Value Macro::attribute(Runtime& runtime, std::string_view name) const {
  const FunctionInfo& info = *statement_.function;
  if (name == "name") return name_.empty() ? Value::none() : runtime.string(name_);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : info.parameters) names.push_back(runtime.string(parameter.first));
    return runtime.tuple(std::move(names));
  }
  if (name == "catch_kwargs") return Value::boolean(info.kwargs_slot >= 0);
  if (name == "catch_varargs") return Value::boolean(info.varargs_slot >= 0);
  const bool explicit_caller = std::any_of(info.parameters.begin(), info.parameters.end(),
                                           [](const auto& parameter) { return parameter.first == "caller"; });
  if (name == "explicit_caller") return Value::boolean(explicit_caller);
  if (name == "caller") return Value::boolean(info.accesses_caller);
  return {};
}

Value Macro::call(Runtime&, Args& args) const { return interpreter_.call_macro(statement_, outer_, args, name_); }

namespace {

/// self.NAME: prints the block when it is called.
class BlockReference final : public Object {
 public:
  BlockReference(Interpreter& interpreter, const Stmt& block, std::shared_ptr<Context> context)
      : interpreter_(interpreter), block_(block), context_(std::move(context)) {}
  std::string type_name() const override { return "BlockReference"; }
  Value attribute(Runtime& runtime, std::string_view name) const override {
    if (name == "name") return runtime.string(block_.name);
    if (name == "super") return undefined_hint(fmt::format("there is no parent block called '{}'.", block_.name));
    return {};
  }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Args& args) const override {
    if (!args.positional.empty() || !args.keyword.empty()) raise_type("a block takes no arguments");
    return runtime.string(interpreter_.run_block(block_, context_), runtime.autoescape);
  }

 private:
  Interpreter& interpreter_;
  const Stmt& block_;
  std::shared_ptr<Context> context_;
};

class TemplateReference final : public Object {
 public:
  TemplateReference(Interpreter& interpreter, std::shared_ptr<Context> context)
      : interpreter_(interpreter), context_(std::move(context)) {}
  std::string type_name() const override { return "TemplateReference"; }
  std::string repr(Runtime&) const override { return "<TemplateReference None>"; }
  Value item(Runtime&, const Value& key) const override {
    const Stmt* block = key.is_string() ? interpreter_.find_block(key.text()) : nullptr;
    if (block == nullptr) return {};
    return Value(Type::kObject, std::make_shared<BlockReference>(interpreter_, *block, context_));
  }

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Context> context_;
};

}  // namespace

Value make_template_reference(Interpreter& interpreter, std::shared_ptr<Context> context) {
  return Value(Type::kObject, std::make_shared<TemplateReference>(interpreter, std::move(context)));
}

}  // namespace duet::jinja
