#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/integer_blocks.h"

namespace duet {

// Rows of quantised matrices as Hugging Face checkpoints have them: codes of one width, and for each group of
// neighbouring columns (or each group that a table names) a scale, perhaps a zero. A group is any multiple of 16
// columns, so no block type could hold them; a row keeps its codes and its scales in planes of its own, and what rows
// share stands once in a table of the matrix. Formulas: golden/weight_formats/README.md.

/// What a code c stands for; z is the zero of its group.
enum class GroupCode : uint8_t {
  kInt4,  // c - z, both 0 to 15
  kInt8,  // c - z, both signed bytes
  kE4M3,  // the number c; no NaN
  kE2M1,  // the number c
  kMap4,  // the table's number c
};

/// Where the scale of a group comes from.
enum class GroupScale : uint8_t {
  kF32,  // the row, as all up to kE8M0: a number of that type for each group
  kF16,
  kBF16,
  kE4M3,
  kE8M0,
  kGlobal,  // the row, E4M3; divided by the table's number
  kTable,   // the table [table_rows, groups]; the row has its line, where there are several
  kNested,  // the row, a byte a: fl(map[a] nested[b / nested_block]) + offset, b the block in the whole matrix
};

/// The form of a row; a few integers that say all about its bytes but the number of columns.
/// Weight = fl(scale value(code)), evaluated in float32.
struct GroupFormat {
  GroupCode code = GroupCode::kInt4;
  GroupScale scale = GroupScale::kF32;
  bool zeros = false;        // kInt4, kInt8: the row has a byte for each group; else all are `zero`
  bool ordered = false;      // the table names the group of each column; else column i is of group i / group
  uint8_t zero = 0;          // kInt4
  int32_t group = 0;         // columns
  int32_t table_rows = 0;    // kTable; kNested: how many nested scales there are
  int32_t nested_block = 0;  // kNested: blocks that share a nested scale
  bool operator==(const GroupFormat&) const = default;
};

/// Where the parts of a row stand, in bytes: codes, scales, zeros, the line of the table (uint16), one behind the
/// other. 4-bit codes: byte i of each four holds column 8 w + i low and 8 w + 4 + i high.
struct GroupLayout {
  int64_t groups = 0;
  int64_t codes = 0, scale = 0, scales = 0, zeros = 0, line = 0;  // bytes: all codes, one scale, all scales, ...
  int64_t scales_at() const { return codes; }
  int64_t zeros_at() const { return codes + scales; }
  int64_t line_at() const { return codes + scales + zeros; }
  int64_t row_bytes() const { return codes + scales + zeros + line; }
};
GroupLayout group_layout(const GroupFormat& format, int64_t cols);

/// The most lines of a table that rows can name, and the most rows of a kNested matrix of several nested scales.
inline constexpr int64_t kMostGroupLines = 65536;

/// Whether rows of `cols` can have this form: whole words, groups of whole 16 columns, sizes that are counted.
bool is_group_format(const GroupFormat& format, int64_t cols);

/// The table: float32 numbers (of the scales: [table_rows, groups], the global one, or map [256], nested [table_rows],
/// offset; then those of kMap4 [16]), then the group of each column as int32. Any alignment.
int64_t group_table_bytes(const GroupFormat& format, int64_t cols);
/// Places in the table, in bytes.
int64_t group_map_at(const GroupFormat& format, int64_t cols);
int64_t group_order_at(const GroupFormat& format, int64_t cols);

/// Scales of groups [first, first + count) of a row.   row : its bytes, any alignment
void group_scales(const GroupFormat& format, int64_t cols, const std::byte* table, const std::byte* row, int64_t first,
                  int64_t count, float* out) noexcept;
/// Single scales of kTable and kNested, which read the table.
class GroupScales {
 public:
  GroupScales(const GroupFormat& format, int64_t cols, const std::byte* table);
  /// Of group g of a row, from its byte for it (kNested) and its line.
  float operator()(const std::byte* stored, uint32_t line, int64_t g) const noexcept;

 private:
  bool nested_;
  const std::byte* table_;
  int64_t groups_, lines_, nested_block_;
};

/// The numbers of E2M1 codes; 8 is -0.
inline constexpr float kE2M1Numbers[16] = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                           -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

/// Columns [begin, begin + columns) of a row; both multiples of 16. Reference for every packed form.
void decode_grouped(const GroupFormat& format, int64_t cols, const std::byte* table, const std::byte* row,
                    int64_t begin, int64_t columns, float* out) noexcept;

/// The integer form (integer_blocks.h): of integers in groups of whole 32 columns one scale, of E2M1 in groups of 16
/// two, each half of the group's, as the integers are twice the numbers. None of all else.
IntegerForm integer_form(const GroupFormat& format);
/// The same columns, multiples of 32, of a format that has an integer form.   out : [columns / 32]
void decode_grouped_integers(const GroupFormat& format, int64_t cols, const std::byte* table, const std::byte* row,
                             int64_t begin, int64_t columns, IntegerBlock* out) noexcept;

}  // namespace duet
