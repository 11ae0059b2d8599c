#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "model/spec.h"

namespace duet {

/// How the rows of a stored tensor move to their canonical places. Whole rows move, never columns.
enum class RowMove {
  kNone,
  /// GGUF's Llama q and k: canonical row s d/2 + i of a head is file row 2 i + s (golden/gguf/README.md).
  kInterleavedToHalves,
};

/// One tensor of the canonical checkpoint: where it is stored and how its rows move.
struct TensorPlan {
  std::string canonical;  // "model.layers.0.self_attn.q_proj.weight"
  const TensorEntry* entry = nullptr;
  Shape shape;  // [out, in] or [n], equal to the stored one
  RowMove move = RowMove::kNone;
  int64_t heads = 0;  // of the rows, for a move
};

/// A checkpoint understood: its model as data and the account of its tensors. Points into the checkpoint.
struct ModelDescription {
  ModelSpec spec;
  std::vector<TensorPlan> tensors;
  std::vector<std::string> warnings;  // stray keys of a config.json: errors under --strict
  const TensorPlan* find(std::string_view canonical) const;
};

/// Reads no weights. Every tensor of the file is taken by the family's table, and every key of the architecture's own
/// namespace is understood, or it is an error: unsupported_architecture, unsupported_feature, missing_key, bad_type,
/// bad_value, missing_tensor, unexpected_tensor, shape_mismatch, bad_dtype.
ModelDescription describe_model(const Checkpoint& checkpoint);

}  // namespace duet
