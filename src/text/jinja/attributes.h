#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// value.name: the attribute if there is one (and the sandbox allows it), else the item, else undefined.
Value get_attribute(Runtime& runtime, const Value& value, const std::string& name);
/// value[key]: the item, else for a string the attribute, else undefined.
Value get_item(Runtime& runtime, const Value& value, const Value& key);
/// value[start:stop:step]; missing or none parts are left out. A type error for what cannot be sliced.
Value get_slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step);
bool is_sliceable(const Value& value);
/// What value.name or value[name] gives when there is no such thing.
Value undefined_attribute(Runtime& runtime, const Value& value, const Value& name);
/// The Python attribute as it is, or missing: methods and properties. Knows nothing of the sandbox.
Value python_attribute(Runtime& runtime, const Value& value, std::string_view name);
/// Whether the object has the attribute, allowed or not (the filter attr).
bool has_attribute(Runtime& runtime, const Value& value, std::string_view name);
/// Calls anything that can be called; a type error otherwise.
Value call_value(Runtime& runtime, const Value& function, Args& args);

/// Methods of texts, other values: missing for an unknown name (methods_text.cc, methods_other.cc).
Value text_method(Runtime& runtime, const Value& text, std::string_view name);
Value bytes_method(Runtime& runtime, const Value& bytes, std::string_view name);
Value other_method(Runtime& runtime, const Value& value, std::string_view name);
/// dict.fromkeys
Value dict_from_keys(Runtime& runtime, Args& args);

}  // namespace duet::jinja
