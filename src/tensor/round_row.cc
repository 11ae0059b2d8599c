#include "tensor/round_row.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace duet {
namespace {

constexpr int64_t kByteBlock = 32;

template <typename Round>
void round_halves(const float* x, int64_t elements, std::byte* out, Round round) noexcept {
  for (int64_t i = 0; i < elements; ++i) {
    const uint16_t bits = round(x[i]);
    std::memcpy(out + 2 * i, &bits, sizeof bits);
  }
}

/// Nearest whole number, ties to even, for |x| < 2^22.
float nearest(float x) noexcept {
  constexpr float kShift = 0x1.8p23F;
  return (x + kShift) - kShift;
}

void round_byte_block(const float* x, std::byte* out) noexcept {
  float top = 0.0F;
  bool finite = true;
  for (int64_t i = 0; i < kByteBlock; ++i) {
    finite = finite && std::isfinite(x[i]);
    top = std::max(top, std::fabs(x[i]));
  }
  const uint16_t bits = finite ? f32_to_f16(top / 127.0F) : uint16_t{0x7E00};
  const float scale = f16_to_f32(bits);
  std::memcpy(out, &bits, sizeof bits);
  int8_t q[kByteBlock] = {};
  if (std::isfinite(scale) && scale > 0.0F) {
    // A scale that was rounded down, a subnormal one far, leaves quotients beyond 127.
    for (int64_t i = 0; i < kByteBlock; ++i)
      q[i] = static_cast<int8_t>(nearest(std::clamp(x[i] / scale, -127.0F, 127.0F)));
  }
  std::memcpy(out + 2, q, sizeof q);
}

}  // namespace

bool can_round(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kQ8_0;
}

void round_row(DType dtype, const float* x, int64_t elements, std::byte* out) noexcept {
  switch (dtype) {
    case DType::kF32:
      if (elements > 0) std::memcpy(out, x, static_cast<size_t>(elements) * sizeof(float));  // x may be null then
      return;
    case DType::kF16:
      round_halves(x, elements, out, f32_to_f16);
      return;
    case DType::kBF16:
      round_halves(x, elements, out, f32_to_bf16);
      return;
    case DType::kQ8_0:
      for (int64_t i = 0; i < elements; i += kByteBlock) {
        round_byte_block(x + i, out + row_bytes(dtype_info(dtype), i));
      }
      return;
    default:
      DUET_CHECK(can_round(dtype));
  }
}

}  // namespace duet
