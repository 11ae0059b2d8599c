#include "model/families/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/families/module_pattern.h"

namespace duet {
namespace {

constexpr size_t kMaxPatterns = 16384;
constexpr int64_t kMaxGroup = int64_t{1} << 24;
constexpr std::string_view kExpression = "re:";

[[noreturn]] void refuse(const Fields& fields, std::string_view key, const std::string& content,
                         std::string_view known) {
  fail(ErrorCode::kUnsupportedFeature, "{}: {} is {}, known: {}", fields.file(), fields.name(key),
       printable(content, 60), known);
}

/// A key that must be absent, or hold one of `known`.
void want(Fields& fields, const std::string& key, std::initializer_list<std::string_view> known) {
  const auto value = fields.string(key);
  if (!value || std::find(known.begin(), known.end(), *value) != known.end()) return;
  std::string list;
  for (const std::string_view name : known) list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
  refuse(fields, key, "'" + *value + "'", list);
}

/// A key that must be absent, null, false or empty: what it asks for is not done here.
void want_absent(Fields& fields, const std::string& key) {
  const Json* value = fields.raw(key);
  if (value == nullptr || *value == Json(false)) return;
  if (value->is_array() && value->array().empty()) return;
  if (value->is_object() && value->object().empty()) return;
  refuse(fields, key, value->dump(), "none");
}

/// group_size; -1 is one group a row. 0 stands for the latter in a scheme.
int64_t read_group(Fields& fields) {
  const auto group = fields.integer("group_size", -1, kMaxGroup);
  if (group && *group == 0) fields.fail_value("group_size", "0", "-1, or above 0");
  return group && *group > 0 ? *group : 0;
}

/// The two sizes of a block that shares a scale, where the key is there.
void read_block(Fields& fields, const std::string& key, WeightScheme& scheme) {
  const Json* block = fields.raw(key);
  if (block == nullptr) return;
  const Json::Array sizes = block->is_array() ? block->array() : Json::Array{};
  if (sizes.size() != 2 || !sizes[0].is_integer() || !sizes[1].is_integer() || sizes[0].integer() < 1 ||
      sizes[1].integer() < 1) {
    fields.fail_value(key, block->dump(), "two sizes above 0");
  }
  scheme.block_rows = sizes[0].integer(), scheme.block_columns = sizes[1].integer();
}

std::string group_text(int64_t group) {
  return group > 0 ? fmt::format("groups of {}", group) : std::string("one group a row");
}

const Json& require_object(const Fields& fields, std::string_view key, const Json& value) {
  if (!value.is_object()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {}, an object is wanted", fields.file(), fields.name(key),
         value.kind_name());
  }
  return value;
}

/// What a checkpoint of compressed-tensors calls one group's weights.
WeightScheme read_compressed_weights(Fields& weights, const std::string& format) {
  WeightScheme scheme;
  scheme.bits = weights.require_integer("num_bits", 1, 64);
  const std::string type = weights.string("type").value_or("int");
  const std::string strategy = weights.string("strategy").value_or("tensor");
  scheme.symmetric = weights.boolean("symmetric").value_or(true);
  scheme.floating = type == "float";
  if (type != "float" && type != "int") refuse(weights, "type", "'" + type + "'", "int, float");
  const auto group = weights.integer("group_size", -1, kMaxGroup);
  if (group && *group == 0) weights.fail_value("group_size", "0", "-1, or above 0");
  const bool grouped = strategy == "group" || strategy == "tensor_group";
  if (grouped) {
    scheme.group = weights.require_integer("group_size", -1, kMaxGroup);
    if (scheme.group <= 0) weights.fail_value("group_size", std::to_string(scheme.group), "above 0");
  }
  if (strategy == "block") read_block(weights, "block_structure", scheme);
  const auto want_bits = [&](std::initializer_list<int64_t> known, std::string_view list) {
    if (std::find(known.begin(), known.end(), scheme.bits) == known.end()) {
      refuse(weights, "num_bits", std::to_string(scheme.bits), list);
    }
  };
  const auto want_type = [&](std::string_view known) {
    if (type != known) refuse(weights, "type", "'" + type + "'", known);
  };
  const auto want_strategy = [&](std::initializer_list<std::string_view> known, std::string_view list) {
    if (std::find(known.begin(), known.end(), strategy) == known.end()) {
      refuse(weights, "strategy", "'" + strategy + "'", list);
    }
  };
  if (format == "pack-quantized") {
    want_type("int"), want_bits({4, 8}, "4, 8");
    want_strategy({"tensor", "channel", "group"}, "tensor, channel, group");
    scheme.form = WeightForm::kPacked;
  } else if (format == "float-quantized" || format == "int-quantized" || format == "naive-quantized") {
    if (format != "naive-quantized") want_type(format == "float-quantized" ? "float" : "int");
    want_bits({8}, "8");
    want_strategy({"tensor", "channel", "group", "block"}, "tensor, channel, group, block");
    if (strategy == "block" && scheme.block_rows == 0) {
      fail(ErrorCode::kMissingKey, "{}: the key {} is missing", weights.file(), weights.name("block_structure"));
    }
    if (!scheme.symmetric) refuse(weights, "symmetric", "false", "true in " + format);
    scheme.form = WeightForm::kScaled;
  } else if (format == "mxfp4-pack-quantized" || format == "nvfp4-pack-quantized") {
    want_type("float"), want_bits({4}, "4");
    want_strategy({"group", "tensor_group"}, "group, tensor_group");
    const int64_t size = format == "mxfp4-pack-quantized" ? 32 : 16;
    if (scheme.group != size) refuse(weights, "group_size", std::to_string(scheme.group), std::to_string(size));
    scheme.form = size == 32 ? WeightForm::kMxfp4 : WeightForm::kNvfp4;
  } else {
    fail(ErrorCode::kUnsupportedFeature,
         "{}: quantization_config.format is '{}', known: pack-quantized, float-quantized, int-quantized, "
         "naive-quantized, mxfp4-pack-quantized, nvfp4-pack-quantized",
         weights.file(), printable(format, 60));
  }
  scheme.name = fmt::format("compressed-tensors {}, {} {} bits, strategy {}{}", format, type, scheme.bits, strategy,
                            grouped ? " of " + std::to_string(scheme.group) : "");
  weights.ignore({"actorder", "dynamic", "observer", "observer_kwargs", "scale_dtype", "zp_dtype", "block_structure"});
  return scheme;
}

}  // namespace

void QuantizationConfig::read_list(Fields& fields, const std::string& key, std::vector<std::string>& out) const {
  const Json::Array* list = fields.array(key);
  if (list == nullptr) return;
  if (out.size() + list->size() > kMaxPatterns) {
    fail(ErrorCode::kTooLarge, "{}: {} has {} entries, legal are up to {}", fields.file(), fields.name(key),
         list->size(), kMaxPatterns);
  }
  for (const Json& item : *list) {
    if (!item.is_string()) {
      fail(ErrorCode::kBadType, "{}: {} holds {}, names are wanted", fields.file(), fields.name(key),
           printable(item.dump(), 60));
    }
    out.push_back(item.string());
  }
}

void QuantizationConfig::read_fp8(Fields& fields) {
  WeightScheme scheme;
  scheme.floating = true;
  scheme.bits = 8;
  scheme.name = "fp8 e4m3, one scale a matrix or row";
  want(fields, "fmt", {"e4m3", "float8_e4m3fn"});
  want(fields, "activation_scheme", {"dynamic", "static"});
  read_block(fields, "weight_block_size", scheme);
  if (scheme.block_rows > 0) {
    scheme.name = fmt::format("fp8 e4m3, blocks of {}x{}", scheme.block_rows, scheme.block_columns);
  }
  groups_.push_back({{}, scheme});
  read_list(fields, "modules_to_not_convert", plain_);
  read_list(fields, "ignored_layers", plain_);
  fields.ignore({"scale_fmt", "dequantize", "is_checkpoint_fp8_serialized"});
}

void QuantizationConfig::read_compressed(Fields& fields) {
  expressions_ = true;
  want(fields, "quantization_status", {"compressed"});
  want_absent(fields, "kv_cache_scheme");
  want_absent(fields, "transform_config");
  if (const Json* sparsity = fields.raw("sparsity_config")) {
    const Json* format = require_object(fields, "sparsity_config", *sparsity).find("format");
    if (!sparsity->object().empty() && (format == nullptr || *format != Json("dense"))) {
      refuse(fields, "sparsity_config", sparsity->dump(), "format dense");
    }
  }
  const std::string format = fields.string("format").value_or("");
  const Json* groups = fields.raw("config_groups");
  if (groups == nullptr) {
    fail(ErrorCode::kMissingKey, "{}: the key {} is missing", fields.file(), fields.name("config_groups"));
  }
  for (const auto& [name, value] : require_object(fields, "config_groups", *groups).object()) {
    const std::string place = fields.name("config_groups." + printable(name, 60)) + ".";
    require_object(fields, "config_groups." + printable(name, 60), value);
    Fields group = Fields::of_json(value, fields.file(), place);
    Group read;
    read_list(group, "targets", read.targets);
    const Json* weights = group.raw("weights");
    if (weights == nullptr) continue;  // only activations
    require_object(group, "weights", *weights);
    Fields of_weights = Fields::of_json(*weights, fields.file(), place + "weights.");
    // A group's own format counts where the whole is of several.
    read.scheme = read_compressed_weights(of_weights, group.string("format").value_or(format));
    groups_.push_back(std::move(read));
    if (groups_.size() > 64) refuse(fields, "config_groups", "a list of more than 64 groups", "up to 64");
  }
  if (groups_.empty()) fields.fail_value("config_groups", groups->dump(), "at least one group with weights");
  read_list(fields, "ignore", plain_);
  fields.ignore({"global_compression_ratio", "version"});
}

void QuantizationConfig::read_awq(Fields& fields) {
  WeightScheme scheme;
  scheme.form = WeightForm::kAwq;
  scheme.bits = fields.integer("bits", 1, 64).value_or(4);
  if (scheme.bits != 4) refuse(fields, "bits", std::to_string(scheme.bits), "4");
  want(fields, "version", {"gemm", "GEMM"});
  want(fields, "backend", {"autoawq", "gemm"});
  if (!fields.boolean("zero_point").value_or(true)) refuse(fields, "zero_point", "false", "true");
  scheme.group = read_group(fields);
  scheme.symmetric = false;
  scheme.name = fmt::format("awq 4 bits, {}", group_text(scheme.group));
  groups_.push_back({{}, scheme});
  read_list(fields, "modules_to_not_convert", plain_);
  fields.ignore({"do_fuse", "exllama_config", "fuse_max_seq_len", "modules_to_fuse"});
}

void QuantizationConfig::read_gptq(Fields& fields) {
  WeightScheme scheme;
  scheme.form = WeightForm::kGptq;
  scheme.bits = fields.require_integer("bits", 1, 64);
  if (scheme.bits != 4 && scheme.bits != 8) refuse(fields, "bits", std::to_string(scheme.bits), "4, 8");
  want(fields, "checkpoint_format", {"gptq", "gptq_v2"});
  scheme.zero_minus_one = fields.string("checkpoint_format").value_or("gptq") == "gptq";
  want_absent(fields, "dynamic");
  scheme.group = read_group(fields);
  scheme.symmetric = false;  // zeros are stored in any case
  scheme.ordered_groups = !fields.boolean("desc_act").value_or(false);
  scheme.name = fmt::format("gptq {} bits, {}{}", scheme.bits, group_text(scheme.group),
                            scheme.ordered_groups ? "" : ", in order of activations");
  groups_.push_back({{}, scheme});
  if (!fields.boolean("lm_head").value_or(false)) plain_.emplace_back("lm_head");
  fields.boolean("sym");
  read_list(fields, "modules_to_not_convert", plain_);
  fields.ignore({"damp_percent",
                 "damp_auto_increment",
                 "static_groups",
                 "true_sequential",
                 "model_name_or_path",
                 "model_file_base_name",
                 "is_marlin_format",
                 "quantizer",
                 "meta",
                 "pack_dtype",
                 "dataset",
                 "tokenizer",
                 "model_seqlen",
                 "block_name_to_quantize",
                 "module_name_preceding_first_block",
                 "batch_size",
                 "pad_token_id",
                 "use_exllama",
                 "exllama_config",
                 "max_input_length",
                 "use_cuda_fp16",
                 "disable_exllama",
                 "cache_block_outputs",
                 "modules_in_block_to_quantize",
                 "backend"});
}

void QuantizationConfig::read_mxfp4(Fields& fields) {
  WeightScheme scheme;
  scheme.form = WeightForm::kMxfp4;
  scheme.bits = 4;
  scheme.group = 32;
  scheme.name = "mxfp4";
  groups_.push_back({{}, scheme});
  read_list(fields, "modules_to_not_convert", plain_);
  fields.ignore({"dequantize"});
}

void QuantizationConfig::read_bitsandbytes(Fields& fields) {
  if (!fields.boolean("load_in_4bit").value_or(false)) refuse(fields, "load_in_4bit", "false", "true");
  if (fields.boolean("load_in_8bit").value_or(false)) refuse(fields, "load_in_8bit", "true", "false");
  want(fields, "bnb_4bit_quant_type", {"nf4"});
  if (!fields.has("bnb_4bit_quant_type")) {
    refuse(fields, "bnb_4bit_quant_type", "absent, which means 'fp4'", "nf4");
  }
  want(fields, "bnb_4bit_quant_storage", {"uint8"});
  WeightScheme scheme;
  scheme.form = WeightForm::kMap4Bit;
  scheme.bits = 4;
  scheme.double_quantised = fields.boolean("bnb_4bit_use_double_quant").value_or(false);
  scheme.name = scheme.double_quantised ? "bitsandbytes nf4, scales quantised as well" : "bitsandbytes nf4";
  groups_.push_back({{}, scheme});
  read_list(fields, "llm_int8_skip_modules", plain_);
  fields.ignore({"_load_in_4bit", "_load_in_8bit", "bnb_4bit_compute_dtype", "llm_int8_enable_fp32_cpu_offload",
                 "llm_int8_has_fp16_weight", "llm_int8_threshold"});
}

std::optional<QuantizationConfig> QuantizationConfig::read(const Checkpoint& checkpoint,
                                                           std::vector<std::string>& warnings) {
  if (checkpoint.metadata() != nullptr || checkpoint.config() == nullptr) return std::nullopt;
  const Json* found = checkpoint.config()->find("quantization_config");
  std::string prefix = "quantization_config.";
  if (found == nullptr || found->is_null()) {
    const Json* text = checkpoint.config()->find("text_config");
    if (text != nullptr) found = text->find("quantization_config");
    prefix = "text_config." + prefix;
  }
  if (found == nullptr || found->is_null()) return std::nullopt;
  if (!found->is_object()) {
    fail(ErrorCode::kBadType, "config.json: quantization_config is of kind {}, an object is wanted",
         found->kind_name());
  }
  Fields fields = Fields::of_json(*found, "config.json", prefix);
  QuantizationConfig config;
  const auto method = fields.string("quant_method");
  if (!method) fail(ErrorCode::kMissingKey, "config.json: the key {} is missing", fields.name("quant_method"));
  config.method_ = *method;
  if (*method == "fp8") {
    config.read_fp8(fields);
  } else if (*method == "compressed-tensors") {
    config.read_compressed(fields);
  } else if (*method == "awq") {
    config.read_awq(fields);
  } else if (*method == "gptq") {
    config.read_gptq(fields);
  } else if (*method == "mxfp4") {
    config.read_mxfp4(fields);
  } else if (*method == "bitsandbytes") {
    config.read_bitsandbytes(fields);
  } else {
    refuse(fields, "quant_method", "'" + *method + "'", "fp8, compressed-tensors, awq, gptq, mxfp4, bitsandbytes");
  }
  for (const std::string& key : fields.stray()) {
    warnings.push_back(fmt::format("config.json: the key {} is not known and changes nothing", printable(key)));
  }
  return config;
}

bool QuantizationConfig::is_plain_by_name(const std::string& module, bool& maybe) const {
  for (const std::string& pattern : plain_) {
    Match match = Match::kNo;
    if (!expressions_) {
      match = match_module(pattern, module);
    } else if (pattern.starts_with(kExpression)) {
      match = match_expression(std::string_view(pattern).substr(kExpression.size()), module);
    } else if (pattern == module) {
      match = Match::kYes;
    } else if (module.find(pattern) != std::string::npos || pattern.find(module) != std::string::npos) {
      match = Match::kMaybe;
    }
    if (match == Match::kYes) return true;
    maybe = maybe || match == Match::kMaybe;
  }
  return false;
}

Storage QuantizationConfig::storage(const std::string& module) const {
  const auto ends = [&](std::string_view tail) { return module.ends_with(tail); };
  bool maybe = false;
  if (is_plain_by_name(module, maybe)) return Storage::kPlain;
  // What tools leave alone without saying so: the two ends, the routers and the narrow gates.
  if (maybe || ends("embed_tokens") || ends("lm_head") || ends(".gate") || ends(".router") ||
      ends("shared_expert_gate") || ends("in_proj_a") || ends("in_proj_b") || ends("in_proj_ba")) {
    return Storage::kEither;
  }
  bool named = false;
  for (const Group& group : groups_) {
    if (group.targets.empty()) return Storage::kQuantised;
    for (const std::string& target : group.targets) {
      if (target == "Linear" || target == module) return Storage::kQuantised;
      // The names of other classes, and expressions, are not always told apart from here.
      const bool expression = target.starts_with(kExpression);
      const Match match =
          expression ? match_expression(std::string_view(target).substr(kExpression.size()), module) : Match::kMaybe;
      if (match == Match::kYes) return Storage::kQuantised;
      named = named || match == Match::kMaybe;
    }
  }
  return named ? Storage::kEither : Storage::kPlain;
}

const WeightScheme* QuantizationConfig::scheme(const std::string& module) const {
  if (groups_.size() == 1) return &groups_.front().scheme;
  // A name before an expression before the class of all linear layers.
  const WeightScheme* by_expression = nullptr;
  const WeightScheme* by_class = nullptr;
  for (const Group& group : groups_) {
    for (const std::string& target : group.targets) {
      if (target == module) return &group.scheme;
      if (target == "Linear" && by_class == nullptr) by_class = &group.scheme;
      if (!target.starts_with(kExpression) || by_expression != nullptr) continue;
      const Match match = match_expression(std::string_view(target).substr(kExpression.size()), module);
      if (match == Match::kYes) by_expression = &group.scheme;
      if (match == Match::kMaybe) {
        fail(
            ErrorCode::kUnsupportedFeature,
            "config.json: quantization_config has several groups, and whether '{}' is in the one of '{}' is not known: "
            "the expression is beyond literals, '.', '*' and '+'",
            printable(module), printable(target));
      }
    }
  }
  return by_expression != nullptr ? by_expression : by_class;
}

std::string QuantizationConfig::summary() const {
  std::string text;
  for (const Group& group : groups_) {
    if (text.find(group.scheme.name) == std::string::npos) text += (text.empty() ? "" : "; ") + group.scheme.name;
  }
  return text;
}

}  // namespace duet
