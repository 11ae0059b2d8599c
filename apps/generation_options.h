#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/session.h"

namespace duet {

/// --threads, --backend, --activations and, with `context`, --ctx.
void add_session_options(CLI::App& command, SessionOptions& options, bool context);
/// --packed-cache.
void add_packed_cache_option(CLI::App& command, SessionOptions& options);
/// --expert-memory.
void add_expert_memory_option(CLI::App& command, SessionOptions& options);
/// --speculate and --draft-tokens.
void add_speculation_options(CLI::App& command, SessionOptions& options);

/// --synthetic[=SEED] and --layers: a configuration without weights as a model.
struct SyntheticArguments {
  bool wanted = false;
  uint64_t seed = 0;
  int64_t layers = 0;  // 0 = all
  /// std::nullopt: the model has weights. Throws usage_error (--layers without --synthetic).
  std::optional<SyntheticOptions> options() const;
};
void add_synthetic_options(CLI::App& command, SyntheticArguments& arguments);

/// Options of sampling that were given; the others keep the command's defaults.
struct SamplingOptions {
  std::vector<std::pair<std::string, std::string>> fields;  // of sampling_fields(), judged; name and text
  std::vector<std::string> breakers, biases;                // as they were typed, judged
  int64_t max_new_tokens = 0;
  std::vector<std::string> stop_strings;

  /// `defaults` with what was given; without --seed a seed that nobody knows before.
  SamplingParams over(SamplingParams defaults) const;
  /// What was given in text.
  SamplingTexts texts() const;
};
/// One option for each of sampling_fields(), and --dry-breaker, --logit-bias, --max-tokens, --stop.
/// `most_tokens`: what --max-tokens says of its default.
void add_sampling_options(CLI::App& command, SamplingOptions& options,
                          std::string_view most_tokens = "no limit but the context");

/// Says on standard error what the model's generation_config asks for and Duet does not do.
void print_sampling_warnings(LoadedModel& model);

}  // namespace duet
