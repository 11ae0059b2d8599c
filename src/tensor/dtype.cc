#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/check.h"
#include "tensor/blocks/fp4.h"
#include "tensor/blocks/iq.h"
#include "tensor/blocks/k_quants.h"
#include "tensor/blocks/legacy.h"
#include "tensor/blocks/scalars.h"
#include "tensor/blocks/ternary.h"

namespace duet {
namespace {

/// Decodes `elements` values, a whole number of blocks.
using Decoder = void (*)(const uint8_t* __restrict blocks, int64_t elements, float* __restrict out) noexcept;

struct Entry {
  DTypeInfo info;
  Decoder decode;
};

template <typename Block>
void decode_blocks(const uint8_t* __restrict blocks, int64_t elements, float* __restrict out) noexcept {
  for (int64_t i = 0; i < elements; i += Block::kSize, blocks += Block::kBytes) Block::decode(blocks, out + i);
}

/// The inner loop has a fixed count because g++ at -O2 makes vector code of no other.
template <typename Stored, float (*kConvert)(Stored) noexcept>
void decode_plain(const uint8_t* __restrict bytes, int64_t elements, float* __restrict out) noexcept {
  constexpr int64_t kStep = 16;
  constexpr int64_t kBytes = sizeof(Stored);
  int64_t i = 0;
  for (; i + kStep <= elements; i += kStep) {
    for (int64_t k = 0; k < kStep; ++k) out[i + k] = kConvert(blocks::load<Stored>(bytes + (i + k) * kBytes));
  }
  for (; i < elements; ++i) out[i] = kConvert(blocks::load<Stored>(bytes + i * kBytes));
}

/// Integers and f64 round to the nearest float32, ties to even; f64 beyond its range becomes infinite (IEEE 754).
template <typename T>
float nearest(T value) noexcept {
  return static_cast<float>(value);
}

float truth(uint8_t value) noexcept { return value != 0 ? 1.0F : 0.0F; }

template <typename Block>
constexpr Entry block_type(DType dtype, std::string_view name) {
  return {{dtype, name, Block::kSize, Block::kBytes}, decode_blocks<Block>};
}

template <typename Stored, float (*kConvert)(Stored) noexcept = nearest<Stored>>
constexpr Entry plain_type(DType dtype, std::string_view name) {
  return {{dtype, name, 1, sizeof(Stored)}, decode_plain<Stored, kConvert>};
}

constexpr std::array kTypes = {
    plain_type<float>(DType::kF32, "f32"),
    plain_type<uint16_t, blocks::f16>(DType::kF16, "f16"),
    block_type<blocks::Q4_0>(DType::kQ4_0, "q4_0"),
    block_type<blocks::Q4_1>(DType::kQ4_1, "q4_1"),
    block_type<blocks::Q5_0>(DType::kQ5_0, "q5_0"),
    block_type<blocks::Q5_1>(DType::kQ5_1, "q5_1"),
    block_type<blocks::Q8_0>(DType::kQ8_0, "q8_0"),
    block_type<blocks::Q8_1>(DType::kQ8_1, "q8_1"),
    block_type<blocks::Q2_K>(DType::kQ2_K, "q2_k"),
    block_type<blocks::Q3_K>(DType::kQ3_K, "q3_k"),
    block_type<blocks::Q4_K>(DType::kQ4_K, "q4_k"),
    block_type<blocks::Q5_K>(DType::kQ5_K, "q5_k"),
    block_type<blocks::Q6_K>(DType::kQ6_K, "q6_k"),
    block_type<blocks::Q8_K>(DType::kQ8_K, "q8_k"),
    block_type<blocks::IQ2_XXS>(DType::kIQ2_XXS, "iq2_xxs"),
    block_type<blocks::IQ2_XS>(DType::kIQ2_XS, "iq2_xs"),
    block_type<blocks::IQ3_XXS>(DType::kIQ3_XXS, "iq3_xxs"),
    block_type<blocks::IQ1_S>(DType::kIQ1_S, "iq1_s"),
    block_type<blocks::IQ4_NL>(DType::kIQ4_NL, "iq4_nl"),
    block_type<blocks::IQ3_S>(DType::kIQ3_S, "iq3_s"),
    block_type<blocks::IQ2_S>(DType::kIQ2_S, "iq2_s"),
    block_type<blocks::IQ4_XS>(DType::kIQ4_XS, "iq4_xs"),
    plain_type<int8_t>(DType::kI8, "i8"),
    plain_type<int16_t>(DType::kI16, "i16"),
    plain_type<int32_t>(DType::kI32, "i32"),
    plain_type<int64_t>(DType::kI64, "i64"),
    plain_type<double>(DType::kF64, "f64"),
    block_type<blocks::IQ1_M>(DType::kIQ1_M, "iq1_m"),
    plain_type<uint16_t, blocks::bf16>(DType::kBF16, "bf16"),
    block_type<blocks::TQ1_0>(DType::kTQ1_0, "tq1_0"),
    block_type<blocks::TQ2_0>(DType::kTQ2_0, "tq2_0"),
    block_type<blocks::MXFP4>(DType::kMXFP4, "mxfp4"),
    block_type<blocks::NVFP4>(DType::kNVFP4, "nvfp4"),
    block_type<blocks::Q1_0>(DType::kQ1_0, "q1_0"),
    block_type<blocks::Q2_0>(DType::kQ2_0, "q2_0"),
    plain_type<uint8_t>(DType::kU8, "u8"),
    plain_type<uint16_t>(DType::kU16, "u16"),
    plain_type<uint32_t>(DType::kU32, "u32"),
    plain_type<uint64_t>(DType::kU64, "u64"),
    plain_type<uint8_t, truth>(DType::kBool, "bool"),
    plain_type<uint8_t, blocks::f8_e4m3>(DType::kF8E4M3, "f8_e4m3"),
    plain_type<uint8_t, blocks::f8_e5m2>(DType::kF8E5M2, "f8_e5m2"),
    plain_type<uint8_t, blocks::f8_e8m0>(DType::kF8E8M0, "f8_e8m0"),
};

constexpr int32_t kFirstOwnId = 100;
constexpr int32_t kIds = static_cast<int32_t>(DType::kF8E8M0) + 1;

/// Place in kTypes of each id, -1 where there is no type.
constexpr auto kPlaces = [] {
  std::array<int16_t, kIds> places{};
  places.fill(-1);
  for (size_t i = 0; i < kTypes.size(); ++i) {
    places[static_cast<size_t>(kTypes[i].info.dtype)] = static_cast<int16_t>(i);
  }
  return places;
}();

/// nullptr where there is no type.
const Entry* find(DType dtype) {
  const auto id = static_cast<int32_t>(dtype);
  if (id < 0 || id >= kIds || kPlaces[static_cast<size_t>(id)] < 0) return nullptr;
  return &kTypes[static_cast<size_t>(kPlaces[static_cast<size_t>(id)])];
}

constexpr std::array<std::pair<std::string_view, DType>, 16> kSafetensorsNames = {{
    {"BF16", DType::kBF16},
    {"BOOL", DType::kBool},
    {"F16", DType::kF16},
    {"F32", DType::kF32},
    {"F64", DType::kF64},
    {"F8_E4M3", DType::kF8E4M3},
    {"F8_E5M2", DType::kF8E5M2},
    {"F8_E8M0", DType::kF8E8M0},
    {"I16", DType::kI16},
    {"I32", DType::kI32},
    {"I64", DType::kI64},
    {"I8", DType::kI8},
    {"U16", DType::kU16},
    {"U32", DType::kU32},
    {"U64", DType::kU64},
    {"U8", DType::kU8},
}};

}  // namespace

const DTypeInfo& dtype_info(DType dtype) {
  const Entry* entry = find(dtype);
  DUET_CHECK(entry != nullptr);
  return entry->info;
}

std::optional<DType> dtype_from_ggml(uint32_t id) {
  if (id >= static_cast<uint32_t>(kFirstOwnId)) return std::nullopt;
  const Entry* entry = find(static_cast<DType>(id));
  if (entry == nullptr) return std::nullopt;
  return entry->info.dtype;
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  const auto* found = std::find_if(kSafetensorsNames.begin(), kSafetensorsNames.end(),
                                   [&](const auto& pair) { return pair.first == name; });
  if (found == kSafetensorsNames.end()) return std::nullopt;
  return found->second;
}

void dequantize(DType dtype, const std::byte* blocks, int64_t elements, float* out) noexcept {
  const Entry* entry = find(dtype);
  DUET_CHECK(entry != nullptr && elements >= 0 && elements % entry->info.block_size == 0);
  entry->decode(reinterpret_cast<const uint8_t*>(blocks), elements, out);
}

bool can_dequantize(DType dtype) { return find(dtype) != nullptr; }

float f16_to_f32(uint16_t bits) noexcept { return blocks::f16(bits); }

float bf16_to_f32(uint16_t bits) noexcept { return blocks::bf16(bits); }

uint16_t f32_to_f16(float value) noexcept {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000U;
  const uint32_t magnitude = bits & 0x7fffffffU;
  uint32_t code = 0;
  if (magnitude > 0x7f800000U) {
    code = 0x7e00U;
  } else if (magnitude >= 0x47800000U) {  // 2^16 and above; what lies between 65504 and it rounds by carry
    code = 0x7c00U;
  } else if (magnitude >= 0x38800000U) {  // 2^-14: the smallest normal number
    code = (magnitude - ((127U - 15U) << 23) + 0x0fffU + (magnitude >> 13 & 1U)) >> 13;
  } else if (magnitude > 0x33000000U) {               // 2^-25 is a tie between 0 and the smallest number, and 0 is even
    const uint32_t shift = 126U - (magnitude >> 23);  // 14 to 24: the result counts steps of 2^-24
    const uint32_t mantissa = (magnitude & 0x007fffffU) | 0x00800000U;
    const uint32_t rest = mantissa & ((1U << shift) - 1U);
    const uint32_t half = 1U << (shift - 1U);
    code = mantissa >> shift;
    if (rest > half || (rest == half && (code & 1U) != 0)) ++code;
  }
  return static_cast<uint16_t>(sign | code);
}

uint16_t f32_to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>(bits >> 16 | 0x0040U);
  return static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace duet
