#pragma once

#include <string_view>

namespace duet {

/// Whether a pattern of a quantization_config names a module; kMaybe where only its author's tool can tell.
enum class Match { kNo, kMaybe, kYes };

/// A Python regular expression against the beginning of a name (re.match). Understood are literals, escaped
/// punctuation, '.', '*' and '+' behind one of these, '^' in front and '$' at the end; any other construct is kMaybe.
Match match_expression(std::string_view expression, std::string_view name);

/// A name in a list of modules that stay plain: kYes for the module itself and all modules inside it, kMaybe where the
/// pattern stands elsewhere in the name, or the name in the pattern (prefixes differ between tools).
Match match_module(std::string_view pattern, std::string_view name);

}  // namespace duet
