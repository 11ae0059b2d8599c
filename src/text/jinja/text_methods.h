#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// Parts of str's methods that filters use as well. Sizes are checked before anything grows.
std::string repeat_text(Runtime& runtime, std::string_view unit, int64_t times);
Value center_text(Runtime& runtime, const Value& text, int64_t width, std::string_view fill);
/// str.replace; a marked text escapes what it takes in. limit < 0: all.
Value replace_text(Runtime& runtime, const Value& text, const Value& from, const Value& to, int64_t limit);
/// str.encode (methods_bytes.cc)
Value encode_text(Runtime& runtime, const Value& text, Args& args);
/// Whether the text has a character with the bits `wanted` and none with the bits `other`.
bool has_case(std::string_view text, uint16_t wanted, uint16_t other);

/// What marked text has beyond str: striptags, unescape; missing for other names (markup.cc).
Value markup_method(Runtime& runtime, const Value& text, std::string_view name);
/// Text without tags and comments, entities resolved, white space collapsed.
std::string strip_tags(Runtime& runtime, std::string_view text);

}  // namespace duet::jinja
