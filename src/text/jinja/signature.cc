#include "text/jinja/signature.h"

#include "text/jinja/operators.h"

namespace duet::jinja {

Bound::Bound(Args& args, std::string_view function, std::initializer_list<std::string_view> names, size_t required)
    : function_(function), values_(names.size()) {
  if (args.positional.size() > names.size()) {
    raise_type("{}() takes at most {} arguments ({} given)", function, names.size(), args.positional.size());
  }
  for (size_t i = 0; i < args.positional.size(); ++i) values_[i] = args.positional[i];
  for (const auto& [name, value] : args.keyword) {
    size_t index = 0;
    while (index < names.size() && names.begin()[index] != name) ++index;
    if (index == names.size()) raise_type("{}() got an unexpected keyword argument '{}'", function, name);
    if (!values_[index].is_missing()) raise_type("{}() got multiple values for argument '{}'", function, name);
    values_[index] = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i].is_missing()) raise_type("{}() missing required argument '{}'", function, names.begin()[i]);
  }
}

int64_t Bound::integer(size_t index, int64_t absent) const {
  return has(index) ? index_value(values_[index], function_) : absent;
}

const Value& Bound::text(size_t index) const {
  if (!values_[index].is_string())
    raise_type("{}() argument must be str, not {}", function_, type_name(values_[index]));
  return values_[index];
}

}  // namespace duet::jinja
