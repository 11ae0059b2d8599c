#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/registry.h"
#include "state/state_layout.h"

namespace duet {

/// What a described model takes, before anything of it is read. Decoder takes its own sizes from here.

/// Bytes of memory of the loaded weights, by what they are for.
struct WeightParts {
  int64_t embedding = 0;
  int64_t head = 0;  // 0: the embedding is the head as well
  int64_t attention = 0, delta_net = 0;
  int64_t dense = 0;    // feed-forward layers that are no mixtures
  int64_t experts = 0;  // with their routers and shared experts
  int64_t norms = 0;    // of layers, and the last one
  int64_t mtp = 0;
  int64_t total() const { return embedding + head + attention + delta_net + dense + experts + norms + mtp; }
};
/// Equals Decoder::weight_bytes() of the model loaded with or without its MTP head, and with so many expert slots.
WeightParts weight_parts(const ModelDescription& model, bool mtp, int64_t expert_slots = 0);

/// Bytes of the first `slots` routed experts of each mixture, which are all of one size.
int64_t routed_expert_bytes(const ModelDescription& model, int64_t slots, bool mtp);

/// DecoderOptions::expert_slots that `memory_bytes` for routed experts allow: as many of each mixture, at least those
/// that a token multiplies by; 0 where all fit. Throws unsupported_feature (no experts), bad_value naming the legal
/// range.
int64_t expert_slots_for(const ModelDescription& model, int64_t memory_bytes, bool mtp);

/// Equals Decoder::weight_work() of the model loaded without an MTP head.
WeightWork weight_work(const ModelDescription& model, Activations activations);

/// The most columns that a matrix has.
int64_t widest_matrix(const ModelDescription& model);

/// Throws unsupported_feature: the model's heads cannot have keys and values of this type.
void check_kv_type(const ModelSpec& spec, DType type);

/// What a sequence of the model keeps between steps.
StateLayout state_layout(const ModelSpec& spec, const DecoderOptions& options);

/// In order of first use.
std::vector<RopeSpec> distinct_ropes(const ModelSpec& spec, bool mtp);

/// Arena bytes of the tables of all ropes for `rows` rows.
int64_t rope_scratch_bytes(std::span<const RopeSpec> ropes, int64_t rows);

/// Arena bytes that Decoder::forward() of `rows` rows and head() of `head_rows` rows need.
int64_t step_scratch_bytes(const ModelSpec& spec, std::span<const RopeSpec> ropes, int64_t rows, int64_t head_rows);

}  // namespace duet
