#include "text/jinja/runtime.h"

#include <algorithm>

#include "text/jinja/text_form.h"

namespace duet::jinja {

Runtime::~Runtime() {
  for (const auto& object : kept_) object->clear();
}

void Runtime::keep(std::shared_ptr<Cyclic> object) {
  budget.items(16);  // kept objects stay until the end: some hundred bytes each
  kept_.push_back(std::move(object));
}

std::string Namespace::repr(Runtime& runtime) const {
  if (printing_) return "<Namespace {...}>";
  printing_ = true;
  const bool nested = std::exchange(runtime.cycles_possible, true);
  std::string out = "<Namespace {";
  for (size_t i = 0; i < attributes_.size(); ++i) {
    if (i > 0) out += ", ";
    try {
      append_repr(runtime, attributes_[i].first, out);
      out += ": ";
      append_repr(runtime, attributes_[i].second, out);
    } catch (...) {
      printing_ = false;
      runtime.cycles_possible = nested;
      throw;
    }
  }
  printing_ = false;
  runtime.cycles_possible = nested;
  return out + "}>";
}

Value Namespace::attribute(Runtime&, std::string_view name) const {
  for (const auto& [key, value] : attributes_) {
    if (key.is_string() && key.text() == name) return value;
  }
  return {};
}

void Namespace::set(Runtime& runtime, const Value& name, Value value) {
  if (name.is_string() && name.text().starts_with('_')) {
    raise(
        TemplateErrorKind::kSecurity,
        "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '{}'. Please rename the attribute.",
        name.text());
  }
  runtime.budget.items(static_cast<int64_t>(attributes_.size() / 8));
  for (auto& [key, old] : attributes_) {
    if (equals(key, name)) {
      old = std::move(value);
      return;
    }
  }
  attributes_.emplace_back(name, std::move(value));
}

}  // namespace duet::jinja
