#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/checkpoint.h"
#include "model/packed_form.h"
#include "model/weight_scheme.h"

namespace duet {

/// The rows of one quantised matrix [out, in] in the form that they are packed in (packed_form()). Its scales, zeros
/// and groups are held; codes are read row by row when they are asked for. Thread-safe.
class QuantizedRows {
 public:
  /// Reads what is held. Throws bad_value (a group out of range, a scale that is no number), truncated, io_error.
  QuantizedRows(const Checkpoint& checkpoint, const QuantizedSource& source);

  const PackedForm& form() const { return form_; }
  /// float32 from here on, so that several matrices are of one form.
  void use_float() { form_ = {}; }
  int64_t cols() const { return source_.cols; }
  int64_t row_bytes() const;
  /// What stands behind grouped rows (tensor/grouped.h).
  std::vector<std::byte> table() const;

  /// Rows [begin, begin + count) in form(). Throws bad_value: a code that is no number.   out : count row_bytes()
  void read(int64_t begin, int64_t count, std::span<std::byte> out) const;
  /// The same rows by the formula.   out : [count, cols]
  void decode(int64_t begin, int64_t count, std::span<float> out) const;

 private:
  void hold_groups();
  void hold_scales();
  void hold_zeros();
  void hold_absmax();
  std::vector<std::byte> bytes_of(const TensorEntry& entry) const;
  std::vector<float> floats(const TensorEntry& entry) const;
  std::vector<std::byte> code_bytes(int64_t begin, int64_t count) const;
  std::vector<uint8_t> codes(int64_t begin, int64_t count) const;
  void word_codes(int64_t begin, int64_t count, std::span<uint8_t> out) const;
  void encode_grouped(int64_t begin, int64_t count, std::byte* out) const;
  void encode_codes(std::span<const uint8_t> codes, int64_t row, std::byte* out) const;
  void encode_mxfp4(int64_t begin, int64_t count, std::byte* out) const;
  const float* row_scales(int64_t row) const;  // [groups_]

  const Checkpoint& checkpoint_;
  const QuantizedSource& source_;
  PackedForm form_;
  std::vector<float> scales_;             // [scale_rows, groups_], rows first whatever the file's order
  std::vector<std::byte> stored_scales_;  // the bytes that these are made of, where one byte is a scale of a row
  std::vector<uint8_t> zeros_;            // [out, groups_], where the file has them
  std::vector<int32_t> group_of_;         // [in]
  int64_t groups_ = 1;
  int64_t rows_a_scale_ = 1;
  int zero_ = 0;  // where there are no zeros_
  std::vector<float> map_, nested_map_, nested_scales_;
  float global_ = 1;
};

}  // namespace duet
