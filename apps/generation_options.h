#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chat/session.h"

namespace duet {

/// --threads, --backend, --activations and, with `context`, --ctx.
void add_session_options(CLI::App& command, SessionOptions& options, bool context);

/// Options of sampling that were given; the others keep the command's defaults.
struct SamplingOptions {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;
  int64_t max_new_tokens = 0;
  std::vector<std::string> stop_strings;

  /// `defaults` with what was given; without --seed a seed that nobody knows before.
  SamplingParams over(SamplingParams defaults) const;
};
/// --temperature, --top-k, --top-p, --min-p, --repeat-penalty, --seed, --max-tokens, --stop.
void add_sampling_options(CLI::App& command, SamplingOptions& options);

}  // namespace duet
