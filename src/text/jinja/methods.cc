#include "text/jinja/methods.h"

#include <utility>

namespace duet::jinja {

Value bind_method(Runtime& runtime, const Value& self, std::string_view name, Function::Body body) {
  check_depth(runtime.budget, self.depth() + 1);
  return make_function(std::string(name), "builtin_function_or_method", std::move(body), self.depth() + 1);
}

Value bound_method(Runtime& runtime, const Value& self, std::string_view name, std::span<const MethodEntry> methods) {
  for (const MethodEntry& entry : methods) {
    if (entry.name != name) continue;
    return bind_method(runtime, self, name,
                       [self, method = entry.method](Runtime& rt, Args& args) { return method(rt, self, args); });
  }
  return {};
}

}  // namespace duet::jinja
