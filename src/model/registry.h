#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "formats/checkpoint.h"
#include "model/packed_form.h"
#include "model/spec.h"
#include "model/weight_scheme.h"

namespace duet {

/// Where the rows of a canonical matrix, or the elements of a vector, stand in the stored tensor, seen as rows of its
/// last dimension. Whole rows move, never columns.
struct RowMap {
  int64_t first = 0;   // stored row of canonical row 0
  int64_t run = 0;     // rows that stand together; 0 = all of them
  int64_t stride = 0;  // stored rows from one run to the next
  /// Within a run of n rows, canonical row s n/2 + i is stored row 2 i + s: GGUF's Llama q and k, and Llama 4's, whose
  /// rope turns neighbours (golden/gguf/README.md).
  bool pairs = false;

  int64_t count = 0;  // rows, where it is one of a TensorPlan's `parts`

  int64_t stored(int64_t row) const;
  /// The rows of each of `heads` heads in neighbouring pairs.
  static RowMap paired(int64_t rows, int64_t heads) { return {0, rows / heads, rows / heads, true, 0}; }
};

/// What becomes of a stored value: the canonical one is the number that the formula multiplies with.
enum class Fold { kNone, kOnePlus, kMinusExp };

/// One tensor of the canonical checkpoint: where it is stored and how its rows move.
struct TensorPlan {
  std::string canonical;  // "model.layers.0.self_attn.q_proj.weight"
  const TensorEntry* entry = nullptr;
  Shape shape;  // [out, in] or [n]
  RowMap rows;
  std::vector<RowMap> parts;  // instead of `rows`: the canonical rows are those of all parts, one behind the other
  /// The stored tensor is the transposed one: canonical (r, c) stands in stored row transposed_from + c at element
  /// rows.stored(r). Plain floating-point types only.
  std::optional<int64_t> transposed_from;
  Fold fold = Fold::kNone;  // vectors only
  bool is_vector = false;   // kept as float32 values, not packed
  /// A matrix in a quantised form of Hugging Face checkpoints: rows are those of QuantizedRows, `entry` its codes.
  std::shared_ptr<const QuantizedSource> quantized = nullptr;
  /// Bytes of the file that it takes.
  int64_t bytes() const;
  /// The form that a matrix is packed in.
  PackedForm form() const { return quantized ? packed_form(*quantized) : PackedForm{entry->dtype}; }
  /// Bytes of memory that it takes when it is loaded.
  int64_t memory_bytes() const;
};

/// A checkpoint understood: its model as data and the account of its tensors. Points into the checkpoint.
struct ModelDescription {
  ModelSpec spec;
  std::vector<TensorPlan> tensors;
  std::unordered_map<std::string, size_t> tensor_index;  // canonical name to place in `tensors`
  std::vector<std::string> warnings;                     // stray keys of a config.json: errors under --strict
  std::vector<std::string> notes;  // quantised forms; what the file holds and Duet does not use yet
  std::shared_ptr<const std::deque<TensorEntry>> listed;  // the tensors of a checkpoint that has none yet
  const TensorPlan* find(const std::string& canonical) const;
};

/// Reads no weights. Every tensor of the file is taken by the family's table, and every key of the architecture's own
/// namespace is understood, or it is an error: unsupported_architecture, unsupported_feature, missing_key, bad_type,
/// bad_value, missing_tensor, unexpected_tensor, shape_mismatch, bad_dtype.
ModelDescription describe_model(const Checkpoint& checkpoint);

}  // namespace duet
