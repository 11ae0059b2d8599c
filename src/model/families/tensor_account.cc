#include "model/families/tensor_account.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "model/families/quantized_tensors.h"

namespace duet {
namespace {

bool is_matrix_dtype(DType dtype) {
  if (is_plain_float(dtype)) return true;
  // Q8_1 and Q8_K hold activations; the plain integers and float64 are no weights of a model.
  if (dtype == DType::kQ8_1 || dtype == DType::kQ8_K) return false;
  return dtype_info(dtype).block_size > 1 && can_dequantize(dtype);
}

}  // namespace

void require_vector_dtype(const Checkpoint& checkpoint, const TensorEntry& entry) {
  if (is_plain_float(entry.dtype)) return;
  fail(ErrorCode::kBadDtype, "{}: tensor '{}' has type {}, legal are f32, f16, bf16", file_of(checkpoint, entry),
       printable(entry.name), dtype_info(entry.dtype).name);
}

TensorAccount::TensorAccount(const Checkpoint& checkpoint)
    : checkpoint_(checkpoint),
      gguf_(checkpoint.metadata() != nullptr),
      lists_(checkpoint.wants_tensors()),
      quantization_(QuantizationConfig::read(checkpoint, warnings_)) {}

bool TensorAccount::has_in_any_form(const std::string& stored_name) const {
  return has(stored_name) || (quantization_ && find_fused(checkpoint_, stored_name) != nullptr);
}

std::shared_ptr<const QuantizedSource> TensorAccount::quantised(const std::string& stored_name, const Shape& shape) {
  if (!quantization_) return nullptr;
  auto source = QuantizedTensors(checkpoint_, *quantization_, taken_).find(stored_name, shape);
  if (source != nullptr) ++quantised_matrices_;
  return source;
}

const TensorEntry& TensorAccount::take(const std::string& stored_name, const Shape& shape) {
  if (lists_) return list(stored_name, shape);
  const TensorEntry* entry = checkpoint_.find(stored_name);
  if (entry == nullptr) {
    const std::string file = checkpoint_.files().empty() ? checkpoint_.name() : checkpoint_.files().front()->name();
    fail(ErrorCode::kMissingTensor, "{}: tensor '{}' {} is missing", file, stored_name, shape.str());
  }
  taken_.insert(stored_name);
  if (entry->shape != shape) {
    fail(ErrorCode::kShapeMismatch, "{}: tensor '{}' is {}, expected {}", file_of(checkpoint_, *entry), stored_name,
         entry->shape.str(), shape.str());
  }
  return *entry;
}

const TensorEntry& TensorAccount::list(const std::string& stored_name, const Shape& shape) {
  const auto [at, is_new] = listed_by_name_.emplace(stored_name, nullptr);
  if (is_new) {
    listed_.push_back({stored_name, DType::kBF16, shape});
    at->second = &listed_.back();
  }
  DUET_CHECK(at->second->shape == shape);
  return *at->second;
}

void TensorAccount::check_matrix_dtype(const TensorEntry& entry, bool transposed) const {
  if (transposed) return require_vector_dtype(checkpoint_, entry);  // blocks cannot be cut
  if (is_matrix_dtype(entry.dtype)) return;
  fail(ErrorCode::kBadDtype, "{}: tensor '{}' has type {} ({}), which no weight matrix can have",
       file_of(checkpoint_, entry), printable(entry.name), dtype_info(entry.dtype).name,
       entry.dtype == DType::kI64 ? "I64" : "not a weight type");
}

void TensorAccount::matrix(const TensorName& name, Shape shape, bool bias, const RowMap& rows) {
  part(name.canonical, stored(name) + ".weight", shape, shape, rows);
  const Shape outs{shape[0]};
  const QuantizedSource* quantized = plans_.back().quantized.get();
  if (!bias && quantized != nullptr && quantized->scheme.form == WeightForm::kGptq) {
    take_zero_bias(stored(name) + ".bias", shape[0]);
  }
  if (bias) values(name.canonical + ".bias", stored(name) + ".bias", outs, outs, rows);
}

/// Early tools for GPTQ gave every layer a bias, also where the model has none: there it must be nothing but zeros.
void TensorAccount::take_zero_bias(const std::string& stored_name, int64_t n) {
  if (!has(stored_name)) return;
  const TensorEntry& entry = take(stored_name, {n});
  require_vector_dtype(checkpoint_, entry);
  std::vector<std::byte> raw(entry.bytes);
  checkpoint_.read(entry, 0, raw);
  std::vector<float> values(static_cast<size_t>(n));
  dequantize(entry.dtype, raw.data(), n, values.data());
  if (std::any_of(values.begin(), values.end(), [](float v) { return v != 0; })) {
    fail(ErrorCode::kUnexpectedTensor, "{}: tensor '{}' {} is not zero, but the configuration has no such bias",
         file_of(checkpoint_, entry), printable(stored_name), entry.shape.str());
  }
}

void TensorAccount::row_matrix(const TensorName& name, int64_t n) {
  const std::string stored_name = stored(name) + ".weight";
  const TensorEntry* entry = checkpoint_.find(stored_name);
  const bool flat = entry != nullptr && entry->shape.rank() == 1;
  part(name.canonical, stored_name, flat ? Shape{n} : Shape{1, n}, {1, n}, {});
}

void TensorAccount::part(const std::string& canonical, const std::string& stored_name, const Shape& stored_shape,
                         Shape shape, const RowMap& rows, std::optional<int64_t> transposed_from) {
  if (quantization_ && stored_shape.rank() == 3 && !transposed_from) {
    const int64_t outs = stored_shape[1];
    QuantizedTensors tensors(checkpoint_, *quantization_, taken_);
    if (auto source = tensors.find_expert(stored_name, stored_shape, rows.first / outs)) {
      RowMap within = rows;
      within.first = rows.first % outs;
      const TensorEntry* codes = source->codes;
      plans_.push_back({canonical + ".weight", codes, shape, within, {}, {}, Fold::kNone, false, std::move(source)});
      ++quantised_matrices_;
      return;
    }
  }
  if (auto source = quantised(stored_name, stored_shape)) {
    const TensorEntry* codes = source->codes;
    plans_.push_back({canonical + ".weight", codes, shape, rows, {}, {}, Fold::kNone, false, std::move(source)});
    return;
  }
  const TensorEntry& entry = take(stored_name, stored_shape);
  check_matrix_dtype(entry, transposed_from.has_value());
  plans_.push_back({canonical + ".weight", &entry, shape, rows, {}, transposed_from, Fold::kNone});
}

void TensorAccount::parts(const std::string& canonical, const std::string& stored_name, const Shape& stored_shape,
                          Shape shape, std::vector<RowMap> parts) {
  if (auto source = quantised(stored_name, stored_shape)) {
    const TensorEntry* codes = source->codes;
    plans_.push_back(
        {canonical + ".weight", codes, shape, {}, std::move(parts), {}, Fold::kNone, false, std::move(source)});
    return;
  }
  const TensorEntry& entry = take(stored_name, stored_shape);
  check_matrix_dtype(entry, false);
  plans_.push_back({canonical + ".weight", &entry, shape, {}, std::move(parts), {}, Fold::kNone});
}

void TensorAccount::values(const std::string& canonical, const std::string& stored_name, const Shape& stored_shape,
                           Shape shape, const RowMap& rows, Fold fold) {
  const TensorEntry& entry = take(stored_name, stored_shape);
  require_vector_dtype(checkpoint_, entry);
  plans_.push_back({canonical, &entry, shape, rows, {}, {}, fold, true});
}

void TensorAccount::vector(const TensorName& name, int64_t n, Fold fold) {
  values(name.canonical + ".weight", stored(name) + ".weight", {n}, {n}, {}, fold);
}

int64_t TensorAccount::discard_all(std::string_view prefix) {
  int64_t count = 0;
  for (const TensorEntry& entry : checkpoint_.tensors()) {
    if (entry.name.starts_with(prefix)) taken_.insert(entry.name), ++count;
  }
  return count;
}

void TensorAccount::close(ModelDescription& model) {
  for (const TensorEntry& entry : checkpoint_.tensors()) {
    if (!taken_.contains(entry.name)) {
      fail(ErrorCode::kUnexpectedTensor, "{}: tensor '{}' {} is not explained by the configuration",
           file_of(checkpoint_, entry), printable(entry.name), entry.shape.str());
    }
  }
  model.warnings.insert(model.warnings.end(), warnings_.begin(), warnings_.end());
  if (quantization_) {
    model.notes.push_back(
        fmt::format("the weights of {} matrices are quantised: {}", quantised_matrices_, quantization_->summary()));
  }
  model.listed = std::make_shared<const std::deque<TensorEntry>>(std::move(listed_));
  model.tensors = std::move(plans_);
  for (size_t i = 0; i < model.tensors.size(); ++i) model.tensor_index.emplace(model.tensors[i].canonical, i);
}

}  // namespace duet
