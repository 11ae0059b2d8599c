#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

namespace duet::blocks {

static_assert(std::endian::native == std::endian::little, "numbers in checkpoints are little-endian");
static_assert(std::numeric_limits<float>::is_iec559 && std::numeric_limits<double>::is_iec559);

/// The little-endian number at `bytes`, of any alignment.
template <typename T>
inline T load(const uint8_t* bytes) noexcept {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// All bits where `condition` holds, else none.
inline uint32_t mask_of(bool condition) noexcept { return 0U - static_cast<uint32_t>(condition); }

/// IEEE binary16. Masks instead of branches, so that a loop over it becomes vector code, and no subnormal float32 on
/// the way, so that it gives the same in flush-to-zero mode. NaN keeps its payload.
inline float f16(uint16_t bits) noexcept {
  const uint32_t magnitude = bits & 0x7fffU;
  constexpr uint32_t kRebias = (127U - 15U) << 23;
  const uint32_t normal = (magnitude << 13) + kRebias + (mask_of(magnitude >= 0x7c00U) & kRebias);
  const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24F);
  const uint32_t small = mask_of(magnitude < 0x0400U);
  const uint32_t sign = (bits & 0x8000U) << 16;
  return std::bit_cast<float>(sign | (subnormal & small) | (normal & ~small));
}

/// The binary16 number at `bytes`.
inline float load_f16(const uint8_t* bytes) noexcept { return f16(load<uint16_t>(bytes)); }

/// bfloat16: the upper half of a float32.
inline float bf16(uint16_t bits) noexcept { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/// OCP FP8 E4M3 (OFP8 1.0, section 5): bias 7, no infinity, S.1111.111 is NaN.
inline float f8_e4m3(uint8_t bits) noexcept {
  const uint32_t magnitude = bits & 0x7fU;
  const uint32_t normal = (magnitude << 20) + ((127U - 7U) << 23);
  const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-9F);
  const uint32_t small = mask_of(magnitude < 8U);
  const uint32_t nan = mask_of(magnitude == 0x7fU) & 0x7fc00000U;
  const uint32_t sign = (bits & 0x80U) << 24;
  return std::bit_cast<float>(sign | nan | (subnormal & small) | (normal & ~small));
}

/// OCP FP8 E5M2: the upper half of a binary16.
inline float f8_e5m2(uint8_t bits) noexcept { return f16(static_cast<uint16_t>(bits << 8)); }

/// OCP MX 1.0 E8M0: 2^(bits - 127), 255 is NaN.
inline float f8_e8m0(uint8_t bits) noexcept {
  return std::bit_cast<float>(bits == 0xffU ? 0x7fc00000U
                              : bits == 0   ? 0x00400000U
                                            : static_cast<uint32_t>(bits) << 23);
}

/// ggml's scale of an MXFP4 block: 2^(bits - 128), half of E8M0, because its table of E2M1 numbers holds their doubles.
/// 255 is 2^127: ggml knows no NaN scale.
inline float e8m0_half(uint8_t bits) noexcept {
  return std::bit_cast<float>(bits < 2 ? 0x00200000U << bits : static_cast<uint32_t>(bits - 1) << 23);
}

/// ggml's scale of an NVFP4 part: half of E4M3, its sign ignored. ggml has no NaN scale here: 0x7f is 0, while 0xff
/// is the number that its bits without the sign would be, 480 / 2.
inline float ue4m3_half(uint8_t bits) noexcept {
  if (bits == 0x7fU) return 0.0F;
  if (bits == 0xffU) return 240.0F;
  return 0.5F * f8_e4m3(bits & 0x7fU);
}

/// The float32 of a small integer.
inline float to_float(int value) noexcept { return static_cast<float>(value); }

/// The nibbles of a byte.
inline int low(uint8_t byte) noexcept { return byte & 15; }
inline int high(uint8_t byte) noexcept { return byte >> 4; }

}  // namespace duet::blocks
