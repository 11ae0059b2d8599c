#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace duet {

/// Every element or block type that a checkpoint may hold. Values of the ggml types are their ids in GGUF files:
/// do not change them. Types of safetensors that ggml lacks follow from 100.
enum class DType : int32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
  kU8 = 100,
  kU16 = 101,
  kU32 = 102,
  kU64 = 103,
  kBool = 104,
  kF8E4M3 = 105,
  kF8E5M2 = 106,
  kF8E8M0 = 107,
  kGrouped = 108,  // no type of a file: rows as grouped.h has them; dtype_info() knows nothing of it
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // lower case as in golden/quant: "q4_k", "bf16"
  int64_t block_size;     // elements in a block; 1 for plain types
  int64_t block_bytes;
};

/// Facts of a known type.
const DTypeInfo& dtype_info(DType dtype);
/// The type with this id in GGUF files, if there is one (removed types 4, 5, 31-33, 36-38 have none).
std::optional<DType> dtype_from_ggml(uint32_t id);
/// The type with this name in safetensors headers ("BF16"), if Duet knows it.
std::optional<DType> dtype_from_safetensors(std::string_view name);

/// Bytes of `elements` values, a whole number of blocks.
constexpr int64_t row_bytes(const DTypeInfo& info, int64_t elements) {
  return elements / info.block_size * info.block_bytes;
}

/// Decodes `elements` values (a whole number of blocks) from `blocks` to float32: bit for bit what
/// golden/quant/README.md defines. Never fails on a block's bytes. Pure. Reference for every packed form.
///   blocks : row_bytes(dtype, elements) bytes, any alignment;  out : [elements]
void dequantize(DType dtype, const std::byte* blocks, int64_t elements, float* out) noexcept;
/// Whether dequantize() knows the type (the activation-only Q8_1 and Q8_K included).
bool can_dequantize(DType dtype);

/// Scalar conversions; nearest even, overflow to infinity, NaN stays NaN.
float f16_to_f32(uint16_t bits) noexcept;
uint16_t f32_to_f16(float value) noexcept;
float bf16_to_f32(uint16_t bits) noexcept;
uint16_t f32_to_bf16(float value) noexcept;

}  // namespace duet
