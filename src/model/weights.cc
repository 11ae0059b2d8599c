#include "model/weights.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace duet {

int64_t stored_row(RowMove move, int64_t heads, int64_t total_rows, int64_t row) {
  if (move == RowMove::kNone) return row;
  const int64_t head_rows = total_rows / heads, half = head_rows / 2;
  const int64_t head = row / head_rows, within = row % head_rows;
  return head * head_rows + 2 * (within % half) + within / half;
}

WeightLoader::WeightLoader(Backend& backend, Device& device, const Checkpoint& checkpoint,
                           const ModelDescription& model, Activations activations,
                           std::function<void(int64_t, int64_t)> progress)
    : backend_(backend),
      device_(device),
      checkpoint_(checkpoint),
      model_(model),
      activations_(activations),
      progress_(std::move(progress)) {
  for (const TensorPlan& tensor : model.tensors) total_bytes_ += static_cast<int64_t>(tensor.entry->bytes);
}

const TensorPlan& WeightLoader::plan(const std::string& canonical) const {
  const TensorPlan* found = model_.find(canonical);
  DUET_CHECK(found != nullptr);  // describe_model() has judged what must be there
  return *found;
}

void WeightLoader::report(uint64_t bytes) {
  done_bytes_ += static_cast<int64_t>(bytes);
  if (progress_) progress_(done_bytes_, total_bytes_);
}

Linear WeightLoader::linear(const std::string& prefix) {
  const TensorPlan& matrix = plan(prefix + ".weight");
  const TensorEntry& entry = *matrix.entry;
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  const auto stride = static_cast<uint64_t>(row_bytes(dtype_info(entry.dtype), cols));
  WeightSource source{matrix.canonical, entry.dtype, rows, cols, {}, activations_};
  source.read_rows = [&](int64_t begin, int64_t count, std::span<std::byte> out) {
    // Runs of rows that stand together in the file are read at once; a moved head's rows alternate, so it is read
    // whole.
    if (matrix.move == RowMove::kNone) {
      checkpoint_.read(entry, static_cast<uint64_t>(begin) * stride, out);
      return;
    }
    const int64_t head_rows = rows / matrix.heads;
    std::vector<std::byte> head(static_cast<size_t>(head_rows) * stride);
    for (int64_t row = begin, loaded = -1; row < begin + count; ++row) {
      const int64_t stored = stored_row(matrix.move, matrix.heads, rows, row);
      if (stored / head_rows != loaded) {
        loaded = stored / head_rows;
        checkpoint_.read(entry, static_cast<uint64_t>(loaded * head_rows) * stride, head);
      }
      std::copy_n(head.begin() + static_cast<int64_t>(static_cast<uint64_t>(stored % head_rows) * stride), stride,
                  out.begin() + static_cast<int64_t>(static_cast<uint64_t>(row - begin) * stride));
    }
  };
  Linear layer;
  layer.weight = ops::pack_weight(backend_, source);
  packed_bytes_ += layer.weight->bytes();
  report(entry.bytes);
  if (has(prefix + ".bias")) layer.bias = vector(prefix + ".bias");
  return layer;
}

Tensor WeightLoader::vector(const std::string& canonical) {
  const TensorPlan& plan_of = plan(canonical);
  const int64_t n = plan_of.shape.elements();
  std::vector<std::byte> raw(plan_of.entry->bytes);
  checkpoint_.read(*plan_of.entry, 0, raw);
  std::vector<float> stored(static_cast<size_t>(n)), values(static_cast<size_t>(n));
  dequantize(plan_of.entry->dtype, raw.data(), n, stored.data());
  for (int64_t i = 0; i < n; ++i) {
    values[static_cast<size_t>(i)] = stored[static_cast<size_t>(stored_row(plan_of.move, plan_of.heads, n, i))];
  }
  const int64_t bytes = n * static_cast<int64_t>(sizeof(float));
  buffers_.push_back(device_.allocate(bytes));
  device_.copy_to_device(buffers_.back().data(), values.data(), bytes);
  packed_bytes_ += bytes;
  report(plan_of.entry->bytes);
  return {buffers_.back().data(), DType::kF32, Shape{n}};
}

}  // namespace duet
