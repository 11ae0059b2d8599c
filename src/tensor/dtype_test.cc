#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "tests/compare.h"
#include "tests/golden_file.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::GoldenFile;
using test::same_bits;

Json index() { return parse_json(read_text_file(test::golden("quant/index.json"), 16 << 20), "index.json"); }

/// The golden types: name and entry of index.json.
Json::Object golden_types() { return index().find("types")->object(); }

/// The names of all types of GGUF files. Not from index.json: a missing file must fail a test, not the listing of
/// tests.
std::vector<std::string> ggml_names() {
  std::vector<std::string> names;
  for (uint32_t id = 0; id < 100; ++id) {
    if (const auto dtype = dtype_from_ggml(id)) names.emplace_back(dtype_info(*dtype).name);
  }
  return names;
}

DType dtype_named(std::string_view name) {
  for (int id = 0; id < 200; ++id) {
    const auto dtype = static_cast<DType>(id);
    if (can_dequantize(dtype) && dtype_info(dtype).name == name) return dtype;
  }
  ADD_FAILURE() << "no type " << name;
  return DType::kF32;
}

std::vector<DType> all_types() {
  std::vector<DType> types;
  for (int id = -1; id < 300; ++id) {
    if (can_dequantize(static_cast<DType>(id))) types.push_back(static_cast<DType>(id));
  }
  return types;
}

/// Decodes `elements` values from the bytes of `stored`.
template <typename Stored>
std::vector<float> decode(DType dtype, const std::vector<Stored>& stored, size_t elements) {
  std::vector<std::byte> bytes(stored.size() * sizeof(Stored));
  std::memcpy(bytes.data(), stored.data(), bytes.size());
  EXPECT_EQ(row_bytes(dtype_info(dtype), static_cast<int64_t>(elements)), static_cast<int64_t>(bytes.size()));
  std::vector<float> out(elements);
  dequantize(dtype, bytes.data(), static_cast<int64_t>(out.size()), out.data());
  return out;
}

/// Decodes numbers of a plain type.
template <typename Stored>
std::vector<float> decode(DType dtype, const std::vector<Stored>& stored) {
  return decode(dtype, stored, stored.size());
}

template <typename Code>
std::vector<Code> all_codes() {
  std::vector<Code> codes(size_t{1} << (8 * sizeof(Code)));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<Code>(i);
  return codes;
}

TEST(DTypeTable, IsThatOfTheGoldens) {
  std::set<int64_t> ids;
  for (const auto& [name, entry] : golden_types()) {
    const int64_t id = entry.find("ggml_type")->integer();
    ids.insert(id);
    const auto dtype = dtype_from_ggml(static_cast<uint32_t>(id));
    ASSERT_TRUE(dtype.has_value()) << name;
    const DTypeInfo& info = dtype_info(*dtype);
    EXPECT_EQ(static_cast<int64_t>(info.dtype), id) << name;
    EXPECT_EQ(info.name, name);
    EXPECT_EQ(info.block_size, entry.find("block_size")->integer()) << name;
    EXPECT_EQ(info.block_bytes, entry.find("block_bytes")->integer()) << name;
    EXPECT_TRUE(can_dequantize(*dtype)) << name;
  }
  EXPECT_EQ(ids.size(), 35U);
  // Nothing else has an id in GGUF files, the types that ggml removed and those of safetensors included.
  for (uint32_t id = 0; id < 1000; ++id) EXPECT_EQ(dtype_from_ggml(id).has_value(), ids.contains(id)) << id;
  for (const uint32_t id : {0x7fffffffU, 0x80000000U, 0x80000002U, 0xfffffffeU, 0xffffffffU}) {
    EXPECT_FALSE(dtype_from_ggml(id).has_value()) << id;
  }
}

TEST(DTypeTable, HasUniqueNamesAndNoTypeBetween) {
  std::set<std::string_view> names;
  for (const DType dtype : all_types()) {
    EXPECT_EQ(dtype_info(dtype).dtype, dtype);
    EXPECT_TRUE(names.insert(dtype_info(dtype).name).second) << dtype_info(dtype).name;
  }
  EXPECT_EQ(names.size(), 43U);
  for (const int id : {-1, 4, 5, 31, 32, 33, 36, 37, 38, 43, 99, 108, std::numeric_limits<int>::max()}) {
    EXPECT_FALSE(can_dequantize(static_cast<DType>(id))) << id;
  }
  EXPECT_DEATH(static_cast<void>(dtype_info(static_cast<DType>(4))), "internal error");
}

TEST(DTypeTable, KnowsTheTypesOfSafetensors) {
  const std::vector<std::pair<std::string_view, DType>> known = {
      {"F64", DType::kF64},   {"F32", DType::kF32},        {"F16", DType::kF16},        {"BF16", DType::kBF16},
      {"I64", DType::kI64},   {"I32", DType::kI32},        {"I16", DType::kI16},        {"I8", DType::kI8},
      {"U64", DType::kU64},   {"U32", DType::kU32},        {"U16", DType::kU16},        {"U8", DType::kU8},
      {"BOOL", DType::kBool}, {"F8_E4M3", DType::kF8E4M3}, {"F8_E5M2", DType::kF8E5M2}, {"F8_E8M0", DType::kF8E8M0}};
  for (const auto& [name, dtype] : known) {
    EXPECT_EQ(dtype_from_safetensors(name), dtype) << name;
    EXPECT_EQ(dtype_info(dtype).block_size, 1) << name;
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    EXPECT_EQ(dtype_info(dtype).name, lower);
  }
  for (const char* name : {"", "f32", "F32 ", "F8", "Q4_0", "C64", "F4", "F6_E2M3", "F8_E4M3FNUZ", "BF16\n"}) {
    EXPECT_FALSE(dtype_from_safetensors(name).has_value()) << name;
  }
}

TEST(DTypeTable, RowBytesCountsWholeBlocks) {
  EXPECT_EQ(row_bytes(dtype_info(DType::kQ4_K), 4096), 16 * 144);
  EXPECT_EQ(row_bytes(dtype_info(DType::kF64), 3), 24);
  EXPECT_EQ(row_bytes(dtype_info(DType::kNVFP4), 0), 0);
}

class GoldenBlocks : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Quant, GoldenBlocks, testing::ValuesIn(ggml_names()),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(GoldenBlocks, DecodeBitForBit) {
  const GoldenFile file(test::golden("quant/" + GetParam() + ".safetensors"));
  const DTypeInfo& info = dtype_info(dtype_named(GetParam()));
  const std::vector<uint8_t> blocks = file.u8("blocks");
  const std::vector<float> expected = file.f32("values");
  const int64_t count = file.shape("blocks")[0];
  const Json types = *index().find("types");
  ASSERT_EQ(count, types.find(GetParam())->find("blocks")->integer());
  ASSERT_GT(count, 30);
  ASSERT_EQ(file.shape("blocks"), (Shape{count, info.block_bytes}));
  ASSERT_EQ(file.shape("values"), (Shape{count, info.block_size}));
  const auto* bytes = reinterpret_cast<const std::byte*>(blocks.data());

  std::vector<float> actual(expected.size(), -12345.0F);
  dequantize(info.dtype, bytes, count * info.block_size, actual.data());
  EXPECT_TRUE(same_bits(actual, expected));

  // Each block alone at an odd address, in a buffer that ends with it.
  for (int64_t i = 0; i < count; ++i) {
    std::vector<std::byte> odd(static_cast<size_t>(info.block_bytes) + 1);
    std::memcpy(odd.data() + 1, bytes + i * info.block_bytes, static_cast<size_t>(info.block_bytes));
    std::vector<float> one(static_cast<size_t>(info.block_size));
    dequantize(info.dtype, odd.data() + 1, info.block_size, one.data());
    const auto from = static_cast<size_t>(i * info.block_size);
    ASSERT_TRUE(same_bits(one, std::span(expected).subspan(from, one.size()))) << "block " << i;
  }
}

TEST_P(GoldenBlocks, DecodeAnyBytesAndWriteNothingElse) {
  const DTypeInfo& info = dtype_info(dtype_named(GetParam()));
  constexpr int64_t kBlocks = 500;
  constexpr float kGuard = 7654321.0F;
  std::mt19937 random(20);
  std::vector<std::byte> bytes(static_cast<size_t>(kBlocks * info.block_bytes));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xffU);
  const auto size = static_cast<size_t>(kBlocks * info.block_size);
  std::vector<float> first(size + 2, kGuard);
  dequantize(info.dtype, bytes.data(), kBlocks * info.block_size, first.data() + 1);
  EXPECT_EQ(first.front(), kGuard);
  EXPECT_EQ(first.back(), kGuard);
  std::vector<float> second(size + 2, kGuard);
  dequantize(info.dtype, bytes.data(), kBlocks * info.block_size, second.data() + 1);
  EXPECT_TRUE(same_bits(first, second));
  dequantize(info.dtype, nullptr, 0, nullptr);  // nothing to do
}

/// Every row of a code book, in blocks with scale 1 and without minus signs. `name_row` puts the number of the row of
/// group `k` into a block; the value is factor g + delta.
void check_grid(DType dtype, std::string_view grid, size_t scale_at, float factor, float delta,
                void (*name_row)(uint8_t* block, int64_t k, int64_t row)) {
  const GoldenFile grids(test::golden("quant/grids.safetensors"));
  const std::vector<int8_t> values = grids.i8(grid);
  const int64_t rows = grids.shape(grid)[0];
  const int64_t groups = 256 / grids.shape(grid)[1];
  const DTypeInfo& info = dtype_info(dtype);
  ASSERT_EQ(rows % groups, 0);
  std::vector<uint8_t> blocks(static_cast<size_t>(rows / groups * info.block_bytes));
  for (int64_t row = 0; row < rows; ++row) {
    uint8_t* block = blocks.data() + row / groups * info.block_bytes;
    block[scale_at] = 0x00;
    block[scale_at + 1] = 0x3c;  // f16 1
    name_row(block, row % groups, row);
  }
  std::vector<float> expected;
  for (const int8_t value : values) expected.push_back(factor * static_cast<float>(value) + delta);
  EXPECT_TRUE(same_bits(decode(dtype, blocks, expected.size()), expected)) << grid;
}

void set_bits(uint8_t& byte, int64_t value, int64_t shift) { byte = static_cast<uint8_t>(byte | value << shift); }

TEST(CodeBooks, EveryRowIsThatOfTheReference) {
  check_grid(DType::kIQ2_XXS, "iq2_xxs", 0, 0.125F, 0,
             [](uint8_t* block, int64_t k, int64_t row) { set_bits(block[2 + 8 * (k / 4) + k % 4], row, 0); });
  check_grid(DType::kIQ2_XS, "iq2_xs", 0, 0.125F, 0, [](uint8_t* block, int64_t k, int64_t row) {
    set_bits(block[2 + 2 * k], row & 255, 0);
    set_bits(block[3 + 2 * k], row >> 8, 0);
  });
  check_grid(DType::kIQ2_S, "iq2_s", 0, 0.125F, 0, [](uint8_t* block, int64_t k, int64_t row) {
    set_bits(block[2 + k], row & 255, 0);
    set_bits(block[66 + k / 4], row >> 8, 2 * (k % 4));
  });
  check_grid(DType::kIQ3_XXS, "iq3_xxs", 0, 0.25F, 0,
             [](uint8_t* block, int64_t k, int64_t row) { set_bits(block[2 + k], row, 0); });
  check_grid(DType::kIQ3_S, "iq3_s", 0, 1, 0, [](uint8_t* block, int64_t k, int64_t row) {
    set_bits(block[2 + k], row & 255, 0);
    set_bits(block[66 + k / 8], row >> 8, k % 8);
  });
  check_grid(DType::kIQ1_S, "iq1", 0, 1, 0.125F, [](uint8_t* block, int64_t k, int64_t row) {
    set_bits(block[2 + k], row & 255, 0);
    const int64_t word = (row >> 8) << (3 * (k % 4));
    set_bits(block[34 + 2 * (k / 4)], word & 255, 0);
    set_bits(block[35 + 2 * (k / 4)], word >> 8, 0);
  });
}

TEST(Scalars, DecodeTablesOfAllCodes) {
  const GoldenFile tables(test::golden("quant/scalar_tables.safetensors"));
  EXPECT_TRUE(same_bits(decode(DType::kF16, all_codes<uint16_t>()), tables.f32("f16")));
  EXPECT_TRUE(same_bits(decode(DType::kBF16, all_codes<uint16_t>()), tables.f32("bf16")));
  EXPECT_TRUE(same_bits(decode(DType::kF8E4M3, all_codes<uint8_t>()), tables.f32("f8_e4m3fn")));
  EXPECT_TRUE(same_bits(decode(DType::kF8E5M2, all_codes<uint8_t>()), tables.f32("f8_e5m2")));
  EXPECT_TRUE(same_bits(decode(DType::kF8E8M0, all_codes<uint8_t>()), tables.f32("f8_e8m0")));
  std::vector<float> half;
  std::vector<float> brain;
  for (const uint16_t code : all_codes<uint16_t>()) {
    half.push_back(f16_to_f32(code));
    brain.push_back(bf16_to_f32(code));
  }
  EXPECT_TRUE(same_bits(half, tables.f32("f16")));
  EXPECT_TRUE(same_bits(brain, tables.f32("bf16")));
}

/// The scales of MXFP4 and NVFP4 and their 16 numbers, one by one through whole blocks.
TEST(Scalars, Fp4ScalesOfAllCodes) {
  const GoldenFile tables(test::golden("quant/scalar_tables.safetensors"));
  const std::vector<float> e8m0 = tables.f32("ggml_e8m0_half");
  const std::vector<float> ue4m3 = tables.f32("ggml_ue4m3_half");
  const std::vector<float> e2m1 = tables.f32("f4_e2m1");
  for (size_t code = 0; code < 256; ++code) {
    std::vector<std::byte> mx(17);
    std::vector<std::byte> nv(36);
    mx[0] = nv[0] = nv[1] = nv[2] = nv[3] = static_cast<std::byte>(code);
    for (size_t i = 0; i < 16; ++i) mx[1 + i] = nv[4 + i] = nv[20 + i] = static_cast<std::byte>(i | (15 - i) << 4);
    std::vector<float> out(32);
    dequantize(DType::kMXFP4, mx.data(), 32, out.data());
    std::vector<float> expected(32);
    const auto twice = [&](size_t q) { return q == 8 ? 0.0F : 2 * e2m1[q]; };  // 8 is +0 in ggml, -0 in OCP MX
    for (size_t i = 0; i < 16; ++i) {
      expected[i] = e8m0[code] * twice(i);
      expected[i + 16] = e8m0[code] * twice(15 - i);
    }
    EXPECT_TRUE(same_bits(out, expected)) << code;
    out.resize(64);
    expected.resize(64);
    dequantize(DType::kNVFP4, nv.data(), 64, out.data());
    for (size_t i = 0; i < 64; ++i) {
      const size_t byte = 8 * (i / 16 % 2) + i % 8;
      expected[i] = ue4m3[code] * twice(i % 16 < 8 ? byte : 15 - byte);
    }
    EXPECT_TRUE(same_bits(out, expected)) << code;
  }
}

TEST(Scalars, EncodeTables) {
  const GoldenFile tables(test::golden("quant/scalar_tables.safetensors"));
  const std::vector<float> x = tables.f32("encode_x");
  const std::vector<uint16_t> f16 = tables.u16("encode_f16");
  const std::vector<uint16_t> bf16 = tables.u16("encode_bf16");
  ASSERT_EQ(x.size(), 1859U);
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {  // any NaN code
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(x[i])))) << i;
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(x[i])))) << i;
      continue;
    }
    EXPECT_EQ(f32_to_f16(x[i]), f16[i]) << i << ": " << x[i];
    EXPECT_EQ(f32_to_bf16(x[i]), bf16[i]) << i << ": " << x[i];
  }
}

/// All codes of a 16-bit type: its number encodes to it, the middle between it and its successor to the even one of the
/// two, and the float32 on either side of the middle to the nearer one. `infinity` is the code above the largest
/// number.
void check_rounding(float (*decode_one)(uint16_t), uint16_t (*encode)(float), uint16_t infinity, double next_power) {
  for (uint32_t code = 0; code < infinity; ++code) {
    const auto lower = static_cast<uint16_t>(code);
    const auto upper = static_cast<uint16_t>(code + 1);
    const float value = decode_one(lower);
    const double next = upper == infinity ? next_power : static_cast<double>(decode_one(upper));
    const auto middle = static_cast<float>((static_cast<double>(value) + next) / 2);
    for (const uint32_t sign : {0U, 0x8000U}) {
      const float one = sign != 0 ? -1.0F : 1.0F;
      ASSERT_EQ(encode(one * value), sign | lower) << code;
      ASSERT_EQ(encode(one * middle), sign | (lower % 2 == 0 ? lower : upper)) << code;
      ASSERT_EQ(encode(one * std::nextafterf(middle, 0.0F)), sign | lower) << code;
      ASSERT_EQ(encode(one * std::nextafterf(middle, std::numeric_limits<float>::infinity())), sign | upper) << code;
    }
  }
}

TEST(Scalars, RoundToNearestEvenEverywhere) {
  check_rounding(f16_to_f32, f32_to_f16, 0x7c00, 0x1p16);
  check_rounding(bf16_to_f32, f32_to_bf16, 0x7f80, 0x1p128);
}

TEST(Scalars, SpecialValuesEncode) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(f32_to_f16(infinity), 0x7c00);
  EXPECT_EQ(f32_to_f16(-infinity), 0xfc00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(f32_to_f16(-0.0F), 0x8000);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::denorm_min()), 0x8000);
  EXPECT_EQ(f32_to_bf16(infinity), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-infinity), 0xff80);
  EXPECT_EQ(f32_to_bf16(-std::numeric_limits<float>::max()), 0xff80);
  EXPECT_EQ(f32_to_bf16(-0.0F), 0x8000);
  // Payloads that would round to infinity or wrap around to zero.
  for (const uint32_t bits : {0x7f800001U, 0x7fbfffffU, 0x7fffffffU, 0xff800001U, 0xffffffffU, 0x7fc00000U}) {
    const auto nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(nan)))) << bits;
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(nan)))) << bits;
  }
}

TEST(Scalars, UnsignedAndBooleanNumbers) {
  using Floats = std::vector<float>;
  EXPECT_TRUE(same_bits(decode(DType::kU8, std::vector<uint8_t>{0, 1, 128, 255}), Floats{0, 1, 128, 255}));
  EXPECT_TRUE(same_bits(decode(DType::kU16, std::vector<uint16_t>{0, 32768, 65535}), Floats{0, 32768, 65535}));
  EXPECT_TRUE(same_bits(decode(DType::kU32, std::vector<uint32_t>{1U << 31, 16777217U, 16777219U, ~0U}),
                        Floats{0x1p31F, 16777216, 16777220, 0x1p32F}));
  // Ties to even, and one above a tie, in the upper half where the number is no int64.
  EXPECT_TRUE(same_bits(decode(DType::kU64, std::vector<uint64_t>{0, 1ULL << 63, (1ULL << 63) + (1ULL << 39),
                                                                  (1ULL << 63) + (1ULL << 39) + 1, ~0ULL}),
                        Floats{0, 0x1p63F, 0x1p63F, 0x1.000002p63F, 0x1p64F}));
  EXPECT_TRUE(same_bits(decode(DType::kBool, std::vector<uint8_t>{0, 1, 2, 255}), Floats{0, 1, 1, 1}));
}

}  // namespace
}  // namespace duet
