#pragma once

#include <string>
#include <unordered_map>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// The functions that every template has: range, dict, namespace, cycler, joiner, lipsum, raise_exception,
/// strftime_now.
void add_globals(Runtime& runtime, std::unordered_map<std::string, Value>& variables);

/// strftime with English names, as in Python's C locale.
std::string format_time(const std::tm& time, std::string_view format);

}  // namespace duet::jinja
