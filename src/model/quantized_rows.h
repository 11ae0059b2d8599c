#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "formats/checkpoint.h"
#include "model/weight_scheme.h"

namespace duet {

/// The rows of one quantised matrix [out, in]. Its scales, zeros and groups are held; codes are read row by row when
/// they are asked for. Thread-safe.
///
/// Rows come in a block type of the engine whose dequantize() is bit for bit the formula of the scheme, where there is
/// one: integer codes whose scales are float16 numbers as Q4_0, Q5_0 or Q8_0, MXFP4 as itself (its zeros lose their
/// sign), E4M3 codes with scales of few bits as bfloat16. All else is float32.
class QuantizedRows {
 public:
  /// Reads what is held. Throws bad_value (a group out of range, a scale that is no number), truncated, io_error.
  QuantizedRows(const Checkpoint& checkpoint, const QuantizedSource& source);

  DType dtype() const { return dtype_; }
  /// float32 from here on, so that several matrices are of one type.
  void use_float() { dtype_ = DType::kF32; }
  int64_t cols() const { return source_.cols; }

  /// Rows [begin, begin + count) in dtype().   out : count row_bytes(dtype(), cols())
  void read(int64_t begin, int64_t count, std::span<std::byte> out) const;
  /// The same rows by the formula.   out : [count, cols]
  void decode(int64_t begin, int64_t count, std::span<float> out) const;

 private:
  void hold_groups();
  void hold_zeros();
  void hold_absmax();
  std::vector<float> floats(const TensorEntry& entry) const;
  DType choose_type() const;
  bool blocks_are_uniform() const;
  std::vector<std::byte> code_bytes(int64_t begin, int64_t count) const;
  void integers(int64_t begin, int64_t count, std::span<int16_t> out) const;
  void decode_integers(int64_t begin, int64_t count, std::span<float> out) const;
  void decode_scaled_floats(int64_t begin, int64_t count, std::span<float> out) const;
  void decode_fp4(int64_t begin, int64_t count, std::span<float> out) const;
  void decode_mapped(int64_t begin, int64_t count, std::span<float> out) const;
  void encode_integers(int64_t begin, int64_t count, std::byte* out) const;
  void encode_mxfp4(int64_t begin, int64_t count, std::byte* out) const;
  bool has_integers() const;
  const float* row_scales(int64_t row) const;  // [groups_]
  float scale(int64_t row, int64_t block) const;

  const Checkpoint& checkpoint_;
  const QuantizedSource& source_;
  DType dtype_ = DType::kF32;
  std::vector<float> scales_;      // [scale_rows, groups_], rows first whatever the file's order
  std::vector<uint8_t> zeros_;     // [out, groups_] of kPacked asymmetric, kAwq, kGptq
  std::vector<int32_t> group_of_;  // [in]
  int64_t groups_ = 1;
  int64_t rows_a_scale_ = 1;
  int16_t zero_ = 0;  // where there are no zeros_
  std::vector<float> map_;
};

}  // namespace duet
