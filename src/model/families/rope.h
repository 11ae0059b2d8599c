#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "model/families/fields.h"
#include "model/spec.h"

namespace duet {

inline constexpr int64_t kMaxContext = INT32_MAX;  // positions are int32

/// theta^(-2i/dims), computed in float32 as the reference does: its tables at far positions depend on that rounding.
RopeSpec plain_rope(int64_t dims, double theta);

/// Llama 3.1's rule (equations.md 6.1): low frequencies divided by factor, high ones kept, a smooth band between.
struct Llama3Scaling {
  double factor, low_freq_factor, high_freq_factor;
  int64_t original_context_tokens;
};
RopeSpec llama3_rope(int64_t dims, double theta, const Llama3Scaling& scaling);

/// YaRN (Peng et al. 2023; equations.md 6.2).
struct YarnScaling {
  double factor;
  int64_t original_context_tokens;
  double beta_fast = 32, beta_slow = 1;
  std::optional<double> attention_factor;  // default 0.1 ln(factor) + 1
  bool truncate = true;
};
RopeSpec yarn_rope(int64_t dims, double theta, const YarnScaling& scaling);

/// The rope of a config.json: rope_theta and rope_scaling (keys `type` or `rope_type`), or rope_parameters. `beside`:
/// further keys that may stand there, which the caller judges.
RopeSpec hf_rope(Fields& config, int64_t dims, int64_t context_tokens, double default_theta,
                 std::initializer_list<std::string_view> beside = {});

/// The rope of GGUF metadata; `divisors` [dims/2] is rope_freqs.weight, or empty.
RopeSpec gguf_rope(Fields& metadata, int64_t dims, int64_t context_tokens, std::span<const float> divisors);

}  // namespace duet
