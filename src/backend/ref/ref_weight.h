#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/types.h"
#include "tensor/tensor.h"

namespace duet {

/// The rows as the file has them: nothing is rearranged, so this is the plainest reading of a weight.
class RefWeight final : public PackedWeight {
 public:
  struct Empty {};
  RefWeight(const WeightSource& source, Empty)
      : PackedWeight(source),
        row_bytes_(source.row_bytes()),
        data_(static_cast<size_t>(source.rows * row_bytes_ + source.table_bytes())) {}
  explicit RefWeight(const WeightSource& source) : RefWeight(source, Empty{}) {
    constexpr int64_t kStagingBytes = int64_t{4} << 20;
    const int64_t step = std::max<int64_t>(1, kStagingBytes / std::max<int64_t>(1, row_bytes_));
    for (int64_t row = 0; row < source.rows; row += step) {
      const int64_t count = std::min(step, source.rows - row);
      source.read_rows(
          row, count,
          std::span(data_).subspan(static_cast<size_t>(row * row_bytes_), static_cast<size_t>(count * row_bytes_)));
    }
    std::copy(source.table.begin(), source.table.end(), data_.end() - source.table_bytes());
  }
  int64_t bytes() const override { return static_cast<int64_t>(data_.size()); }
  std::span<std::byte> data() { return data_; }
  std::span<const std::byte> data() const { return data_; }
  const std::byte* row(int64_t index) const { return data_.data() + index * row_bytes_; }
  void dequantize_row(int64_t index, float* out) const {
    if (!grouped()) return dequantize(dtype(), row(index), cols(), out);
    decode_grouped(*grouped(), cols(), table(), row(index), 0, cols(), out);
  }
  void integers_of_row(int64_t index, IntegerBlock* out) const {
    if (!grouped()) return decode_integers(dtype(), row(index), cols(), out);
    decode_grouped_integers(*grouped(), cols(), table(), row(index), 0, cols(), out);
  }

 private:
  const std::byte* table() const { return row(rows()); }

  int64_t row_bytes_;
  std::vector<std::byte> data_;
};

/// linear() of a weight in the native arithmetic, exactly as docs/numerics.md defines it: every level gives these bits.
void linear_native(const Tensor& x, const LinearTerm& term);

}  // namespace duet
