// Grouped rows (tensor/grouped.h) in panels: the bits of the same weights held as float32, and in the native arithmetic
// those of ref.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::Cpu;

struct Case {
  const char* name;
  GroupFormat format;
  int64_t rows, cols;
};

GroupFormat format_of(GroupCode code, GroupScale scale, int32_t group) {
  GroupFormat format;
  format.code = code, format.scale = scale, format.group = group;
  return format;
}

/// What quantised checkpoints have, and what is rare: groups that no piece of columns begins with, last groups that are
/// not whole, last rows that are no panel.
std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const char* name, GroupFormat format, int64_t rows, int64_t cols) {
    all.push_back({name, format, rows, cols});
  };
  GroupFormat zeros = format_of(GroupCode::kInt4, GroupScale::kF16, 128);
  zeros.zeros = true;
  add("gptq", zeros, 37, 1056);
  zeros.ordered = true;
  add("gptq in order of activations", zeros, 37, 1056);
  GroupFormat symmetric = format_of(GroupCode::kInt4, GroupScale::kBF16, 32);
  symmetric.zero = 8;
  add("int4 in groups of 32", symmetric, 48, 608);
  symmetric.group = 48;
  add("int4 in groups of 48", symmetric, 20, 1120);
  symmetric.group = 128, symmetric.ordered = true, symmetric.scale = GroupScale::kF32;
  add("int4 in order of activations", symmetric, 32, 544);
  add("int8 a row", format_of(GroupCode::kInt8, GroupScale::kF32, 1056), 35, 1056);
  GroupFormat bytes = format_of(GroupCode::kInt8, GroupScale::kF16, 64);
  bytes.zeros = true;
  add("int8 with zeros", bytes, 35, 320);
  bytes.ordered = true;
  add("int8 with zeros in order of activations", bytes, 35, 320);
  GroupFormat blocks = format_of(GroupCode::kE4M3, GroupScale::kTable, 128);
  blocks.table_rows = 3;
  add("fp8 in blocks", blocks, 45, 1056);
  blocks.table_rows = 1, blocks.group = 544;
  add("fp8 of a matrix", blocks, 33, 544);
  add("fp8 a row", format_of(GroupCode::kE4M3, GroupScale::kBF16, 544), 33, 544);
  add("fp8 with powers", format_of(GroupCode::kE4M3, GroupScale::kE8M0, 32), 33, 544);
  add("nvfp4", format_of(GroupCode::kE2M1, GroupScale::kGlobal, 16), 43, 1056);
  add("fp4 with scales of 8 bits", format_of(GroupCode::kE2M1, GroupScale::kE4M3, 32), 17, 544);
  add("nf4", format_of(GroupCode::kMap4, GroupScale::kF32, 64), 43, 1088);
  GroupFormat nested = format_of(GroupCode::kMap4, GroupScale::kNested, 64);
  nested.nested_block = 7, nested.table_rows = 9;
  add("nf4 quantised twice", nested, 7, 576);
  nested.nested_block = 40, nested.table_rows = 19;
  add("nf4 quantised twice, of panels", nested, 43, 1088);
  return all;
}

struct GroupedMatrix {
  explicit GroupedMatrix(const Case& c, uint32_t seed) : test(c), layout(group_layout(c.format, c.cols)) {
    std::mt19937 random(seed);
    const auto number = [&] {
      return static_cast<float>(random() % 2000 + 1) / 1e5F * (random() % 2 == 0 ? 1.0F : -1.0F);
    };
    const auto put = [](std::vector<std::byte>& to, size_t at, const auto& value) {
      std::memcpy(to.data() + at, &value, sizeof value);
    };
    table.resize(static_cast<size_t>(group_table_bytes(c.format, c.cols)));
    const auto order_at = static_cast<size_t>(group_order_at(c.format, c.cols));
    for (size_t at = 0; at < order_at; at += 4) put(table, at, number());
    for (size_t at = order_at; at < table.size(); at += 4) {
      put(table, at, static_cast<int32_t>(random() % static_cast<uint32_t>(layout.groups)));
    }
    bytes.resize(static_cast<size_t>(c.rows * layout.row_bytes()));
    for (int64_t r = 0; r < c.rows; ++r) {
      const auto row = static_cast<size_t>(r * layout.row_bytes());
      for (int64_t i = 0; i < layout.row_bytes(); ++i) {
        const auto byte = static_cast<std::byte>(random());
        const bool nan = c.format.code == GroupCode::kE4M3 && (byte & std::byte{0x7f}) == std::byte{0x7f};
        bytes[row + static_cast<size_t>(i)] = nan ? std::byte{0x80} : byte;
      }
      for (int64_t g = 0; g < layout.groups; ++g) {
        const size_t at = row + static_cast<size_t>(layout.scales_at() + g * layout.scale);
        const float scale = number();
        if (layout.scale == 4) put(bytes, at, scale);
        if (c.format.scale == GroupScale::kF16) put(bytes, at, f32_to_f16(scale));
        if (c.format.scale == GroupScale::kBF16) put(bytes, at, f32_to_bf16(scale));
        if (c.format.scale == GroupScale::kE8M0) put(bytes, at, static_cast<uint8_t>(120 + random() % 10));
        if (c.format.scale == GroupScale::kE4M3 || c.format.scale == GroupScale::kGlobal) {
          put(bytes, at, static_cast<uint8_t>(random() % 0x7f));
        }
        if (c.format.zeros && c.format.code == GroupCode::kInt4) {
          put(bytes, row + static_cast<size_t>(layout.zeros_at() + g), static_cast<uint8_t>(random() % 16));
        }
      }
      if (layout.line == 0) continue;
      const int64_t lines = c.format.scale == GroupScale::kTable ? c.format.table_rows : c.rows;
      put(bytes, row + static_cast<size_t>(layout.line_at()), static_cast<uint16_t>(r * lines / c.rows));
    }
    values.resize(static_cast<size_t>(c.rows * c.cols));
    for (int64_t r = 0; r < c.rows; ++r) {
      decode_grouped(c.format, c.cols, table.data(), bytes.data() + r * layout.row_bytes(), 0, c.cols,
                     values.data() + r * c.cols);
    }
  }

  WeightSource source(Activations activations) const {
    const int64_t stride = layout.row_bytes();
    return {"grouped",
            DType::kGrouped,
            test.rows,
            test.cols,
            [this, stride](int64_t begin, int64_t count, std::span<std::byte> out) {
              ASSERT_EQ(static_cast<int64_t>(out.size()), count * stride);
              std::copy_n(bytes.begin() + begin * stride, out.size(), out.begin());
            },
            activations,
            test.format,
            table};
  }
  WeightSource as_floats() const {
    return {"floats", DType::kF32, test.rows, test.cols, [this](int64_t begin, int64_t, std::span<std::byte> out) {
              std::memcpy(out.data(), values.data() + begin * test.cols, out.size());
            }};
  }

  Case test;
  GroupLayout layout;
  std::vector<std::byte> bytes, table;
  std::vector<float> values;
};

std::vector<float> multiply(Backend& backend, const PackedWeight& weight, std::vector<float> x) {
  const auto rows = static_cast<int64_t>(x.size()) / weight.cols();
  std::vector<float> out(static_cast<size_t>(rows * weight.rows()));
  const LinearTerm term = {&weight, {}, Epilogue::kNone, test::view(out, Shape{rows, weight.rows()})};
  backend.linear(test::view(x, Shape{rows, weight.cols()}), {&term, 1});
  return out;
}

TEST(Grouped, ColumnsOfTheReferenceAreThoseOfTheWholeRow) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    ASSERT_TRUE(is_group_format(c.format, c.cols));
    const GroupedMatrix m(c, 1);
    const auto nonzero = std::count_if(m.values.begin(), m.values.end(), [](float v) { return v != 0; });
    EXPECT_GT(nonzero, static_cast<int64_t>(m.values.size() / 2));
    for (const float v : m.values) ASSERT_TRUE(std::isfinite(v));
    std::vector<float> part(96);
    decode_grouped(c.format, c.cols, m.table.data(), m.bytes.data() + m.layout.row_bytes(), 80, 96, part.data());
    EXPECT_TRUE(test::same_bits(part, std::span(m.values).subspan(static_cast<size_t>(c.cols + 80), 96)));
    if (integer_form(c.format).scales == 0) continue;
    std::vector<IntegerBlock> blocks(static_cast<size_t>(c.cols / 32));
    decode_grouped_integers(c.format, c.cols, m.table.data(), m.bytes.data(), 0, c.cols, blocks.data());
    for (int64_t i = 0; i < c.cols; ++i) {
      const IntegerBlock& block = blocks[static_cast<size_t>(i / 32)];
      ASSERT_EQ(static_cast<float>(block.q[i % 32]) * block.scale[i % 32 / 16], m.values[static_cast<size_t>(i)]) << i;
    }
  }
}

TEST(Grouped, ProductsHaveTheBitsOfFloatWeights) {
  for (const std::string& level : test::levels_here()) {
    const Cpu cpu(level);
    for (const Case& c : cases()) {
      SCOPED_TRACE(std::string(c.name) + " " + level);
      const GroupedMatrix m(c, 2);
      const auto weight = cpu->pack(m.source(Activations::kF32)), floats = cpu->pack(m.as_floats());
      EXPECT_EQ(weight->bytes(), packed_bytes(c.format, c.rows, c.cols));
      for (const int64_t rows : {1, 2, 7, 40}) {
        const std::vector<float> x = test::random_floats(rows * c.cols, static_cast<uint32_t>(rows));
        EXPECT_TRUE(test::same_bits(multiply(*cpu.backend, *weight, x), multiply(*cpu.backend, *floats, x))) << rows;
      }
    }
  }
}

TEST(Grouped, NativeProductsHaveTheBitsOfRef) {
  const auto ref = make_ref_backend();
  for (const std::string& level : test::levels_here()) {
    const Cpu cpu(level);
    for (const Case& c : cases()) {
      SCOPED_TRACE(std::string(c.name) + " " + level);
      const GroupedMatrix m(c, 3);
      const auto weight = cpu->pack(m.source(Activations::kNative)), slow = ref->pack(m.source(Activations::kNative));
      const bool integers = integer_form(c.format).scales > 0;
      EXPECT_EQ(weight->activations(), integers ? Activations::kNative : Activations::kF32);
      EXPECT_EQ(slow->bytes(), weight->bytes());
      if (!integers) continue;
      for (const int64_t rows : {1, 2, 7, 40}) {
        const std::vector<float> x = test::random_floats(rows * c.cols, static_cast<uint32_t>(rows));
        EXPECT_TRUE(test::same_bits(multiply(*cpu.backend, *weight, x), multiply(*ref, *slow, x))) << rows;
      }
    }
  }
}

TEST(Grouped, PackedFormsComeBackAndRowsAreRead) {
  for (const std::string& level : test::levels_here()) {
    const Cpu cpu(level);
    for (const Case& c : cases()) {
      SCOPED_TRACE(std::string(c.name) + " " + level);
      const GroupedMatrix m(c, 4);
      const auto weight = cpu->pack(m.source(Activations::kF32));
      std::vector<std::byte> packed(static_cast<size_t>(weight->bytes()));
      cpu->copy_packed(*weight, 0, packed);
      WeightSource form = m.source(Activations::kF32);
      form.read_rows = {}, form.table = {};
      const auto again = cpu->restore(form, [&](int64_t begin, std::span<std::byte> out) {
        std::copy_n(packed.begin() + begin, out.size(), out.begin());
      });
      std::vector<int32_t> ids;
      for (int32_t i = 0; i < c.rows; ++i) ids.push_back(i);
      std::vector<float> rows(m.values.size());
      cpu->embed_rows(*again, ids, test::view(rows, Shape{c.rows, c.cols}));
      EXPECT_TRUE(test::same_bits(rows, m.values));
    }
  }
}

TEST(Grouped, FormsThatMakeNoSenseAreRefused) {
  GroupFormat good = format_of(GroupCode::kInt4, GroupScale::kF16, 128);
  EXPECT_TRUE(is_group_format(good, 4096));
  EXPECT_FALSE(is_group_format(good, 4097));
  EXPECT_FALSE(is_group_format(good, 0));
  for (const int32_t group : {0, -16, 8, 100}) {
    GroupFormat bad = good;
    bad.group = group;
    EXPECT_FALSE(is_group_format(bad, 4096)) << group;
  }
  GroupFormat table = format_of(GroupCode::kE4M3, GroupScale::kTable, 128);
  EXPECT_FALSE(is_group_format(table, 4096));
  table.table_rows = 70000;
  EXPECT_FALSE(is_group_format(table, 4096));
  table.table_rows = 70, table.ordered = true;
  EXPECT_FALSE(is_group_format(table, 4096));
  const Cpu cpu(std::string(test::levels_here().front()));
  WeightSource source{"a weight", DType::kGrouped, 16, 100, {}, Activations::kF32, good};
  EXPECT_ERROR(cpu->pack(source), ErrorCode::kBadShape, "a weight");
}

}  // namespace
}  // namespace duet
