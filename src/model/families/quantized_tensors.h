#pragma once

#include <memory>
#include <string>
#include <unordered_set>

#include "formats/checkpoint.h"
#include "model/families/quantization_config.h"
#include "model/weight_scheme.h"

namespace duet {

/// f32, f16 or bf16: what a tensor may be that is not quantised.
bool is_plain_float(DType dtype);
/// The base name of the file that a tensor lies in, for messages.
const std::string& file_of(const Checkpoint& checkpoint, const TensorEntry& entry);

/// Of a tensor that holds all experts of a layer: what quantised files have in its place or beside it, or nullptr.
const TensorEntry* find_fused(const Checkpoint& checkpoint, const std::string& stored_name);

/// Finds the tensors that one quantised matrix consists of and judges their shapes and types.
class QuantizedTensors {
 public:
  QuantizedTensors(const Checkpoint& checkpoint, const QuantizationConfig& config,
                   std::unordered_set<std::string>& taken)
      : checkpoint_(checkpoint), config_(config), taken_(taken) {}

  /// The matrix `stored_name` (with ".weight") of this shape; nullptr where the file has it plain. What it consists of
  /// is added to `taken`. Throws missing_tensor, shape_mismatch, bad_dtype, bad_value (the tensors and the
  /// configuration contradict each other, or a quant_state holds something else), bad_json, too_large.
  std::shared_ptr<const QuantizedSource> find(const std::string& stored_name, const Shape& shape);
  /// The matrix of one expert of a tensor [E, out, in] in FP8 with `stored_name`_scale_inv beside it; nullptr where the
  /// file has no such tensor. Throws the same.
  std::shared_ptr<const QuantizedSource> find_expert(const std::string& stored_name, const Shape& shape,
                                                     int64_t expert);

 private:
  using Types = std::initializer_list<DType>;
  const TensorEntry* take_if(const std::string& name);
  const TensorEntry* take(QuantizedSource& source, const std::string& name, std::initializer_list<Shape> shapes,
                          Types types);
  void take_scaled(QuantizedSource& source, const std::string& module);
  void take_packed(QuantizedSource& source, const std::string& module);
  void take_words(QuantizedSource& source, const std::string& module);
  void take_fp4(QuantizedSource& source, const std::string& module);
  void take_mapped(QuantizedSource& source, const std::string& module);
  /// Whether column i is of group i / group, though the file names the group of each.
  bool groups_lie_in_order(const QuantizedSource& source) const;
  /// Whether all zeros of 8 bits are 128: what signed bytes mean without any.
  bool zeros_are_in_the_middle(const QuantizedSource& source) const;
  void check_stored_shape(const QuantizedSource& source, const TensorEntry& entry) const;

  const Checkpoint& checkpoint_;
  const QuantizationConfig& config_;
  std::unordered_set<std::string>& taken_;
};

}  // namespace duet
