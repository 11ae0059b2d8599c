#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace duet {

/// Columns that share a scale of the activations in the native arithmetic (docs/numerics.md).
inline constexpr int64_t kIntegerColumns = 32;

/// 32 neighbouring weights of a row as what a block type is: small integers times a scale, plus a minimum. Where a type
/// has two scales (or minimums), the first is that of columns 0-15, the second that of 16-31; else both are the same.
///   weight k = fl(fl(scale[k / 16] q[k]) + minimum[k / 16]), bit for bit what dequantize() gives
struct IntegerBlock {
  int8_t q[kIntegerColumns];
  float scale[2];
  float minimum[2];  // 0 where the type has none
};

/// How many scales and minimums 32 columns of a type have: 1 or 2, and 0, 1 or 2. scales == 0: the type is no block
/// type and has no integer form.
struct IntegerForm {
  int scales = 0, minimums = 0;
};
IntegerForm integer_form(DType dtype);

/// Decodes `elements` values (a whole number of blocks and of 32) of a type that has an integer form. Reference for
/// every packed integer form.
///   blocks : row_bytes(dtype, elements) bytes, any alignment;  out : [elements / 32]
void decode_integers(DType dtype, const std::byte* blocks, int64_t elements, IntegerBlock* out) noexcept;

}  // namespace duet
