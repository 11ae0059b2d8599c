#include "tensor/grouped.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "tensor/blocks/fp4.h"
#include "tensor/blocks/scalars.h"

namespace duet {
namespace {

constexpr int64_t kUnit = 16;  // columns that are never of two groups, unless these are ordered
constexpr int64_t kFloat = sizeof(float);

bool has_bytes(GroupCode code) { return code == GroupCode::kInt8 || code == GroupCode::kE4M3; }

int64_t scale_bytes(GroupScale scale) {
  switch (scale) {
    case GroupScale::kF32:
      return 4;
    case GroupScale::kF16:
    case GroupScale::kBF16:
      return 2;
    case GroupScale::kTable:
      return 0;
    default:
      return 1;
  }
}

/// float32 numbers of the table that scales are made of.
int64_t scale_floats(const GroupFormat& format, int64_t groups) {
  switch (format.scale) {
    case GroupScale::kGlobal:
      return 1;
    case GroupScale::kTable:
      return format.table_rows * groups;
    case GroupScale::kNested:
      return 256 + format.table_rows + 1;
    default:
      return 0;
  }
}

template <typename T>
T load(const std::byte* at) noexcept {
  return blocks::load<T>(reinterpret_cast<const uint8_t*>(at));
}

uint32_t code_at(const std::byte* codes, bool bytes, int64_t column) noexcept {
  if (bytes) return std::to_integer<uint32_t>(codes[column]);
  const auto both = std::to_integer<uint32_t>(codes[column / 8 * 4 + column % 4]);
  return column % 8 < 4 ? both & 15U : both >> 4;
}

int signed_byte(uint32_t byte) noexcept { return static_cast<int8_t>(static_cast<uint8_t>(byte)); }

/// The zero of group g of a row.
int zero_of(const GroupFormat& format, const std::byte* zeros, int64_t g) noexcept {
  if (!format.zeros) return format.zero;
  const auto byte = std::to_integer<uint32_t>(zeros[g]);
  return format.code == GroupCode::kInt8 ? signed_byte(byte) : static_cast<int>(byte);
}

}  // namespace

GroupLayout group_layout(const GroupFormat& format, int64_t cols) {
  GroupLayout layout;
  layout.groups = (cols + format.group - 1) / format.group;
  layout.codes = has_bytes(format.code) ? cols : cols / 2;
  layout.scale = scale_bytes(format.scale);
  layout.scales = layout.groups * layout.scale;
  layout.zeros = format.zeros ? layout.groups : 0;
  const bool has_lines = format.scale == GroupScale::kTable || format.scale == GroupScale::kNested;
  layout.line = has_lines && format.table_rows > 1 ? 2 : 0;
  return layout;
}

bool is_group_format(const GroupFormat& format, int64_t cols) {
  constexpr int64_t kMostColumns = int64_t{1} << 31;
  if (format.code > GroupCode::kMap4 || format.scale > GroupScale::kNested) return false;
  if (cols <= 0 || cols > kMostColumns || cols % kIntegerColumns != 0) return false;
  if (format.group <= 0 || format.group % kUnit != 0) return false;
  const bool integers = format.code == GroupCode::kInt4 || format.code == GroupCode::kInt8;
  if (format.zeros && !integers) return false;
  if (format.zero > (format.code == GroupCode::kInt4 && !format.zeros ? 15 : 0)) return false;
  // Groups in any order have their scales in the row.
  if (format.ordered && format.scale > GroupScale::kBF16) return false;
  const bool table = format.scale == GroupScale::kTable, nested = format.scale == GroupScale::kNested;
  if (table || nested ? format.table_rows < 1 || format.table_rows > kMostGroupLines : format.table_rows != 0) {
    return false;
  }
  if (nested) return format.nested_block > 0 && cols % format.group == 0;
  return format.nested_block == 0;
}

int64_t group_map_at(const GroupFormat& format, int64_t cols) {
  return kFloat * scale_floats(format, group_layout(format, cols).groups);
}

int64_t group_order_at(const GroupFormat& format, int64_t cols) {
  return group_map_at(format, cols) + (format.code == GroupCode::kMap4 ? 16 * kFloat : 0);
}

int64_t group_table_bytes(const GroupFormat& format, int64_t cols) {
  return group_order_at(format, cols) + (format.ordered ? cols * static_cast<int64_t>(sizeof(int32_t)) : 0);
}

GroupScales::GroupScales(const GroupFormat& format, int64_t cols, const std::byte* table)
    : nested_(format.scale == GroupScale::kNested),
      table_(table),
      groups_((cols + format.group - 1) / format.group),
      lines_(format.table_rows),
      nested_block_(format.nested_block) {}

/// A line beyond the table is of no file: damaged memory must not be read past.
float GroupScales::operator()(const std::byte* stored, uint32_t line, int64_t g) const noexcept {
  if (!nested_) return load<float>(table_ + kFloat * (std::min<int64_t>(line, lines_ - 1) * groups_ + g));
  const auto block = static_cast<uint64_t>(line) * static_cast<uint64_t>(groups_) + static_cast<uint64_t>(g);
  const uint32_t many = block > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(block);
  const int64_t nested = std::min<int64_t>(many / static_cast<uint32_t>(nested_block_), lines_ - 1);
  const float product =
      load<float>(table_ + kFloat * load<uint8_t>(stored)) * load<float>(table_ + kFloat * (256 + nested));
  return product + load<float>(table_ + kFloat * (256 + lines_));
}

namespace {

/// The scale of group g from what its row has of it.
float scale_of(const GroupFormat& format, const GroupScales& of_table, const std::byte* table, const std::byte* stored,
               uint32_t line, int64_t g) noexcept {
  switch (format.scale) {
    case GroupScale::kF32:
      return load<float>(stored);
    case GroupScale::kF16:
      return blocks::f16(load<uint16_t>(stored));
    case GroupScale::kBF16:
      return blocks::bf16(load<uint16_t>(stored));
    case GroupScale::kE4M3:
      return blocks::f8_e4m3(load<uint8_t>(stored));
    case GroupScale::kE8M0:
      return blocks::f8_e8m0(load<uint8_t>(stored));
    case GroupScale::kGlobal:
      return blocks::f8_e4m3(load<uint8_t>(stored)) / load<float>(table);
    case GroupScale::kTable:
    case GroupScale::kNested:
      return of_table(stored, line, g);
  }
  return 0;
}

}  // namespace

void group_scales(const GroupFormat& format, int64_t cols, const std::byte* table, const std::byte* row, int64_t first,
                  int64_t count, float* out) noexcept {
  const GroupLayout layout = group_layout(format, cols);
  const uint32_t line = layout.line == 0 ? 0 : load<uint16_t>(row + layout.line_at());
  const GroupScales of_table(format, cols, table);
  for (int64_t g = first; g < first + count; ++g) {
    out[g - first] = scale_of(format, of_table, table, row + layout.scales_at() + g * layout.scale, line, g);
  }
}

void decode_grouped(const GroupFormat& format, int64_t cols, const std::byte* table, const std::byte* row,
                    int64_t begin, int64_t columns, float* out) noexcept {
  const GroupLayout layout = group_layout(format, cols);
  const std::byte* const order = table + group_order_at(format, cols);
  const std::byte* const zeros = row + layout.zeros_at();
  float map[16] = {};
  if (format.code == GroupCode::kE2M1) {
    std::copy_n(kE2M1Numbers, 16, map);
  } else if (format.code == GroupCode::kMap4) {
    for (int64_t c = 0; c < 16; ++c) map[c] = load<float>(table + group_map_at(format, cols) + kFloat * c);
  }
  int64_t held = -1;  // the group that scale and zero are of
  float scale = 0;
  int zero = 0;
  for (int64_t i = begin; i < begin + columns; ++i) {
    const int64_t g = format.ordered ? load<int32_t>(order + 4 * i) : i / format.group;
    if (g != held) {
      held = g;
      group_scales(format, cols, table, row, g, 1, &scale);
      zero = zero_of(format, zeros, g);
    }
    const uint32_t code = code_at(row, has_bytes(format.code), i);
    float value = 0;
    switch (format.code) {
      case GroupCode::kInt4:
        value = blocks::to_float(static_cast<int>(code) - zero);
        break;
      case GroupCode::kInt8:
        value = blocks::to_float(signed_byte(code) - zero);
        break;
      case GroupCode::kE4M3:
        value = blocks::f8_e4m3(static_cast<uint8_t>(code));
        break;
      case GroupCode::kE2M1:
      case GroupCode::kMap4:
        value = map[code];
        break;
    }
    out[i - begin] = value * scale;
  }
}

IntegerForm integer_form(const GroupFormat& format) {
  const bool whole = format.group % kIntegerColumns == 0;
  if (format.ordered) return {};
  switch (format.code) {
    case GroupCode::kInt4:
      return {whole ? 1 : 2, 0};
    case GroupCode::kInt8:
      return format.zeros ? IntegerForm{} : IntegerForm{whole ? 1 : 2, 0};
    case GroupCode::kE2M1:
      return {whole ? 1 : 2, 0};
    default:
      return {};
  }
}

void decode_grouped_integers(const GroupFormat& format, int64_t cols, const std::byte* table, const std::byte* row,
                             int64_t begin, int64_t columns, IntegerBlock* out) noexcept {
  DUET_CHECK(integer_form(format).scales > 0 && begin % kIntegerColumns == 0 && columns % kIntegerColumns == 0);
  const GroupLayout layout = group_layout(format, cols);
  const bool numbers = format.code == GroupCode::kE2M1;
  for (int64_t b = 0; b < columns / kIntegerColumns; ++b, ++out) {
    for (int64_t s = 0; s < 2; ++s) {
      const int64_t first = begin + b * kIntegerColumns + s * kUnit, g = first / format.group;
      float scale = 0;
      group_scales(format, cols, table, row, g, 1, &scale);
      out->scale[s] = numbers ? 0.5F * scale : scale;
      out->minimum[s] = 0;
      const int zero = zero_of(format, row + layout.zeros_at(), g);
      for (int64_t i = 0; i < kUnit; ++i) {
        const uint32_t code = code_at(row, has_bytes(format.code), first + i);
        const int q = numbers ? blocks::kTwiceE2M1[code]
                              : (format.code == GroupCode::kInt8 ? signed_byte(code) : static_cast<int>(code) - zero);
        out->q[s * kUnit + i] = static_cast<int8_t>(q);
      }
    }
  }
}

}  // namespace duet
