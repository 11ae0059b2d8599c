#pragma once

#include <optional>
#include <span>
#include <variant>

#include "engine/engine_state.h"
#include "engine/logit_scan.h"

namespace duet {

/// What fails where `what` (the logits) of a position holds an infinity or NaN.
Error non_finite(std::string_view what, int64_t position);

/// The next token of a request, or why it fails. Choosing passes over the whole vocabulary, so that threads share the
/// requests of a step: between what the engine's thread alone does (the guide is asked, then told).
struct Choice {
  std::optional<TokenId> forced;  // by the guide
  std::variant<TokenChosen, Error> result;

  const Error* error() const { return std::get_if<Error>(&result); }
};

/// Asks the request's guide. Engine's thread.
Choice begin_choice(const Running& r, int64_t vocabulary);
/// What the guide forces, else the sampler's choice. Any thread.   logits [V], of the last row, with their scan;
/// changed in place
void choose(const Running& r, std::span<float> logits, const LogitScan& scan, Choice& choice);

}  // namespace duet
