#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// What is done to text before merges, step by step.
struct NormalizerStep {
  enum class Kind {
    kNfc,
    kPrepend,  // `to` stands before any text that is not empty
    kReplace,  // each `from` becomes `to`
  };
  Kind kind;
  std::string from = {}, to = {};
};

/// Each place of `from` in `text`, from left to right, becomes `to`. Precondition: `from` is not empty.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

/// Returns whether the text changed; `out` has it then. `text` is valid UTF-8, and so is `out`.
bool normalize(const std::vector<NormalizerStep>& steps, std::string_view text, std::string& out);

}  // namespace duet
