#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "base/thread_pool.h"

namespace duet {

/// What a piece of grouped rows needs that the packed form does not have as it is.
struct GroupRoom {
  static constexpr int64_t kColumns = 512;  // of a piece at most
  alignas(64) float scales[kColumns / 16 * kPanelRows];
  float map[16];
};

/// A weight matrix as panels of 16 rows (block_layout.h) in the file's own block type: exactly the bytes of the source.
/// A panel of grouped rows has the parts of a row one behind the other, 16 elements side by side; the table is behind
/// all rows.
/// Rows beyond the last whole panel, and all rows of a type without kernels at this level, stay as the file has them.
class CpuPackedWeight final : public PackedWeight {
 public:
  CpuPackedWeight(Buffer data, const WeightSource& source, bool has_panels);
  int64_t bytes() const override { return data_.bytes(); }

  int64_t row_bytes() const { return row_bytes_; }
  /// Whole panels; rows from panels() * 16 on are plain.
  int64_t panels() const { return panels_; }
  int64_t panel_bytes() const { return kPanelRows * row_bytes_; }
  std::byte* data() { return data_.data(); }
  const std::byte* data() const { return data_.data(); }
  const std::byte* panel(int64_t p) const { return data_.data() + p * panel_bytes(); }
  const std::byte* plain_row(int64_t row) const { return data_.data() + row * row_bytes_; }
  /// Columns [begin, begin + columns), at most GroupRoom::kColumns, of panel p of grouped rows.
  GroupPiece piece(int64_t p, int64_t begin, int64_t columns, GroupRoom& room) const noexcept;
  const std::byte* table() const { return data_.data() + rows() * row_bytes_; }
  std::byte* table() { return data_.data() + rows() * row_bytes_; }

  int64_t block_size() const { return block_size_; }
  /// Bytes of the groups (or plain blocks of one row) in front of `column`, the beginning of a block.
  int64_t group_offset(int64_t column) const { return kPanelRows * block_offset(column); }
  int64_t block_offset(int64_t column) const { return column / block_size_ * block_bytes_; }

  /// Decodes one row.   out [cols]
  void decode_row(int64_t row, float* out) const noexcept;
  /// Decodes columns [begin, begin + columns) of up to 16 plain rows to out [columns, 16]; lanes without a row are 0.
  void decode_plain(int64_t first_row, int64_t begin, int64_t columns, float* out) const noexcept;
  /// The same as an expanded panel part of the native arithmetic (kernels.h), signed; at most kNativeColumns columns.
  void expand_plain(int64_t first_row, int64_t begin, int64_t columns, std::byte* out) const noexcept;

 private:
  void decode_plain_row(int64_t row, int64_t begin, int64_t columns, float* out) const noexcept;

  Buffer data_;
  int64_t row_bytes_ = 0, panels_ = 0, block_size_ = 1, block_bytes_ = 0;
};

/// Names what the bytes of a packed weight depend on beside the source: the order in a panel, and which types have
/// panels.
std::string cpu_packed_layout(const CpuKernels& kernels);

/// A weight whose bytes are still zeros; source.read_rows is not used. Throws out_of_memory, bad_dtype (a type that is
/// no weight), bad_shape, size_overflow.
std::unique_ptr<CpuPackedWeight> empty_cpu_weight(const WeightSource& source, const CpuKernels& kernels,
                                                  Device& device);

/// The weight with this packed form, read in parallel. Throws what `read` and empty_cpu_weight() throw.
std::unique_ptr<CpuPackedWeight> restore_cpu_weight(const WeightSource& source, const PackedReader& read,
                                                    const CpuKernels& kernels, ThreadPool& pool, Device& device);

/// Reads `source` in bounded pieces, in parallel, and packs it into memory of `device`.
/// Throws what source.read_rows and empty_cpu_weight() throw.
std::unique_ptr<CpuPackedWeight> pack_cpu_weight(const WeightSource& source, const CpuKernels& kernels,
                                                 ThreadPool& pool, Device& device);

}  // namespace duet
