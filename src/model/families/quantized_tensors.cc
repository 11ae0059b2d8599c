#include "model/families/quantized_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/json.h"

namespace duet {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr uint64_t kMaxQuantState = 65536;
constexpr int64_t kMaxBlock = int64_t{1} << 24;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

bool is_plain_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

const std::string& file_of(const Checkpoint& checkpoint, const TensorEntry& entry) {
  return checkpoint.files()[static_cast<size_t>(entry.file)]->name();
}

const TensorEntry* find_fused(const Checkpoint& checkpoint, const std::string& stored_name) {
  for (const char* tail : {"_blocks", "_packed", ".weight_packed", ".qweight", ".weight", "_scale_inv", "_scale"}) {
    if (const TensorEntry* entry = checkpoint.find(stored_name + tail)) return entry;
  }
  return nullptr;
}

const TensorEntry* QuantizedTensors::take_if(const std::string& name) {
  const TensorEntry* entry = checkpoint_.find(name);
  if (entry != nullptr) taken_.insert(name);
  return entry;
}

const TensorEntry* QuantizedTensors::take(QuantizedSource& source, const std::string& name,
                                          std::initializer_list<Shape> shapes, Types types) {
  const TensorEntry* entry = take_if(name);
  if (entry == nullptr) {
    const std::string file = checkpoint_.files().empty() ? checkpoint_.name() : checkpoint_.files().front()->name();
    fail(ErrorCode::kMissingTensor, "{}: tensor '{}' {} is missing: quantization_config says {}", file, name,
         shapes.begin()->str(), source.scheme.name);
  }
  if (std::find(types.begin(), types.end(), entry->dtype) == types.end()) {
    std::string known;
    for (const DType type : types) known += fmt::format("{}{}", known.empty() ? "" : ", ", dtype_info(type).name);
    fail(ErrorCode::kBadDtype, "{}: tensor '{}' has type {}, legal in {}: {}", file_of(checkpoint_, *entry), name,
         dtype_info(entry->dtype).name, source.scheme.name, known);
  }
  if (std::find(shapes.begin(), shapes.end(), entry->shape) == shapes.end()) {
    fail(ErrorCode::kShapeMismatch, "{}: tensor '{}' is {}, expected {} for a matrix {} in {}",
         file_of(checkpoint_, *entry), name, entry->shape.str(), shapes.begin()->str(),
         Shape{source.rows, source.cols}.str(), source.scheme.name);
  }
  source.bytes += static_cast<int64_t>(entry->bytes);
  return entry;
}

std::shared_ptr<const QuantizedSource> QuantizedTensors::find_expert(const std::string& stored_name, const Shape& shape,
                                                                     int64_t expert) {
  const TensorEntry* codes = checkpoint_.find(stored_name);
  const std::string scale = stored_name + "_scale_inv";
  const WeightScheme* scheme = config_.scheme(stored_name);
  if (codes == nullptr || codes->dtype != DType::kF8E4M3 || checkpoint_.find(scale) == nullptr || scheme == nullptr ||
      config_.method() != "fp8") {
    return nullptr;
  }
  if (config_.storage(stored_name) == Storage::kPlain) {
    fail(ErrorCode::kBadValue, "{}: tensor '{}' is quantised, but quantization_config ({}) leaves its layer plain",
         file_of(checkpoint_, *codes), printable(stored_name), config_.method());
  }
  auto source = std::make_shared<QuantizedSource>();
  source->scheme = *scheme;
  source->slices = shape[0], source->slice = expert;
  source->rows = shape[1], source->cols = shape[2];
  source->codes = take(*source, stored_name, {shape}, {DType::kF8E4M3});
  const Types types = {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E8M0};
  const int64_t rows = scheme->block_rows, columns = scheme->block_columns;
  source->scales =
      rows > 0 ? take(*source, scale, {{shape[0], ceil_div(shape[1], rows), ceil_div(shape[2], columns)}}, types)
               : take(*source, scale, {{shape[0], 1, 1}, {shape[0]}}, types);
  source->bytes /= source->slices;
  for (const char* tail : {"_activation_scale", "_input_scale"}) take_if(stored_name + tail);
  return source;
}

std::shared_ptr<const QuantizedSource> QuantizedTensors::find(const std::string& stored_name, const Shape& shape) {
  if (!stored_name.ends_with(kWeight)) {
    if (const TensorEntry* entry = find_fused(checkpoint_, stored_name)) {
      fail(ErrorCode::kUnsupportedFeature,
           "{}: tensor '{}' belongs to all experts of a layer quantised in one, which is not supported",
           file_of(checkpoint_, *entry), printable(entry->name));
    }
    return nullptr;
  }
  const std::string module = stored_name.substr(0, stored_name.size() - kWeight.size());
  const TensorEntry* weight = checkpoint_.find(stored_name);
  const TensorEntry* packed = weight != nullptr && !is_plain_float(weight->dtype) ? weight : nullptr;
  for (const char* tail : {".qweight", ".weight_packed", ".weight_blocks"}) {
    if (weight == nullptr && packed == nullptr) packed = checkpoint_.find(module + tail);
  }
  const Storage storage = config_.storage(module);
  if (packed == nullptr && (weight != nullptr || storage != Storage::kQuantised)) {
    if (weight != nullptr && is_plain_float(weight->dtype) && storage == Storage::kQuantised) {
      fail(ErrorCode::kBadValue,
           "{}: tensor '{}' is plain {}, but quantization_config ({}) quantises its layer and excludes it nowhere",
           file_of(checkpoint_, *weight), stored_name, dtype_info(weight->dtype).name, config_.method());
    }
    return nullptr;
  }
  const WeightScheme* scheme = config_.scheme(module);
  if (packed != nullptr && (storage == Storage::kPlain || scheme == nullptr)) {
    fail(ErrorCode::kBadValue, "{}: tensor '{}' is quantised, but quantization_config ({}) leaves its layer plain",
         file_of(checkpoint_, *packed), printable(packed->name), config_.method());
  }
  auto source = std::make_shared<QuantizedSource>();
  source->scheme = *scheme;
  source->rows = shape[0], source->cols = shape[1];
  switch (scheme->form) {
    case WeightForm::kScaled:
      take_scaled(*source, module);
      break;
    case WeightForm::kPacked:
      take_packed(*source, module);
      break;
    case WeightForm::kAwq:
    case WeightForm::kGptq:
      take_words(*source, module);
      break;
    case WeightForm::kMxfp4:
    case WeightForm::kNvfp4:
      take_fp4(*source, module);
      break;
    case WeightForm::kMap4Bit:
      take_mapped(*source, module);
      break;
  }
  // Scales of activations, where they are quantised by numbers fixed beforehand. Here they are not quantised that way,
  // so these change nothing.
  for (const char* tail : {".input_scale", ".input_zero_point", ".input_global_scale", ".output_scale"}) {
    take_if(module + tail);
  }
  return source;
}

void QuantizedTensors::take_scaled(QuantizedSource& source, const std::string& module) {
  const WeightScheme& scheme = source.scheme;
  const int64_t rows = source.rows, cols = source.cols;
  source.codes = take(source, module + ".weight", {{rows, cols}}, {scheme.floating ? DType::kF8E4M3 : DType::kI8});
  // The name says inverse, and yet it multiplies.
  const std::string inverse = module + ".weight_scale_inv";
  const bool has_inverse = config_.method() == "fp8" && (scheme.block_rows > 0 || checkpoint_.find(inverse) != nullptr);
  const std::string name = has_inverse ? inverse : module + ".weight_scale";
  const Types types = {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E8M0};
  if (scheme.block_rows > 0) {
    const Shape blocks{ceil_div(rows, scheme.block_rows), ceil_div(cols, scheme.block_columns)};
    source.scales = take(source, name, {blocks}, types);
  } else if (scheme.group > 0) {
    source.scales = take(source, name, {{rows, ceil_div(cols, scheme.group)}}, types);
  } else {
    source.scales = take(source, name, {{rows, 1}, {rows}, {1}, {1, 1}, {}}, types);
  }
}

void QuantizedTensors::check_stored_shape(const QuantizedSource& source, const TensorEntry& entry) const {
  int64_t stored[2];
  checkpoint_.read(entry, 0, std::as_writable_bytes(std::span(stored)));
  if (stored[0] != source.rows || stored[1] != source.cols) {
    fail(ErrorCode::kShapeMismatch, "{}: tensor '{}' says [{},{}], expected {}", file_of(checkpoint_, entry),
         printable(entry.name), stored[0], stored[1], Shape{source.rows, source.cols}.str());
  }
}

void QuantizedTensors::take_packed(QuantizedSource& source, const std::string& module) {
  const WeightScheme& scheme = source.scheme;
  const int64_t rows = source.rows, cols = source.cols, per_word = 32 / scheme.bits;
  const int64_t groups = scheme.group > 0 ? ceil_div(cols, scheme.group) : 1;
  source.codes = take(source, module + ".weight_packed", {{rows, ceil_div(cols, per_word)}}, {DType::kI32});
  const Types types = {DType::kF32, DType::kF16, DType::kBF16};
  if (scheme.group > 0) {
    source.scales = take(source, module + ".weight_scale", {{rows, groups}}, types);
  } else {
    source.scales = take(source, module + ".weight_scale", {{rows, 1}, {1}}, types);
  }
  if (!scheme.symmetric) {
    source.zeros = take(source, module + ".weight_zero_point", {{ceil_div(rows, per_word), groups}}, {DType::kI32});
  }
  if (checkpoint_.find(module + ".weight_g_idx") != nullptr) {
    source.order = take(source, module + ".weight_g_idx", {{cols}}, {DType::kI32});
    if (groups_lie_in_order(source)) source.order = nullptr;
  }
  check_stored_shape(source, *take(source, module + ".weight_shape", {{2}}, {DType::kI64}));
}

bool QuantizedTensors::groups_lie_in_order(const QuantizedSource& source) const {
  std::vector<int32_t> group_of(static_cast<size_t>(source.cols));
  checkpoint_.read(*source.order, 0, std::as_writable_bytes(std::span(group_of)));
  const int64_t columns = source.scheme.group > 0 ? source.scheme.group : source.cols;
  for (int64_t i = 0; i < source.cols; ++i) {
    if (group_of[static_cast<size_t>(i)] != i / columns) return false;
  }
  return true;
}

bool QuantizedTensors::zeros_are_in_the_middle(const QuantizedSource& source) const {
  std::vector<std::byte> zeros(source.zeros->bytes);
  checkpoint_.read(*source.zeros, 0, zeros);
  const std::byte middle{static_cast<unsigned char>(source.scheme.zero_minus_one ? 127 : 128)};
  return std::all_of(zeros.begin(), zeros.end(), [&](std::byte zero) { return zero == middle; });
}

void QuantizedTensors::take_words(QuantizedSource& source, const std::string& module) {
  const WeightScheme& scheme = source.scheme;
  const int64_t rows = source.rows, cols = source.cols, per_word = 32 / scheme.bits;
  const bool awq = scheme.form == WeightForm::kAwq;
  const int64_t groups = scheme.group > 0 ? ceil_div(cols, scheme.group) : 1;
  if (rows % per_word != 0 || (!awq && cols % per_word != 0)) {
    fail(ErrorCode::kShapeMismatch, "{}: tensor '{}.qweight' would be a matrix {}, which {} codes a word cannot hold",
         checkpoint_.name(), module, Shape{rows, cols}.str(), per_word);
  }
  const Shape codes = awq ? Shape{cols, rows / per_word} : Shape{cols / per_word, rows};
  source.codes = take(source, module + ".qweight", {codes}, {DType::kI32});
  source.zeros = take(source, module + ".qzeros", {{groups, rows / per_word}}, {DType::kI32});
  source.scales = take(source, module + ".scales", {{groups, rows}}, {DType::kF16, DType::kBF16, DType::kF32});
  const std::string order = module + ".g_idx";
  if (!awq && (!scheme.ordered_groups || checkpoint_.find(order) != nullptr)) {
    source.order = take(source, order, {{cols}}, {DType::kI32});
    if (groups_lie_in_order(source)) source.order = nullptr;
  }
  if (scheme.bits == 8 && zeros_are_in_the_middle(source)) {
    source.zeros = nullptr;
    source.scheme.symmetric = true;
  }
}

void QuantizedTensors::take_fp4(QuantizedSource& source, const std::string& module) {
  const int64_t rows = source.rows, cols = source.cols, group = source.scheme.group;
  if (cols % group != 0) {
    fail(ErrorCode::kShapeMismatch, "{}: tensor '{}.weight' would be a matrix {}, whose rows are no whole groups of {}",
         checkpoint_.name(), module, Shape{rows, cols}.str(), group);
  }
  if (config_.method() == "mxfp4") {
    source.codes = take(source, module + ".weight_blocks", {{rows, cols / 32, 16}}, {DType::kU8});
    source.scales = take(source, module + ".weight_scales", {{rows, cols / 32}}, {DType::kU8});
    return;
  }
  source.codes = take(source, module + ".weight_packed", {{rows, cols / 2}}, {DType::kU8});
  const std::string scale = module + ".weight_scale";
  if (source.scheme.form == WeightForm::kMxfp4) {
    source.scales = take(source, scale, {{rows, cols / group}}, {DType::kU8, DType::kF8E8M0});
  } else {
    source.scales = take(source, scale, {{rows, cols / group}}, {DType::kF8E4M3});
    source.global_scale = take(source, module + ".weight_global_scale", {{1}, {}}, {DType::kF32});
  }
}

void QuantizedTensors::take_mapped(QuantizedSource& source, const std::string& module) {
  const int64_t rows = source.rows, cols = source.cols, values = rows * cols;
  const std::string weight = module + ".weight", state_name = weight + ".quant_state.bitsandbytes__nf4";
  const TensorEntry* state = take_if(state_name);
  if (state == nullptr) {
    fail(ErrorCode::kMissingTensor, "{}: tensor '{}' is missing: quantization_config says {}", checkpoint_.name(),
         state_name, source.scheme.name);
  }
  const std::string place = fmt::format("{}: tensor '{}'", file_of(checkpoint_, *state), state_name);
  if (state->dtype != DType::kU8) {
    fail(ErrorCode::kBadDtype, "{} has type {}, legal: u8", place, dtype_info(state->dtype).name);
  }
  if (state->bytes > kMaxQuantState) {
    fail(ErrorCode::kTooLarge, "{} has {} bytes, legal are up to {}", place, state->bytes, kMaxQuantState);
  }
  std::string text(state->bytes, '\0');
  checkpoint_.read(*state, 0, std::as_writable_bytes(std::span(text)));
  const Json json = parse_json(text, place, {.max_depth = 8});
  if (!json.is_object()) fail(ErrorCode::kBadJson, "{} is of kind {}, an object is wanted", place, json.kind_name());
  Fields fields = Fields::of_json(json, place);
  const std::string type = fields.string("quant_type").value_or("");
  if (type != "nf4") {
    fail(ErrorCode::kUnsupportedFeature, "{}: quant_type is '{}', known: nf4", place, printable(type, 60));
  }
  source.block = fields.require_integer("blocksize", 1, kMaxBlock);
  const Json wanted(Json::Array{Json(rows), Json(cols)});
  if (const Json* shape = fields.raw("shape"); shape == nullptr || *shape != wanted) {
    fail(ErrorCode::kShapeMismatch, "{}: shape is {}, expected {}", place,
         shape == nullptr ? "absent" : printable(shape->dump(), 60), wanted.dump());
  }
  const int64_t bytes = ceil_div(values, 2), blocks = ceil_div(values, source.block);
  source.codes = take(source, weight, {{bytes, 1}}, {DType::kU8});
  source.map = take(source, weight + ".quant_map", {{16}}, {DType::kF32});
  source.scales =
      take(source, weight + ".absmax", {{blocks}}, {source.scheme.double_quantised ? DType::kU8 : DType::kF32});
  if (!source.scheme.double_quantised) return;
  source.nested_block = fields.require_integer("nested_blocksize", 1, kMaxBlock);
  if (const auto nested = fields.string("nested_dtype"); nested && *nested != "float32") {
    fail(ErrorCode::kUnsupportedFeature, "{}: nested_dtype is '{}', known: float32", place, printable(*nested, 60));
  }
  const Json* offset = fields.raw("nested_offset");
  if (offset == nullptr) fail(ErrorCode::kMissingKey, "{}: the key nested_offset is missing", place);
  if (!offset->is_number()) {
    fail(ErrorCode::kBadType, "{}: nested_offset is of kind {}, a number is wanted", place, offset->kind_name());
  }
  source.nested_offset = static_cast<float>(offset->number());
  if (!std::isfinite(source.nested_offset)) fields.fail_value("nested_offset", offset->dump(), "finite in float32");
  source.nested_scales =
      take(source, weight + ".nested_absmax", {{ceil_div(blocks, source.nested_block)}}, {DType::kF32});
  source.nested_map = take(source, weight + ".nested_quant_map", {{256}}, {DType::kF32});
}

}  // namespace duet
