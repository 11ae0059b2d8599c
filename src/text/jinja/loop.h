#pragma once

#include <memory>
#include <string>

#include "text/jinja/interpreter.h"

namespace duet::jinja {

/// The variable `loop`.
class Loop final : public Object {
 public:
  Loop(Runtime& runtime, Value iterable, int64_t depth0);
  void set_recursion(Interpreter& interpreter, const Stmt& statement, std::shared_ptr<Activation> outer);
  bool next(Runtime& runtime, Value& out);

  std::string type_name() const override { return "LoopContext"; }
  std::string repr(Runtime& runtime) const override;
  Value attribute(Runtime& runtime, std::string_view name) const override;
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Args& args) const override;
  int64_t length(Runtime& runtime) const override;

 private:
  Value peek(Runtime& runtime) const;
  Value method(Runtime& runtime, std::string_view name) const;
  bool changed(Runtime& runtime, const std::vector<Value>& values) const;

  // Looking at a loop may read ahead in what it iterates over: Python's LoopContext does the same.
  Value iterable_;
  mutable std::shared_ptr<Iterator> iterator_;
  mutable int64_t length_ = -1;
  mutable Value after_, last_changed_;
  Value before_, current_;
  int64_t index0_ = -1;
  int64_t depth0_;
  Interpreter* interpreter_ = nullptr;
  const Stmt* statement_ = nullptr;
  std::shared_ptr<Activation> outer_;
};

/// What a `for ... if` lets through, tested when the loop asks for the next item.
class LoopFilter final : public Iterator {
 public:
  LoopFilter(Interpreter& interpreter, const Stmt& statement, std::shared_ptr<Activation> outer,
             std::shared_ptr<Iterator> source);
  bool next(Runtime& runtime, Value& out) override;

 private:
  Interpreter& interpreter_;
  const Stmt& statement_;
  std::shared_ptr<Activation> outer_;
  std::shared_ptr<Iterator> source_;
};

/// A macro, or the caller of a call block (its name is empty).
class Macro final : public Object {
 public:
  Macro(Interpreter& interpreter, const Stmt& statement, std::shared_ptr<Activation> outer, std::string name)
      : interpreter_(interpreter), statement_(statement), outer_(std::move(outer)), name_(std::move(name)) {}
  std::string type_name() const override { return "Macro"; }
  std::string repr(Runtime& runtime) const override;
  Value attribute(Runtime& runtime, std::string_view name) const override;
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Args& args) const override;

 private:
  Interpreter& interpreter_;
  const Stmt& statement_;
  std::shared_ptr<Activation> outer_;
  std::string name_;
};

/// `self`: the blocks of the template.
Value make_template_reference(Interpreter& interpreter, std::shared_ptr<Context> context);

}  // namespace duet::jinja
