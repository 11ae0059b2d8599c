#include "model/weights.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace duet {

WeightLoader::WeightLoader(Backend& backend, Device& device, const Checkpoint& checkpoint,
                           const ModelDescription& model, Activations activations,
                           std::function<void(int64_t, int64_t)> progress)
    : backend_(backend),
      device_(device),
      checkpoint_(checkpoint),
      model_(model),
      activations_(activations),
      progress_(std::move(progress)) {
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

/// Rows that alternate with others in the file: the run that they stand in is read whole.
void WeightLoader::read_paired_rows(const TensorPlan& plan, int64_t begin, int64_t count,
                                    std::span<std::byte> out) const {
  const int64_t stride = row_bytes(dtype_info(plan.entry->dtype), plan.shape[1]), run = plan.rows.run;
  std::vector<std::byte> held(static_cast<size_t>(run * stride));
  for (int64_t row = begin, loaded = -1; row < begin + count; ++row) {
    const int64_t first = plan.rows.first + row / run * plan.rows.stride;
    if (first != loaded) {
      loaded = first;
      checkpoint_.read(*plan.entry, static_cast<uint64_t>(first * stride), held);
    }
    std::copy_n(held.begin() + (plan.rows.stored(row) - first) * stride, stride, out.begin() + (row - begin) * stride);
  }
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

void WeightLoader::read_rows(const TensorPlan& plan, int64_t begin, int64_t count, std::span<std::byte> out) const {
  if (plan.transposed_from) return read_transposed_rows(plan, begin, count, out);
  if (plan.rows.pairs) return read_paired_rows(plan, begin, count, out);
  if (plan.parts.empty()) return read_mapped_rows(plan, plan.rows, begin, count, out);
  const int64_t stride = row_bytes(dtype_info(plan.entry->dtype), plan.shape[1]);
  int64_t before = 0;
  for (const RowMap& part : plan.parts) {
    const int64_t first = std::max(begin, before), last = std::min(begin + count, before + part.count);
    if (first < last) {
      read_mapped_rows(
          plan, part, first - before, last - first,
          out.subspan(static_cast<size_t>((first - begin) * stride), static_cast<size_t>((last - first) * stride)));
    }
    before += part.count;
  }
}

void WeightLoader::read_mapped_rows(const TensorPlan& plan, const RowMap& rows, int64_t begin, int64_t count,
                                    std::span<std::byte> out) const {
  const int64_t stride = row_bytes(dtype_info(plan.entry->dtype), plan.shape[1]), run = rows.run;
  for (int64_t row = begin; row < begin + count;) {
    const int64_t together = run == 0 ? begin + count - row : std::min(run - row % run, begin + count - row);
    checkpoint_.read(*plan.entry, static_cast<uint64_t>(rows.stored(row) * stride),
                     out.subspan(static_cast<size_t>((row - begin) * stride), static_cast<size_t>(together * stride)));
    row += together;
  }
}

Linear WeightLoader::linear(const std::string& prefix) {
  const TensorPlan& matrix = plan(prefix + ".weight");
  WeightSource source{matrix.canonical, matrix.entry->dtype, matrix.shape[0], matrix.shape[1], {}, activations_};
  source.read_rows = [this, &matrix](int64_t begin, int64_t count, std::span<std::byte> out) {
    read_rows(matrix, begin, count, out);
  };
  Linear layer;
  layer.weight = ops::pack_weight(backend_, source);
  packed_bytes_ += layer.weight->bytes();
  report(matrix.bytes());
  if (has(prefix + ".bias")) layer.bias = vector(prefix + ".bias");
  return layer;
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
