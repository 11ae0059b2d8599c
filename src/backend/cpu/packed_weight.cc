#include "backend/cpu/packed_weight.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <vector>

#include "backend/cpu/block_layout.h"
#include "base/error.h"

namespace duet {
namespace {

/// What one worker reads at a time, at least one panel.
constexpr int64_t kStagingBytes = int64_t{1} << 20;

bool has_kernels(const CpuKernels& kernels, const WeightSource& source) {
  if (source.grouped) return kernels.grouped[static_cast<size_t>(source.grouped->code)].unpack != nullptr;
  const auto index = static_cast<size_t>(source.dtype);
  return index < CpuKernels::kTypes && kernels.types[index].unpack != nullptr;
}

/// Runs body(begin, end, worker) as ThreadPool::parallel_for does and throws the first thing that it threw, after all
/// have ended; what comes later is not begun.
void parallel_for_throwing(ThreadPool& pool, int64_t count, int64_t grain,
                           const std::function<void(int64_t begin, int64_t end, int worker)>& body) {
  std::mutex mutex;
  std::exception_ptr error;
  std::atomic<bool> failed = false;
  const auto guarded = [&](int64_t begin, int64_t end, int worker) {
    if (failed) return;
    try {
      body(begin, end, worker);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      failed = true;
    }
  };
  pool.parallel_for(count, grain, std::ref(guarded));
  if (error) std::rethrow_exception(error);
}

}  // namespace

CpuPackedWeight::CpuPackedWeight(Buffer data, const WeightSource& source, bool has_panels)
    : PackedWeight(source), data_(std::move(data)) {
  row_bytes_ = source.row_bytes();
  panels_ = has_panels ? source.rows / kPanelRows : 0;
  if (source.grouped) return;
  const DTypeInfo& info = dtype_info(source.dtype);
  block_size_ = info.block_size;
  block_bytes_ = info.block_bytes;
}

GroupPiece CpuPackedWeight::piece(int64_t p, int64_t begin, int64_t columns, GroupRoom& room) const noexcept {
  const GroupFormat& format = *grouped();
  const GroupLayout layout = group_layout(format, cols());
  const std::byte* const planes = panel(p);
  const int64_t first = begin / format.group, count = (begin + columns - 1) / format.group + 1 - first;
  GroupPiece piece;
  piece.codes = planes + kPanelRows * (layout.codes * begin / cols());
  piece.group = format.group, piece.first = begin % format.group, piece.columns = columns;
  piece.zero = format.zero;
  // What lies side by side is read from where it is: with groups in any order all of it.
  const int64_t from = format.ordered ? 0 : first;
  if (format.ordered) piece.order = table() + group_order_at(format, cols()) + 4 * begin;
  if (format.zeros) piece.zeros = planes + kPanelRows * (layout.zeros_at() + from);
  const std::byte* const stored = planes + kPanelRows * (layout.scales_at() + from * layout.scale);
  switch (format.scale) {
    case GroupScale::kF32:
    case GroupScale::kF16:
    case GroupScale::kBF16:
      piece.scales = stored;
      piece.scale_type = format.scale == GroupScale::kF32   ? DType::kF32
                         : format.scale == GroupScale::kF16 ? DType::kF16
                                                            : DType::kBF16;
      break;
    case GroupScale::kE4M3:
    case GroupScale::kGlobal:
      piece.scales = stored;
      piece.scale_type = DType::kF8E4M3;
      if (format.scale == GroupScale::kGlobal) std::memcpy(&piece.divisor, table(), sizeof piece.divisor);
      break;
    case GroupScale::kE8M0:
      dequantize(DType::kF8E8M0, stored, count * kPanelRows, room.scales);
      piece.scales = reinterpret_cast<const std::byte*>(room.scales);
      break;
    case GroupScale::kTable:
    case GroupScale::kNested: {
      uint16_t lines[kPanelRows] = {};
      if (layout.line > 0) std::memcpy(lines, planes + kPanelRows * layout.line_at(), sizeof lines);
      const GroupScales scales(format, cols(), table());
      for (int64_t g = 0; g < count; ++g) {
        for (int64_t lane = 0; lane < kPanelRows; ++lane) {
          room.scales[g * kPanelRows + lane] = scales(stored + g * kPanelRows + lane, lines[lane], first + g);
        }
      }
      piece.scales = reinterpret_cast<const std::byte*>(room.scales);
      break;
    }
  }
  if (format.code == GroupCode::kE2M1) piece.map = kE2M1Numbers;
  if (format.code == GroupCode::kMap4) {
    std::memcpy(room.map, table() + group_map_at(format, cols()), sizeof room.map);
    piece.map = room.map;
  }
  return piece;
}

void CpuPackedWeight::decode_row(int64_t row, float* out) const noexcept {
  if (grouped()) {
    const std::byte* from = plain_row(row);
    std::vector<std::byte> parts;
    if (row < panels_ * kPanelRows) {
      parts.resize(static_cast<size_t>(row_bytes_));
      extract_blocks(group_fields(*grouped(), cols()), panel(row / kPanelRows), row % kPanelRows, 1, parts.data());
      from = parts.data();
    }
    decode_grouped(*grouped(), cols(), table(), from, 0, cols(), out);
    return;
  }
  if (row >= panels_ * kPanelRows) {
    dequantize(dtype(), plain_row(row), cols(), out);
    return;
  }
  std::byte blocks[1024];
  const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(sizeof blocks) / block_bytes_) * block_size_;
  const std::byte* const groups = panel(row / kPanelRows);
  for (int64_t column = 0; column < cols(); column += step) {
    const int64_t columns = std::min(step, cols() - column);
    extract_blocks(dtype(), groups + group_offset(column), row % kPanelRows, columns / block_size_, blocks);
    dequantize(dtype(), blocks, columns, out + column);
  }
}

void CpuPackedWeight::decode_plain_row(int64_t row, int64_t begin, int64_t columns, float* out) const noexcept {
  if (!grouped()) return dequantize(dtype(), plain_row(row) + block_offset(begin), columns, out);
  decode_grouped(*grouped(), cols(), table(), plain_row(row), begin, columns, out);
}

void CpuPackedWeight::decode_plain(int64_t first_row, int64_t begin, int64_t columns, float* out) const noexcept {
  float values[kUnpackColumns];
  const int64_t lanes = std::min(kPanelRows, rows() - first_row);
  for (int64_t lane = 0; lane < kPanelRows; ++lane) {
    if (lane < lanes) {
      decode_plain_row(first_row + lane, begin, columns, values);
    } else {
      std::fill(values, values + columns, 0.0f);
    }
    for (int64_t i = 0; i < columns; ++i) out[i * kPanelRows + lane] = values[i];
  }
}

void CpuPackedWeight::expand_plain(int64_t first_row, int64_t begin, int64_t columns, std::byte* out) const noexcept {
  const IntegerForm form = integer_form();
  const int64_t stride = native_expanded_bytes(form.scales, form.minimums), blocks = columns / kIntegerColumns;
  std::memset(out, 0, static_cast<size_t>(blocks * stride));
  IntegerBlock values[kNativeColumns / kIntegerColumns];
  for (int64_t lane = 0; lane < std::min(kPanelRows, rows() - first_row); ++lane) {
    const std::byte* const row = plain_row(first_row + lane);
    if (grouped()) {
      decode_grouped_integers(*grouped(), cols(), table(), row, begin, columns, values);
    } else {
      decode_integers(dtype(), row + block_offset(begin), columns, values);
    }
    for (int64_t b = 0; b < blocks; ++b) {
      std::byte* const part = out + b * stride;
      for (int64_t g = 0; g < 8; ++g) std::memcpy(part + (g * kPanelRows + lane) * 4, values[b].q + 4 * g, 4);
      auto* const numbers = reinterpret_cast<float*>(part + kPanelRows * kIntegerColumns) + lane;
      for (int64_t s = 0; s < form.scales; ++s) numbers[kPanelRows * s] = values[b].scale[s];
      for (int64_t m = 0; m < form.minimums; ++m) numbers[kPanelRows * (form.scales + m)] = values[b].minimum[m];
    }
  }
}

std::string cpu_packed_layout(const CpuKernels& kernels) {
  uint64_t types = 0;
  static_assert(CpuKernels::kTypes <= 64);
  for (int type = 0; type < CpuKernels::kTypes; ++type) {
    if (kernels.types[type].unpack != nullptr) types |= uint64_t{1} << type;
  }
  return fmt::format("cpu panels of {} rows, version 2, types {:x}", kPanelRows, types);
}

std::unique_ptr<CpuPackedWeight> empty_cpu_weight(const WeightSource& source, const CpuKernels& kernels,
                                                  Device& device) {
  if (source.grouped) {
    if (source.rows < 0 || !is_group_format(*source.grouped, source.cols)) {
      fail(ErrorCode::kBadShape, "{}: [{},{}] is not whole groups", source.name, source.rows, source.cols);
    }
  } else {
    if (!can_dequantize(source.dtype)) {
      fail(ErrorCode::kBadDtype, "{}: {} is no weight type", source.name, dtype_info(source.dtype).name);
    }
    const DTypeInfo& info = dtype_info(source.dtype);
    if (source.rows < 0 || source.cols < 0 || source.cols % info.block_size != 0) {
      fail(ErrorCode::kBadShape, "{}: [{},{}] is not whole blocks of {} ({})", source.name, source.rows, source.cols,
           info.block_size, info.name);
    }
  }
  const int64_t row_bytes = source.row_bytes(), table_bytes = source.table_bytes();
  if (row_bytes > 0 && source.rows > (std::numeric_limits<int64_t>::max() - table_bytes) / row_bytes) {
    fail(ErrorCode::kSizeOverflow, "{}: [{},{}] has more bytes than 63 bits count", source.name, source.rows,
         source.cols);
  }
  return std::make_unique<CpuPackedWeight>(device.allocate(source.rows * row_bytes + table_bytes), source,
                                           has_kernels(kernels, source));
}

std::unique_ptr<CpuPackedWeight> restore_cpu_weight(const WeightSource& source, const PackedReader& read,
                                                    const CpuKernels& kernels, ThreadPool& pool, Device& device) {
  auto weight = empty_cpu_weight(source, kernels, device);
  const int64_t bytes = weight->bytes();
  constexpr int64_t kPieces = 4;  // of one request
  parallel_for_throwing(pool, (bytes + kPackedPieceBytes - 1) / kPackedPieceBytes, kPieces,
                        [&](int64_t begin, int64_t end, int) {
                          const int64_t at = begin * kPackedPieceBytes;
                          const int64_t count = std::min(end * kPackedPieceBytes, bytes) - at;
                          read(at, {weight->data() + at, static_cast<size_t>(count)});
                        });
  return weight;
}

std::unique_ptr<CpuPackedWeight> pack_cpu_weight(const WeightSource& source, const CpuKernels& kernels,
                                                 ThreadPool& pool, Device& device) {
  auto weight = empty_cpu_weight(source, kernels, device);
  if (weight->bytes() == 0) return weight;
  std::copy(source.table.begin(), source.table.end(), weight->table());
  const int64_t row_bytes = weight->row_bytes(), panel_bytes = weight->panel_bytes(), panels = weight->panels();
  const int64_t step = std::max<int64_t>(1, kStagingBytes / panel_bytes);  // panels
  std::vector<std::vector<std::byte>> staging(static_cast<size_t>(pool.threads()));
  const auto pack_panels = [&](int64_t begin, int64_t end, int worker) {
    std::byte* const out = weight->data() + begin * panel_bytes;
    const int64_t whole = std::clamp<int64_t>(panels - begin, 0, end - begin);
    const int64_t rows = std::min(end * kPanelRows, source.rows) - begin * kPanelRows;
    if (whole > 0) {
      std::vector<std::byte>& in = staging[static_cast<size_t>(worker)];
      in.resize(static_cast<size_t>(whole * panel_bytes));
      source.read_rows(begin * kPanelRows, whole * kPanelRows, in);
      for (int64_t p = 0; p < whole; ++p) {
        const std::byte* const from = in.data() + p * panel_bytes;
        if (source.grouped) {
          interleave_panel(group_fields(*source.grouped, source.cols), row_bytes, from, 1, out + p * panel_bytes);
        } else {
          interleave_panel(source.dtype, from, source.cols / weight->block_size(), out + p * panel_bytes);
        }
      }
    }
    const int64_t plain = rows - whole * kPanelRows;
    if (plain > 0) {
      source.read_rows(begin * kPanelRows + whole * kPanelRows, plain,
                       {out + whole * panel_bytes, static_cast<size_t>(plain * row_bytes)});
    }
  };
  try {
    parallel_for_throwing(pool, (source.rows + kPanelRows - 1) / kPanelRows, step, pack_panels);
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kOutOfMemory, "{}: cannot get {} bytes to read it", source.name, step * panel_bytes);
  }
  return weight;
}

}  // namespace duet
