#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace duet {

/// Whether round_row() knows the type: f32, f16, bf16 and q8_0.
bool can_round(DType dtype);

/// Rounds `elements` values (a whole number of blocks) to `dtype`, each once: the inverse of dequantize().
/// f16 and bf16: nearest even, overflow to infinity. q8_0, per block of 32: scale d = f16(fl(max abs(x) / 127)), q the
/// integer nearest to fl(x / d), ties to even, at most 127 in size; a block with a value that is not finite, or too
/// large for the scale, becomes NaN as a whole.
///   out : row_bytes(dtype, elements) bytes, any alignment
void round_row(DType dtype, const float* x, int64_t elements, std::byte* out) noexcept;

}  // namespace duet
