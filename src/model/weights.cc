#include "model/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "model/quantized_rows.h"

namespace duet {
namespace {

/// Rows that alternate with others in the file: the run that they stand in is read whole.
template <typename Rows>
void read_paired_rows(const Rows& stored, const RowMap& map, int64_t begin, int64_t count, std::span<std::byte> out) {
  const int64_t stride = stored.row_bytes;
  std::vector<std::byte> held(static_cast<size_t>(map.run * stride));
  for (int64_t row = begin, loaded = -1; row < begin + count; ++row) {
    const int64_t first = map.first + row / map.run * map.stride;
    if (first != loaded) {
      loaded = first;
      stored.read(first, map.run, held);
    }
    std::copy_n(held.begin() + (map.stored(row) - first) * stride, stride, out.begin() + (row - begin) * stride);
  }
}

template <typename Rows>
void read_mapped_rows(const Rows& stored, const RowMap& map, int64_t begin, int64_t count, std::span<std::byte> out) {
  const int64_t stride = stored.row_bytes, run = map.run;
  for (int64_t row = begin; row < begin + count;) {
    const int64_t together = run == 0 ? begin + count - row : std::min(run - row % run, begin + count - row);
    stored.read(map.stored(row), together,
                out.subspan(static_cast<size_t>((row - begin) * stride), static_cast<size_t>(together * stride)));
    row += together;
  }
}

}  // namespace

WeightLoader::WeightLoader(Backend& backend, Device& device, const Checkpoint& checkpoint,
                           const ModelDescription& model, Activations activations,
                           std::function<void(int64_t, int64_t)> progress, PackedCache& cache)
    : backend_(backend),
      device_(device),
      checkpoint_(checkpoint),
      model_(model),
      activations_(activations),
      progress_(std::move(progress)),
      cache_(cache) {
  for (const TensorPlan& tensor : model.tensors) total_bytes_ += tensor.bytes();
}

const TensorPlan& WeightLoader::plan(const std::string& canonical) const {
  const TensorPlan* found = model_.find(canonical);
  DUET_CHECK(found != nullptr);  // describe_model() has judged what must be there
  return *found;
}

void WeightLoader::report(int64_t bytes) {
  done_bytes_ += bytes;
  if (progress_) progress_(done_bytes_, total_bytes_);
}

void WeightLoader::report_part(const TensorPlan& matrix, int64_t done, int64_t all) {
  if (!progress_ || std::this_thread::get_id() != thread_) return;
  const double part = static_cast<double>(done) / static_cast<double>(all);
  progress_(done_bytes_ + static_cast<int64_t>(part * static_cast<double>(matrix.bytes())), total_bytes_);
}

WeightLoader::StoredRows WeightLoader::stored_rows(const TensorPlan& plan, bool use_float) const {
  const TensorEntry& entry = *plan.entry;
  if (plan.quantized == nullptr) {
    const int64_t stride = row_bytes(dtype_info(entry.dtype), plan.shape[1]);
    return {entry.dtype, stride, [this, &entry, stride](int64_t first, int64_t, std::span<std::byte> out) {
              checkpoint_.read(entry, static_cast<uint64_t>(first * stride), out);
            }};
  }
  const auto rows = std::make_shared<QuantizedRows>(checkpoint_, *plan.quantized);
  if (use_float) rows->use_float();
  return {rows->dtype(), row_bytes(dtype_info(rows->dtype()), plan.shape[1]),
          [rows](int64_t first, int64_t count, std::span<std::byte> out) { rows->read(first, count, out); }};
}

/// Each stored row holds one column of the wanted rows; a type of one value a block.
void WeightLoader::read_transposed_rows(const TensorPlan& plan, int64_t begin, int64_t count,
                                        std::span<std::byte> out) const {
  const Shape& stored = plan.entry->shape;
  const int64_t width = stored[stored.rank() - 1], columns = plan.shape[1];
  const int64_t value = row_bytes(dtype_info(plan.entry->dtype), 1);
  std::vector<std::byte> held(static_cast<size_t>(count * value));
  for (int64_t column = 0; column < columns; ++column) {
    const int64_t at = (*plan.transposed_from + column) * width + plan.rows.stored(begin);
    checkpoint_.read(*plan.entry, static_cast<uint64_t>(at * value), held);
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(held.begin() + i * value, value, out.begin() + (i * columns + column) * value);
    }
  }
}

void WeightLoader::read_rows(const StoredRows& stored, const TensorPlan& plan, int64_t begin, int64_t count,
                             std::span<std::byte> out) const {
  if (plan.transposed_from) return read_transposed_rows(plan, begin, count, out);
  if (plan.rows.pairs) return read_paired_rows(stored, plan.rows, begin, count, out);
  if (plan.parts.empty()) return read_mapped_rows(stored, plan.rows, begin, count, out);
  const int64_t stride = stored.row_bytes;
  int64_t before = 0;
  for (const RowMap& part : plan.parts) {
    const int64_t first = std::max(begin, before), last = std::min(begin + count, before + part.count);
    if (first < last) {
      read_mapped_rows(
          stored, part, first - before, last - first,
          out.subspan(static_cast<size_t>((first - begin) * stride), static_cast<size_t>((last - first) * stride)));
    }
    before += part.count;
  }
}

std::shared_ptr<const PackedWeight> WeightLoader::restore(const TensorPlan& matrix) {
  const PackedCacheFile& file = *cache_.serving();
  const PackedEntry* const entry = file.find(matrix.canonical);
  const bool fits = entry != nullptr && entry->rows == matrix.shape[0] && entry->cols == matrix.shape[1] &&
                    (matrix.quantized != nullptr || entry->dtype == matrix.entry->dtype);
  if (!fits) {
    throw PackedCacheError(ErrorCode::kHashMismatch,
                           fmt::format("{}: '{}' is not there as the model has it", file.name(), matrix.canonical));
  }
  std::atomic<int64_t> done = 0;
  const WeightSource form{matrix.canonical, entry->dtype, entry->rows, entry->cols, {}, activations_};
  return ops::restore_weight(backend_, form, [&](int64_t begin, std::span<std::byte> out) {
    file.read(*entry, begin, out);
    report_part(matrix, done += static_cast<int64_t>(out.size()), entry->bytes);
  });
}

std::shared_ptr<const PackedWeight> WeightLoader::pack(const TensorPlan& matrix, bool use_float) {
  std::shared_ptr<const PackedWeight> packed;
  if (cache_.serving()) {
    packed = restore(matrix);
  } else {
    const StoredRows stored = stored_rows(matrix, use_float);
    WeightSource source{matrix.canonical, stored.dtype, matrix.shape[0], matrix.shape[1], {}, activations_};
    std::atomic<int64_t> done = 0;
    source.read_rows = [&](int64_t begin, int64_t count, std::span<std::byte> out) {
      read_rows(stored, matrix, begin, count, out);
      report_part(matrix, done += count, source.rows);
    };
    packed = ops::pack_weight(backend_, source);
    cache_.keep(matrix.canonical, backend_, *packed);
  }
  packed_bytes_ += packed->bytes();
  report(matrix.bytes());
  return packed;
}

Linear WeightLoader::linear(const std::string& prefix) {
  Linear layer;
  layer.weight = pack(plan(prefix + ".weight"), /*use_float=*/false);
  if (has(prefix + ".bias")) layer.bias = vector(prefix + ".bias");
  return layer;
}

std::vector<std::shared_ptr<const PackedWeight>> WeightLoader::alike(const std::vector<std::string>& prefixes) {
  std::optional<DType> first;
  bool differ = false;
  for (const std::string& prefix : prefixes) {
    if (cache_.serving()) break;  // which has what came of this
    const TensorPlan& matrix = plan(prefix + ".weight");
    if (matrix.quantized == nullptr) continue;  // their types are the file's own
    const DType dtype = QuantizedRows(checkpoint_, *matrix.quantized).dtype();
    differ = differ || dtype != first.value_or(dtype);
    first = first.value_or(dtype);
  }
  std::vector<std::shared_ptr<const PackedWeight>> packed;
  packed.reserve(prefixes.size());
  for (const std::string& prefix : prefixes) {
    packed.push_back(pack(plan(prefix + ".weight"), differ));
    if (packed.back()->dtype() == packed.front()->dtype() || !cache_.serving()) continue;
    throw PackedCacheError(ErrorCode::kHashMismatch,
                           fmt::format("{}: '{}' has another type than its like", cache_.serving()->name(), prefix));
  }
  return packed;
}

Tensor WeightLoader::to_device(const std::vector<float>& values) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
  buffers_.push_back(device_.allocate(bytes));
  device_.copy_to_device(buffers_.back().data(), values.data(), bytes);
  packed_bytes_ += bytes;
  return {buffers_.back().data(), DType::kF32, Shape{static_cast<int64_t>(values.size())}};
}

Tensor WeightLoader::vector(const std::string& canonical) {
  const TensorPlan& wanted = plan(canonical);
  const int64_t stored_count = wanted.entry->shape.elements();
  std::vector<std::byte> raw(wanted.entry->bytes);
  checkpoint_.read(*wanted.entry, 0, raw);
  std::vector<float> stored(static_cast<size_t>(stored_count)), values(static_cast<size_t>(wanted.shape.elements()));
  dequantize(wanted.entry->dtype, raw.data(), stored_count, stored.data());
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = stored[static_cast<size_t>(wanted.rows.stored(static_cast<int64_t>(i)))];
    switch (wanted.fold) {
      case Fold::kNone:
        values[i] = static_cast<float>(value);
        break;
      case Fold::kOnePlus:
        values[i] = static_cast<float>(1 + value);
        break;
      case Fold::kMinusExp:
        values[i] = static_cast<float>(-std::exp(value));
        break;
    }
  }
  report(wanted.bytes());
  Tensor result = to_device(values);
  return result.reshaped(wanted.shape);
}

Tensor WeightLoader::ones(int64_t n) { return to_device(std::vector<float>(static_cast<size_t>(n), 1.0f)); }

}  // namespace duet
