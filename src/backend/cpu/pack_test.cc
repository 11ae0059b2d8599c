#include <gtest/gtest.h>

#include <atomic>

#include "backend/cpu/block_layout.h"
#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/golden_file.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::Cpu;
using test::Matrix;

/// The golden blocks of a type (zero, subnormal, Inf and NaN scales among them) as 37 rows.
Matrix golden_matrix(DType dtype) {
  const DTypeInfo& info = dtype_info(dtype);
  const test::GoldenFile file(test::golden("quant") / (std::string(info.name) + ".safetensors"));
  const std::vector<std::byte> blocks = file.bytes("blocks");
  const auto count = static_cast<int64_t>(blocks.size()) / info.block_bytes;
  Matrix m = {dtype, 37, (count + 36) / 37 * info.block_size, {}, {}};
  m.bytes.resize(static_cast<size_t>(m.rows * row_bytes(info, m.cols)));
  for (size_t i = 0; i < m.bytes.size(); ++i) m.bytes[i] = blocks[i % blocks.size()];
  m.values.resize(static_cast<size_t>(m.rows * m.cols));
  dequantize(dtype, m.bytes.data(), m.rows * m.cols, m.values.data());
  return m;
}

TEST(Pack, EveryTypeKeepsItsBytesAndReadsBackItsRows) {
  for (const std::string& level : test::levels_here()) {
    const Cpu cpu(level);
    for (const DType dtype : test::weight_types()) {
      if (!std::filesystem::exists(test::golden("quant") / (std::string(dtype_info(dtype).name) + ".safetensors")))
        continue;
      const Matrix m = golden_matrix(dtype);
      const auto weight = cpu->pack(m.source());
      EXPECT_EQ(weight->rows(), m.rows);
      EXPECT_EQ(weight->cols(), m.cols);
      EXPECT_EQ(weight->dtype(), dtype);
      EXPECT_EQ(weight->bytes(), static_cast<int64_t>(m.bytes.size()));
      std::vector<int32_t> ids;
      std::vector<float> expected;
      for (int32_t i = 0; i < 60; ++i) {
        ids.push_back(i * 7 % 37);
        const auto row = m.values.begin() + ids.back() * m.cols;
        expected.insert(expected.end(), row, row + m.cols);
      }
      std::vector<float> rows(expected.size());
      cpu->embed_rows(*weight, ids, test::view(rows, Shape{60, m.cols}));
      EXPECT_TRUE(test::same_bits(rows, expected)) << dtype_info(dtype).name;
    }
  }
}

std::vector<std::byte> packed_form(const Cpu& cpu, const PackedWeight& weight) {
  std::vector<std::byte> bytes(static_cast<size_t>(weight.bytes()));
  cpu->copy_packed(weight, 0, bytes);
  return bytes;
}

TEST(Pack, APackedFormComesBackBitForBit) {
  for (const std::string& level : test::levels_here()) {
    const Cpu cpu(level);
    for (const DType dtype : test::weight_types()) {
      if (!std::filesystem::exists(test::golden("quant") / (std::string(dtype_info(dtype).name) + ".safetensors")))
        continue;
      SCOPED_TRACE(std::string(dtype_info(dtype).name) + " " + level);
      const Matrix m = golden_matrix(dtype);
      const auto weight = cpu->pack(m.source());
      const std::vector<std::byte> packed = packed_form(cpu, *weight);
      std::atomic<int64_t> read = 0;
      const auto restored = cpu->restore(m.source(), [&](int64_t begin, std::span<std::byte> out) {
        EXPECT_EQ(begin % kPackedPieceBytes, 0);
        std::copy_n(packed.begin() + begin, out.size(), out.begin());
        read += static_cast<int64_t>(out.size());
      });
      EXPECT_EQ(read, weight->bytes());
      EXPECT_EQ(packed_form(cpu, *restored), packed);
      EXPECT_EQ(restored->activations(), weight->activations());
      std::vector<float> rows(static_cast<size_t>(m.rows * m.cols)), again(rows.size());
      std::vector<int32_t> ids(static_cast<size_t>(m.rows));
      for (int32_t i = 0; i < m.rows; ++i) ids[static_cast<size_t>(i)] = i;
      cpu->embed_rows(*weight, ids, test::view(rows, Shape{m.rows, m.cols}));
      // Its memory can be written again.
      const auto memory = cpu->packed_memory(*restored);
      ASSERT_EQ(memory.size(), packed.size());
      std::fill(memory.begin(), memory.end(), std::byte{0});
      cpu->copy_to_packed(*restored, 0, packed);
      cpu->embed_rows(*restored, ids, test::view(again, Shape{m.rows, m.cols}));
      EXPECT_TRUE(test::same_bits(again, rows));
    }
  }
}

TEST(Pack, WhatReadingThrowsComesOut) {
  const Cpu cpu(std::string(test::levels_here().front()));
  const Matrix m = golden_matrix(DType::kQ8_0);
  EXPECT_ERROR(cpu->restore(m.source(), [](int64_t, std::span<std::byte>) { fail(ErrorCode::kIoError, "gone"); }),
               ErrorCode::kIoError, "gone");
}

TEST(Pack, UnpackKernelsEqualDequantizeBitForBit) {
  for (const std::string& level : test::levels_here()) {
    const CpuKernels kernels = test::choose_level(level).kernels;
    for (const DType dtype : test::panel_types()) {
      const Matrix m = golden_matrix(dtype);
      const DTypeInfo& info = dtype_info(dtype);
      const int64_t blocks = m.cols / info.block_size;
      const UnpackKernel unpack = kernels.types[static_cast<size_t>(dtype)].unpack;
      ASSERT_NE(unpack, nullptr) << info.name;
      for (const int64_t first : {0, 16}) {
        std::vector<std::byte> panel(static_cast<size_t>(16 * row_bytes(info, m.cols)));
        interleave_panel(dtype, m.bytes.data() + first * row_bytes(info, m.cols), blocks, panel.data());
        std::vector<float> out(static_cast<size_t>(16 * m.cols)), expected(out.size());
        unpack(panel.data(), blocks, out.data());
        for (int64_t r = 0; r < 16; ++r) {
          for (int64_t k = 0; k < m.cols; ++k) {
            expected[static_cast<size_t>(k * 16 + r)] = m.values[static_cast<size_t>((first + r) * m.cols + k)];
          }
        }
        EXPECT_TRUE(test::same_bits(out, expected)) << level << " " << info.name;
      }
    }
  }
}

TEST(Pack, EveryHalfNumberIsDecoded) {
  Matrix m = {DType::kF16, 64, 1024, {}, {}};
  m.bytes.resize(size_t{65536} * 2);
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto code = static_cast<uint16_t>(i);
    std::memcpy(m.bytes.data() + 2 * i, &code, 2);
  }
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    m.dtype = dtype;
    for (const std::string& level : test::levels_here()) {
      const UnpackKernel unpack = test::choose_level(level).kernels.types[static_cast<size_t>(dtype)].unpack;
      std::vector<float> out(65536), expected(65536);
      unpack(m.bytes.data(), 4096, out.data());
      dequantize(dtype, m.bytes.data(), 65536, expected.data());
      EXPECT_TRUE(test::same_bits(out, expected)) << level;
    }
  }
}

TEST(Pack, AMatrixLargerThanTheStagingIsReadOnceInPieces) {
  const Cpu cpu("", 3);
  const Matrix m = test::random_matrix(DType::kQ4_0, 5003, 1024, 3);
  std::atomic<int64_t> rows_read = 0;
  std::atomic<int64_t> largest = 0;
  WeightSource source = m.source();
  source.read_rows = [&, read = source.read_rows](int64_t begin, int64_t count, std::span<std::byte> out) {
    rows_read += count;
    if (static_cast<int64_t>(out.size()) > largest) largest = static_cast<int64_t>(out.size());
    read(begin, count, out);
  };
  const auto weight = cpu->pack(source);
  EXPECT_EQ(rows_read, 5003);
  EXPECT_LE(largest, 1 << 20);
  std::vector<int32_t> ids = {0, 15, 16, 4999, 5002, 2500};
  std::vector<float> rows(ids.size() * 1024), expected;
  for (const int32_t id : ids)
    expected.insert(expected.end(), m.values.begin() + id * 1024, m.values.begin() + (id + 1) * 1024);
  cpu->embed_rows(*weight, ids, test::view(rows, Shape{6, 1024}));
  EXPECT_TRUE(test::same_bits(rows, expected));
}

TEST(Pack, AReadThatFailsIsReported) {
  const Cpu cpu("", 2);
  const Matrix m = test::random_matrix(DType::kQ4_0, 3000, 1024, 3);
  WeightSource source = m.source("blk.3.ffn_up.weight");
  source.read_rows = [](int64_t begin, int64_t, std::span<std::byte>) {
    if (begin > 1000) fail(ErrorCode::kTruncated, "model.gguf: ends early");
  };
  EXPECT_ERROR(cpu->pack(source), ErrorCode::kTruncated, "model.gguf");
}

TEST(Pack, RefusesWhatIsNoMatrixOfBlocks) {
  const Cpu cpu;
  WeightSource source = {"w", DType::kQ4_0, 16, 33, {}};
  EXPECT_ERROR(cpu->pack(source), ErrorCode::kBadShape, "w");
  source.cols = int64_t{1} << 56;
  source.rows = int64_t{1} << 40;
  EXPECT_ERROR(cpu->pack(source), ErrorCode::kSizeOverflow, "w");
  source.rows = 1 << 4;
  EXPECT_ERROR(cpu->pack(source), ErrorCode::kOutOfMemory, "bytes");
}

TEST(Memory, IsZeroAndAlignedAndAnImpossibleSizeIsAnError) {
  const Cpu cpu;
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{63}, int64_t{100000}, (int64_t{4} << 20) - 1,
                              int64_t{4} << 20, (int64_t{9} << 20) + 17}) {
    const Buffer buffer = cpu->allocate(bytes);
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % (bytes >= int64_t{4} << 20 ? 2U << 20 : 64U), 0U);
    for (int64_t i = 0; i < bytes; i += 4095) EXPECT_EQ(buffer.data()[i], std::byte{0});
    if (bytes > 0) {
      buffer.data()[bytes - 1] = std::byte{7};
    }
  }
  EXPECT_ERROR(cpu->allocate(int64_t{1} << 60), ErrorCode::kOutOfMemory, "1152921504606846976");
  EXPECT_ERROR(cpu->allocate(INT64_MAX), ErrorCode::kOutOfMemory, "bytes");
  EXPECT_ERROR(cpu->allocate(-1), ErrorCode::kOutOfMemory, "-1");
}

TEST(Level, UnknownAndForcedNames) {
  ThreadPool pool(1);
  EXPECT_ERROR(make_cpu_backend(pool, "avx1024"), ErrorCode::kBadValue,
               "'avx1024' is not one of baseline, avx2, avx512, avx512vnni");
  const auto levels = supported_cpu_levels();
  EXPECT_EQ(choose_cpu_level("baseline").name, "baseline");
  for (const std::string_view level : {"avx2", "avx512", "avx512vnni"}) {
    if (std::find(levels.begin(), levels.end(), level) == levels.end()) {
      EXPECT_ERROR(make_cpu_backend(pool, level), ErrorCode::kUnsupportedFeature, std::string(level));
    } else {
      EXPECT_EQ(choose_cpu_level(level).name, level);
    }
  }
  setenv("DUET_CPU", "baseline", 1);
  EXPECT_EQ(choose_cpu_level("").name, "baseline");
  setenv("DUET_CPU", "pentium", 1);
  EXPECT_ERROR(choose_cpu_level(""), ErrorCode::kBadValue, "pentium");
  unsetenv("DUET_CPU");
  EXPECT_EQ(choose_cpu_level("").name, levels.back());
}

}  // namespace
}  // namespace duet
