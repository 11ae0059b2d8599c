#pragma once

#include <memory>
#include <vector>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// Python's iter(): throws a type error for what cannot be iterated. An iterator is its own.
std::shared_ptr<Iterator> make_iterator(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);
/// list(value)
std::vector<Value> collect(Runtime& runtime, const Value& value);
/// reversed(value); missing for what cannot be reversed.
Value make_reversed(Runtime& runtime, const Value& value);
/// The code point at an index of a string, as a string.
Value character_at(Runtime& runtime, const String& text, int64_t index);
/// The element of a view in its dict.
Value view_item(Runtime& runtime, const DictView& view, size_t index);
/// Wraps a lazily computed sequence; checks that iterators are not nested too deep.
Value make_lazy(Runtime& runtime, std::shared_ptr<Iterator> iterator, int32_t source_depth);
/// The keyword arguments as a dict.
Value make_keyword_dict(Runtime& runtime, const Args& args);

}  // namespace duet::jinja
