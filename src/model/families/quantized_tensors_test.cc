// One layer in every form, made of zeros, with one thing wrong in its tensors.
#include "model/families/quantized_tensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "formats/safetensors_writer.h"
#include "model/quantized_rows.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRows = 160, kCols = 256;

struct Part {
  std::string name;
  DType dtype;
  Shape shape;
  std::string data;  // empty = zeros
};
using Parts = std::vector<Part>;

template <typename T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string out(values.size() * sizeof(T), '\0');
  std::memcpy(out.data(), std::data(values), out.size());
  return out;
}

std::string nf4_state(const std::string& more) {
  return R"({"quant_type": "nf4", "blocksize": 64, "shape": [160, 256])" + more + "}";
}

Part state(const std::string& json) {
  return {"proj.weight.quant_state.bitsandbytes__nf4", DType::kU8, {static_cast<int64_t>(json.size())}, json};
}

/// The tensors of a layer [160, 256] as golden/weight_formats/README.md lists them.
Parts parts_of(const std::string& format) {
  if (format == "fp8_block") {
    return {{"proj.weight", DType::kF8E4M3, {160, 256}, {}}, {"proj.weight_scale_inv", DType::kBF16, {2, 2}, {}}};
  }
  if (format == "ct_int8") {
    return {{"proj.weight", DType::kI8, {160, 256}, {}}, {"proj.weight_scale", DType::kBF16, {160, 1}, {}}};
  }
  if (format == "ct_int4_asym") {
    return {{"proj.weight_packed", DType::kI32, {160, 32}, {}},
            {"proj.weight_scale", DType::kBF16, {160, 2}, {}},
            {"proj.weight_zero_point", DType::kI32, {20, 2}, {}},
            {"proj.weight_shape", DType::kI64, {2}, bytes_of<int64_t>({160, 256})}};
  }
  if (format == "ct_mxfp4" || format == "ct_nvfp4") {
    const bool mx = format == "ct_mxfp4";
    Parts parts = {{"proj.weight_packed", DType::kU8, {160, 128}, {}},
                   {"proj.weight_scale", mx ? DType::kU8 : DType::kF8E4M3, {160, mx ? 8 : 16}, {}}};
    if (!mx) parts.push_back({"proj.weight_global_scale", DType::kF32, {1}, bytes_of<float>({2})});
    return parts;
  }
  if (format == "awq") {
    return {{"proj.qweight", DType::kI32, {256, 20}, {}},
            {"proj.qzeros", DType::kI32, {2, 20}, {}},
            {"proj.scales", DType::kF16, {2, 160}, {}}};
  }
  if (format == "gptq4_act") {
    return {{"proj.qweight", DType::kI32, {32, 160}, {}},
            {"proj.qzeros", DType::kI32, {2, 20}, {}},
            {"proj.scales", DType::kF16, {2, 160}, {}},
            {"proj.g_idx", DType::kI32, {256}, {}}};
  }
  if (format == "mxfp4") {
    return {{"proj.weight_blocks", DType::kU8, {160, 8, 16}, {}}, {"proj.weight_scales", DType::kU8, {160, 8}, {}}};
  }
  Parts parts = {{"proj.weight", DType::kU8, {20480, 1}, {}}, {"proj.weight.quant_map", DType::kF32, {16}, {}}};
  if (format == "nf4") {
    parts.push_back({"proj.weight.absmax", DType::kF32, {640}, {}});
    parts.push_back(state(nf4_state("")));
  } else {
    parts.push_back({"proj.weight.absmax", DType::kU8, {640}, {}});
    parts.push_back({"proj.weight.nested_absmax", DType::kF32, {3}, {}});
    parts.push_back({"proj.weight.nested_quant_map", DType::kF32, {256}, {}});
    parts.push_back(state(nf4_state(R"(, "nested_blocksize": 256, "nested_offset": 0.25)")));
  }
  return parts;
}

constexpr const char* kFormats[] = {"fp8_block", "ct_int8",   "ct_int4_asym", "ct_mxfp4", "ct_nvfp4",
                                    "awq",       "gptq4_act", "mxfp4",        "nf4",      "nf4_double"};

/// Opens the layer, finds its tensors, reads what is held and decodes a row.
void load(const std::string& format, const Parts& parts, const fs::path& config = {},
          const std::string& name = "proj.weight") {
  const fs::path folder = temporary_folder();
  const fs::path given = golden("weight_formats/" + format + "/linear/config.json");
  fs::copy(config.empty() ? given : config, folder / "config.json");
  std::vector<SafetensorsWriter::Declared> declared;
  for (const Part& part : parts) declared.push_back({part.name, part.dtype, part.shape});
  SafetensorsWriter writer(folder / "model.safetensors", declared);
  for (size_t i = 0; i < parts.size(); ++i) {
    std::string data = parts[i].data;
    data.resize(static_cast<size_t>(row_bytes(dtype_info(parts[i].dtype), parts[i].shape.elements())), '\0');
    writer.append(i, std::as_bytes(std::span(data)));
  }
  writer.finish();
  const Checkpoint checkpoint = Checkpoint::open(folder, {.config = true, .weights = true});
  std::vector<std::string> warnings;
  const auto read = QuantizationConfig::read(checkpoint, warnings);
  std::unordered_set<std::string> taken;
  const auto source = QuantizedTensors(checkpoint, *read, taken).find(name, {kRows, kCols});
  if (source == nullptr) fail(ErrorCode::kNotFound, "plain");
  const QuantizedRows rows(checkpoint, *source);
  std::vector<float> row(static_cast<size_t>(kCols));
  rows.decode(kRows - 1, 1, row);
  std::vector<std::byte> packed(static_cast<size_t>(rows.row_bytes()));
  rows.read(kRows - 1, 1, packed);
}

Part& part(Parts& parts, const std::string& name) {
  const auto found = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.name == "proj." + name; });
  if (found == parts.end()) throw std::logic_error("no part " + name);
  return *found;
}

TEST(QuantizedTensors, EveryPartIsNeededInItsTypeAndShape) {
  for (const char* const format : kFormats) {
    SCOPED_TRACE(format);
    const Parts whole = parts_of(format);
    load(format, whole);
    for (size_t i = 0; i < whole.size(); ++i) {
      SCOPED_TRACE(whole[i].name);
      Parts parts = whole;
      parts.erase(parts.begin() + static_cast<int64_t>(i));
      EXPECT_ERROR(load(format, parts), ErrorCode::kMissingTensor, whole[i].name);
      if (whole[i].name.ends_with("__nf4")) continue;  // any length; its text is judged below
      parts = whole;
      parts[i].dtype = DType::kF64, parts[i].data.clear();
      EXPECT_ERROR(load(format, parts), ErrorCode::kBadDtype, whole[i].name);
      for (const int64_t more : {-1, 1}) {
        parts = whole;
        Shape shape;
        for (int d = 0; d < whole[i].shape.rank(); ++d) shape.push_back(whole[i].shape[d] + (d == 0 ? more : 0));
        if (shape.elements() == 0) continue;
        parts[i].shape = shape, parts[i].data.clear();
        EXPECT_ERROR(load(format, parts), ErrorCode::kShapeMismatch, whole[i].name);
      }
    }
  }
}

TEST(QuantizedTensors, ValuesOutOfRangeAreErrors) {
  const auto with = [](const std::string& format, const std::string& name, const std::string& data) {
    Parts parts = parts_of(format);
    part(parts, name).data = data;
    return parts;
  };
  EXPECT_ERROR(load("gptq4_act", with("gptq4_act", "g_idx", bytes_of<int32_t>({0, 1, 2}))), ErrorCode::kBadValue,
               "proj.g_idx");
  EXPECT_ERROR(load("gptq4_act", with("gptq4_act", "g_idx", bytes_of<int32_t>({0, -1}))), ErrorCode::kBadValue,
               "proj.g_idx");
  EXPECT_ERROR(load("ct_int4_asym", with("ct_int4_asym", "weight_shape", bytes_of<int64_t>({256, 160}))),
               ErrorCode::kShapeMismatch, "proj.weight_shape");
  EXPECT_ERROR(load("ct_nvfp4", with("ct_nvfp4", "weight_global_scale", bytes_of<float>({0}))), ErrorCode::kBadValue,
               "proj.weight_global_scale");
  EXPECT_ERROR(load("ct_mxfp4", with("ct_mxfp4", "weight_scale", "\xff")), ErrorCode::kBadValue, "proj.weight_scale");
  EXPECT_ERROR(load("awq", with("awq", "scales", bytes_of<uint16_t>({0, 0x7c00}))), ErrorCode::kBadValue,
               "proj.scales");
}

TEST(QuantizedTensors, ACodeThatIsNoNumberIsAnError) {
  Parts parts = {{"proj.weight", DType::kF8E4M3, {kRows, kCols}, {}},
                 {"proj.weight_scale", DType::kF32, {1}, bytes_of<float>({0.5F})}};
  std::string& codes = part(parts, "weight").data;
  codes.resize(static_cast<size_t>(kRows * kCols), '\0');
  codes.back() = '\x7f';
  EXPECT_ERROR(load("ct_fp8_tensor", parts), ErrorCode::kBadValue, "[159,255]");
  codes.back() = '\x7e';
  EXPECT_NO_THROW(load("ct_fp8_tensor", parts));
}

TEST(QuantizedTensors, AQuantStateIsJudgedFieldByField) {
  const std::string name = "quant_state";
  const auto with = [](const std::string& format, const std::string& json) {
    Parts parts = parts_of(format);
    part(parts, "weight.quant_state.bitsandbytes__nf4") = state(json);
    return parts;
  };
  EXPECT_ERROR(load("nf4", with("nf4", "{\"quant_type\": ")), ErrorCode::kBadJson, name);
  EXPECT_ERROR(load("nf4", with("nf4", "[1]")), ErrorCode::kBadJson, name);
  EXPECT_ERROR(load("nf4", with("nf4", "{}")), ErrorCode::kUnsupportedFeature, "quant_type");
  EXPECT_ERROR(load("nf4", with("nf4", std::string(70000, ' ') + "{}")), ErrorCode::kTooLarge, name);
  EXPECT_ERROR(load("nf4", with("nf4", R"({"quant_type": "nf4", "shape": [160, 256]})")), ErrorCode::kMissingKey,
               "blocksize");
  EXPECT_ERROR(load("nf4", with("nf4", R"({"quant_type": "nf4", "blocksize": 0, "shape": [160, 256]})")),
               ErrorCode::kBadValue, "blocksize");
  EXPECT_ERROR(load("nf4", with("nf4", R"({"quant_type": "nf4", "blocksize": 128, "shape": [160, 256]})")),
               ErrorCode::kShapeMismatch, "absmax");
  EXPECT_ERROR(load("nf4", with("nf4", R"({"quant_type": "nf4", "blocksize": 64, "shape": [256, 160]})")),
               ErrorCode::kShapeMismatch, name);
  const std::string nested = "nf4_double";
  EXPECT_ERROR(load(nested, with(nested, nf4_state(R"(, "nested_offset": 0.25)"))), ErrorCode::kMissingKey,
               "nested_blocksize");
  EXPECT_ERROR(load(nested, with(nested, nf4_state(R"(, "nested_blocksize": 64, "nested_offset": 0.25)"))),
               ErrorCode::kShapeMismatch, "nested_absmax");
  EXPECT_ERROR(load(nested, with(nested, nf4_state(R"(, "nested_blocksize": 256)"))), ErrorCode::kMissingKey,
               "nested_offset");
  EXPECT_ERROR(load(nested, with(nested, nf4_state(R"(, "nested_blocksize": 256, "nested_offset": "x")"))),
               ErrorCode::kBadType, "nested_offset");
  EXPECT_ERROR(load(nested, with(nested, nf4_state(R"(, "nested_blocksize": 256, "nested_offset": 1e300)"))),
               ErrorCode::kBadValue, "nested_offset");
}

TEST(QuantizedTensors, FileAndConfigurationMustAgree) {
  const fs::path folder = temporary_folder();
  const std::string text = read_text_file(golden("weight_formats/ct_int8/linear/config.json"), 1 << 20);
  const fs::path ignoring = folder / "config.json";
  std::ofstream(ignoring) << std::string(text).replace(text.find("\"lm_head\""), 9, "\"proj\"");
  const Parts plain = {{"proj.weight", DType::kBF16, {160, 256}, {}}};
  EXPECT_ERROR(load("ct_int8", plain), ErrorCode::kBadValue, "proj.weight");
  EXPECT_ERROR(load("ct_int8", parts_of("ct_int8"), ignoring), ErrorCode::kBadValue, "proj.weight");
  EXPECT_ERROR(load("ct_int8", plain, ignoring), ErrorCode::kNotFound, "plain");
  EXPECT_ERROR(load("ct_int8", parts_of("awq")), ErrorCode::kMissingTensor, "proj.weight");
}

TEST(QuantizedTensors, ExpertsInOneTensorAreRefusedByName) {
  EXPECT_ERROR(load("mxfp4", {{"experts.down_proj_blocks", DType::kU8, {2, 160, 8, 16}, {}}}, {}, "experts.down_proj"),
               ErrorCode::kUnsupportedFeature, "experts.down_proj_blocks");
}

}  // namespace
}  // namespace duet::test
