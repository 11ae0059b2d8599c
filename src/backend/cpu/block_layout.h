#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"
#include "tensor/grouped.h"

namespace duet {

/// How a weight type lies in a panel of 16 rows. The panel is one block group after the other; a group holds the same
/// block of all 16 rows, field by field of the file's block, each element of a field 16 times in a row (one per weight
/// row). Integers of columns move as words of 4 bytes, so that 4 neighbouring columns of a row stay together:
///   Q4_0: d [16] f16, then bytes 0-3 of qs [16], bytes 4-7 of qs [16], ...
/// A group has exactly the bytes of its 16 blocks. A spread field is a word with a bit for each of 32 columns: bit
/// 4 g + i of the file is bit g of byte i here, beside the byte i of word g that it belongs to.
struct BlockField {
  int64_t element_bytes;
  int64_t elements;
  bool spread = false;
};

/// The fields of a type that has a panel form, in the order of its block; empty for the others.
std::span<const BlockField> block_fields(DType dtype);

/// The parts of a grouped row of so many columns as fields of one block, the whole row.
using GroupFields = std::array<BlockField, 4>;
GroupFields group_fields(const GroupFormat& format, int64_t cols);
void interleave_panel(std::span<const BlockField> fields, int64_t block_bytes, const std::byte* rows, int64_t blocks,
                      std::byte* panel);
void extract_blocks(std::span<const BlockField> fields, const std::byte* groups, int64_t lane, int64_t blocks,
                    std::byte* out);

/// Writes a panel: `rows` are 16 rows of `blocks` blocks in the file's form, one after the other.
void interleave_panel(DType dtype, const std::byte* rows, int64_t blocks, std::byte* panel);

/// Reads back `blocks` consecutive blocks of row `lane` (0 to 15) in the file's form from their groups.
void extract_blocks(DType dtype, const std::byte* groups, int64_t lane, int64_t blocks, std::byte* out);

}  // namespace duet
