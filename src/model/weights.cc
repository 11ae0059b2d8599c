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
                           std::function<void(int64_t, int64_t)> progress, PackedCache& cache, int64_t expert_slots)
    : backend_(backend),
      device_(device),
      checkpoint_(checkpoint),
      model_(model),
      activations_(activations),
      progress_(std::move(progress)),
      cache_(cache),
      expert_slots_(expert_slots) {
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

WeightLoader::StoredRows WeightLoader::plain_rows(const TensorPlan& plan) const {
  const TensorEntry& entry = *plan.entry;
  const int64_t stride = row_bytes(dtype_info(entry.dtype), plan.shape[1]);
  return {{entry.dtype}, stride, [this, &entry, stride](int64_t first, int64_t, std::span<std::byte> out) {
            checkpoint_.read(entry, static_cast<uint64_t>(first * stride), out);
          }};
}

WeightLoader::StoredRows WeightLoader::quantized_rows(std::shared_ptr<const QuantizedRows> rows) {
  const QuantizedRows& all = *rows;
  return {all.form(), all.row_bytes(),
          [rows = std::move(rows)](int64_t first, int64_t count, std::span<std::byte> out) {
            rows->read(first, count, out);
          },
          all.table()};
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

const PackedEntry& WeightLoader::entry_of(const TensorPlan& matrix) const {
  const PackedCacheFile& file = *cache_.serving();
  const PackedEntry* const entry = file.find(matrix.canonical);
  // Matrices that differ from their likes are packed as float32.
  const auto has_form = [&] {
    return entry->form == matrix.form() || (matrix.quantized != nullptr && entry->form == PackedForm{});
  };
  const bool fits = entry != nullptr && entry->rows == matrix.shape[0] && entry->cols == matrix.shape[1] && has_form();
  if (fits) return *entry;
  throw PackedCacheError(ErrorCode::kHashMismatch,
                         fmt::format("{}: '{}' is not there as the model has it", file.name(), matrix.canonical));
}

std::shared_ptr<const PackedWeight> WeightLoader::restore(const TensorPlan& matrix) {
  const PackedEntry& entry = entry_of(matrix);
  std::atomic<int64_t> done = 0;
  const WeightSource form{matrix.canonical, entry.form.dtype,  entry.rows, entry.cols, {},
                          activations_,     entry.form.grouped};
  return counted(matrix, ops::restore_weight(backend_, form, [&](int64_t begin, std::span<std::byte> out) {
                   cache_.serving()->read(entry, begin, out);
                   report_part(matrix, done += static_cast<int64_t>(out.size()), entry.bytes);
                 }));
}

std::shared_ptr<const PackedWeight> WeightLoader::pack(const TensorPlan& matrix, const StoredRows& stored) {
  WeightSource source{matrix.canonical, stored.form.dtype,   matrix.shape[0], matrix.shape[1], {},
                      activations_,     stored.form.grouped, stored.table};
  std::atomic<int64_t> done = 0;
  source.read_rows = [&](int64_t begin, int64_t count, std::span<std::byte> out) {
    read_rows(stored, matrix, begin, count, out);
    report_part(matrix, done += count, source.rows);
  };
  auto packed = ops::pack_weight(backend_, source);
  cache_.keep(matrix.canonical, backend_, *packed);
  return counted(matrix, std::move(packed));
}

std::shared_ptr<const PackedWeight> WeightLoader::counted(const TensorPlan& matrix,
                                                          std::shared_ptr<const PackedWeight> packed) {
  packed_bytes_ += packed->bytes();
  report(matrix.bytes());
  return packed;
}

Linear WeightLoader::linear(const std::string& prefix) {
  Linear layer;
  layer.weight = alike({prefix}).front();
  if (has(prefix + ".bias")) layer.bias = vector(prefix + ".bias");
  return layer;
}

std::vector<std::shared_ptr<const PackedWeight>> WeightLoader::alike(const std::vector<std::string>& prefixes) {
  std::vector<std::shared_ptr<const PackedWeight>> packed;
  packed.reserve(prefixes.size());
  if (!cache_.serving()) {
    pack_alike(prefixes, [&](std::shared_ptr<const PackedWeight> weight) { packed.push_back(std::move(weight)); });
    return packed;
  }
  for (const std::string& prefix : prefixes) {
    packed.push_back(restore(plan(prefix + ".weight")));
    const auto form_of = [](const PackedWeight& weight) { return PackedForm{weight.dtype(), weight.grouped()}; };
    check_alike(form_of(*packed.back()), form_of(*packed.front()), prefix);
  }
  return packed;
}

void WeightLoader::check_alike(const PackedForm& form, const PackedForm& first, const std::string& prefix) const {
  if (form == first) return;
  throw PackedCacheError(ErrorCode::kHashMismatch,
                         fmt::format("{}: '{}' has another type than its like", cache_.serving()->name(), prefix));
}

std::shared_ptr<ExpertSlots> WeightLoader::slots(
    const std::array<std::vector<std::string>, ExpertSlots::kParts>& prefixes) {
  if (!cache_.serving()) {  // one in memory at a time
    for (const std::vector<std::string>& part : prefixes) {
      pack_alike(part, [](const std::shared_ptr<const PackedWeight>&) {});
    }
    return nullptr;
  }
  ExpertSlots::Entries entries;
  for (size_t part = 0; part < prefixes.size(); ++part) {
    for (const std::string& prefix : prefixes[part]) {
      const TensorPlan& matrix = plan(prefix + ".weight");
      entries[part].push_back(&entry_of(matrix));
      check_alike(entries[part].back()->form, entries[part].front()->form, prefix);
      report(matrix.bytes());
    }
  }
  if (!expert_reader_) expert_reader_ = std::make_shared<ExpertReader>(cache_.serving());
  const auto count = std::min(expert_slots_, static_cast<int64_t>(prefixes.front().size()));
  auto slots = std::make_shared<ExpertSlots>(backend_, expert_reader_, std::move(entries), count, activations_);
  packed_bytes_ += slots->bytes();
  return slots;
}

void WeightLoader::pack_alike(const std::vector<std::string>& prefixes,
                              const std::function<void(std::shared_ptr<const PackedWeight>)>& sink) {
  std::vector<std::shared_ptr<QuantizedRows>> quantized;
  for (const std::string& prefix : prefixes) {
    const TensorPlan& matrix = plan(prefix + ".weight");
    if (matrix.quantized != nullptr) {
      quantized.push_back(std::make_shared<QuantizedRows>(checkpoint_, *matrix.quantized));
    }
  }
  const bool differ = std::any_of(quantized.begin(), quantized.end(),
                                  [&](const auto& rows) { return rows->form() != quantized.front()->form(); });
  auto next = quantized.begin();
  for (const std::string& prefix : prefixes) {
    const TensorPlan& matrix = plan(prefix + ".weight");
    if (matrix.quantized == nullptr) {
      sink(pack(matrix, plain_rows(matrix)));
      continue;
    }
    if (differ) (*next)->use_float();
    sink(pack(matrix, quantized_rows(std::move(*next++))));
  }
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
