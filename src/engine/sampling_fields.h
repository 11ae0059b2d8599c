#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/request.h"

namespace duet {

/// A number among SamplingParams as people name it. The options of the commands, /params of the chat and messages come
/// from this one table.
struct SamplingField {
  std::string_view name;   // "top-k", of the option --top-k
  std::string_view value;  // "K", for --help
  std::string_view help;
  std::string_view legal;  // "0 (all) or more"
};
std::span<const SamplingField> sampling_fields();

/// Sets one field from its text. Throws bad_value: no such field (names those that there are), no number, out of range.
void set_sampling_field(SamplingParams& params, std::string_view name, std::string_view text);
/// The value as set_sampling_field() reads it. Throws bad_value for a name that is none.
std::string sampling_field_text(const SamplingParams& params, std::string_view name);

}  // namespace duet
