#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "model/families/fields.h"
#include "model/spec.h"

namespace duet {

inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxHeads = 65536;
inline constexpr int64_t kMaxDim = int64_t{1} << 24;
inline constexpr int64_t kMaxExperts = 65536;
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 26;

/// What every decoder's configuration says in the same words, whatever its layers are.
struct BaseFields {
  int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, vocabulary = 0, context = 0;
  double eps = 0;
  bool tied = false;
};

/// The fields of the text model: all of config.json, or its member text_config where the whole model sees images too.
struct TextConfig {
  Fields fields;
  bool nested = false;
  bool outer_tied = false;  // the outer object ties the head
};
/// `outer_keys`: what may stand beside text_config.
TextConfig open_text_config(const Checkpoint& checkpoint, std::initializer_list<std::string_view> outer_keys,
                            std::vector<std::string>& warnings);

/// The last of every `interval` layers.   [L]
std::vector<bool> every_nth_layer(int64_t interval, int64_t layers);

/// Which layers layer_types gives this kind; all others must have full_attention. Nothing where the key is absent.
/// Throws unsupported_feature for another kind.   [L]
std::optional<std::vector<bool>> read_layer_types(Fields& config, int64_t layers, std::string_view kind);

/// Which layers an array of layer numbers names; nothing where the key is absent.   [L]
std::optional<std::vector<bool>> read_layer_numbers(Fields& config, const std::string& key, int64_t layers);

/// Throws bad_value where a token is to take more experts than there are; `key` is what says how many it takes.
void check_top_k(const Fields& fields, const std::string& key, int64_t top_k, int64_t experts);

/// Which layers hold a mixture of experts: every decoder_sparse_step-th, but for those of mlp_only_layers.   [L]
std::vector<bool> read_moe_layers(Fields& config, int64_t layers);

/// Of a config.json, or of the part of it that describes the text model. `default_head_dim` 0 = hidden / heads. Judges
/// the ids of special tokens and what no model of ours has (hidden_act other than silu, auto_map).
BaseFields read_base_config(Fields& config, int64_t default_head_dim);
/// Of GGUF metadata. `tied` is told by the tensors.
BaseFields read_base_gguf(Fields& fields, const Checkpoint& checkpoint);

/// The rope of GGUF metadata with the divisors of rope_freqs.weight, where the file has them.
RopeSpec read_gguf_rope(Fields& fields, const Checkpoint& checkpoint, const BaseFields& base);

/// Sliding windows of each layer [L], 0 = none (use_sliding_window, sliding_window, max_window_layers, layer_types).
std::vector<int64_t> read_windows(Fields& config, int64_t layers);

/// Experts of Qwen's mixtures: num_experts, num_experts_per_tok, moe_intermediate_size, norm_topk_prob, the shared
/// expert; `renormalises` where the configuration does not say.
MoeFfn read_qwen_moe_config(Fields& config, bool renormalises);
MoeFfn read_moe_gguf(Fields& fields, const Checkpoint& checkpoint, int64_t first_moe_layer, bool renormalises = true);

/// Marks the keys that change nothing and adds a warning for each key that nobody understood.
void close_config(Fields& config, std::vector<std::string>& warnings);
/// An unknown key of the architecture's own namespace is an error: unsupported_feature.
void close_gguf(Fields& fields);

/// A mixer with the numbers of `base`: all heads alike, rope as given.
AttentionMixer plain_attention(const BaseFields& base, const RopeSpec& rope);
/// A spec with the numbers of `base` and no layers yet.
ModelSpec base_spec(const BaseFields& base, std::string_view family, std::string_view architecture);

}  // namespace duet
