#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// Arguments of a built-in function bound to its parameters as Python binds them. A name that begins with '/' can be
/// given by position only. Throws a type error for arguments that do not fit.
class Bound {
 public:
  Bound(Args& args, std::string_view function, std::initializer_list<std::string_view> names, size_t required);

  /// Missing if not given.
  const Value& operator[](size_t index) const { return values_[index]; }
  bool has(size_t index) const { return !values_[index].is_missing(); }
  bool has_value(size_t index) const { return has(index) && !values_[index].is_none(); }
  Value get(size_t index, const Value& absent) const { return has(index) ? values_[index] : absent; }
  bool truth(size_t index, bool absent) const { return has(index) ? truthy(values_[index]) : absent; }
  /// An int or bool; a type error for everything else, a limit error above 64 bits.
  int64_t integer(size_t index, int64_t absent) const;
  /// A str; a type error for everything else.
  const Value& text(size_t index) const;

 private:
  std::string function_;
  std::vector<Value> values_;
};

}  // namespace duet::jinja
