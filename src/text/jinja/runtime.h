#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace duet::jinja {

/// What one rendering shares with the functions that it calls.
class Runtime {
 public:
  explicit Runtime(const Limits& limits = {}) : budget(limits) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Value string(std::string text, bool markup = false) { return make_string(budget, std::move(text), markup); }
  Value list(std::vector<Value> items) { return make_list(budget, std::move(items)); }
  Value tuple(std::vector<Value> items) { return make_tuple(budget, std::move(items)); }

  /// Keeps an object that may hold others in a cycle until the rendering ends; `clear` then empties it.
  class Cyclic {
   public:
    virtual ~Cyclic() = default;
    virtual void clear() = 0;
  };
  void keep(std::shared_ptr<Cyclic> object);

  Budget budget;
  bool autoescape = false;
  /// The lists, tuples and dicts that are being printed, outermost first: one inside itself (which takes a namespace)
  /// is printed as dots.
  std::vector<const Object*> printing;
  bool cycles_possible = false;  // a namespace is being printed
  std::optional<std::tm> now;    // for strftime_now; unset: the clock

 private:
  std::vector<std::shared_ptr<Cyclic>> kept_;
};

/// namespace(...): the one object whose attributes a template may set.
class Namespace final : public Object, public Runtime::Cyclic {
 public:
  std::string type_name() const override { return "Namespace"; }
  std::string repr(Runtime& runtime) const override;
  Value attribute(Runtime& runtime, std::string_view name) const override;
  void set(Runtime& runtime, const Value& name, Value value);
  void clear() override { attributes_.clear(); }

 private:
  std::vector<std::pair<Value, Value>> attributes_;
  mutable bool printing_ = false;
};

}  // namespace duet::jinja
