#pragma once

#include <string>
#include <unordered_map>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// The functions that every template has: range, dict, namespace, cycler, joiner, lipsum, raise_exception,
/// strftime_now.
void add_globals(Runtime& runtime, std::unordered_map<std::string, Value>& variables);

}  // namespace duet::jinja
