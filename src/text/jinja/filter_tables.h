#pragma once

#include <span>

#include "text/jinja/filters.h"

namespace duet::jinja {

/// The filters by theme; find_filter() looks in all of them.
std::span<const Builtin> sequence_filters();
std::span<const Builtin> selection_filters();
std::span<const Builtin> text_filters();
std::span<const Builtin> markup_filters();
std::span<const Builtin> number_filters();
std::span<const Builtin> layout_filters();

/// json.dumps(value, ...), as transformers sets it up for templates.
Value filter_tojson(Runtime& runtime, Args& args);
/// pprint.pformat
Value filter_pprint(Runtime& runtime, Args& args);

/// "a.0.b" as keys: digits are integers. Missing: no attribute.
std::vector<Value> attribute_path(Runtime& runtime, const Value& attribute);
/// Walks the path as templates look things up; `fallback` replaces undefined values unless it is missing or none.
Value follow_path(Runtime& runtime, Value item, const std::vector<Value>& path, const Value& fallback);
/// Sorts stably by the first of each pair. Not std::stable_sort: comparing may throw, and an inconsistent order (NaN)
/// is undefined there.
void merge_sort(Runtime& runtime, std::vector<std::pair<Value, Value>>& items,
                bool (*before)(Runtime&, const Value&, const Value&));
/// A str in lower case, anything else as it is.
Value ignore_case(Runtime& runtime, const Value& value);

}  // namespace duet::jinja
