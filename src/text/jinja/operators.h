#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace duet::jinja {

/// Python's operators. Type errors, undefined operands and results that are too large throw.
Value binary(Runtime& runtime, BinaryOp op, const Value& a, const Value& b);
bool compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);
Value negate(Runtime& runtime, const Value& value);
Value plus(Runtime& runtime, const Value& value);
/// a < b, for sorting
bool less(Runtime& runtime, const Value& a, const Value& b);
/// == with its cost counted
bool equal(Runtime& runtime, const Value& a, const Value& b);
/// Value of x in an index position; a type error unless it is an int or bool.
int64_t index_value(const Value& value, std::string_view what);

/// a + b for texts: when one is marked, the other is escaped.
Value join_text(Runtime& runtime, const Value& a, const Value& b);

}  // namespace duet::jinja
