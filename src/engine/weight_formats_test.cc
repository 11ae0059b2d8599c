// Tiny models in every quantised form of Hugging Face checkpoints (golden/weight_formats) against logits of the decoded
// weights in float64; bounds as its README derives them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "backend/backend.h"
#include "formats/safetensors_writer.h"
#include "model/footprint.h"
#include "tests/compare.h"
#include "tests/golden_file.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormats[] = {
    "fp8_block", "ct_fp8_tensor", "ct_fp8_channel", "ct_int8",   "ct_int4", "ct_int4_asym", "ct_mxfp4",
    "ct_nvfp4",  "awq",           "gptq4",          "gptq4_act", "gptq8",   "nf4",          "nf4_double"};

class WeightFormats : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(WeightFormats, LogitsAndGreedyIds) {
  DUET_SKIP_WITHOUT_ASSETS("golden/weight_formats");
  const fs::path folder = assets("golden/weight_formats") / std::get<0>(GetParam()) / "model";
  const auto prompts = read_prompts(folder / "ids.json");
  const Json info = parse_json(read_text_file(folder / "ids.json", 1 << 20), "ids.json");
  const GoldenFile expect(folder / "expect.safetensors");
  Runtime runtime(2);
  const auto model = load_model(folder, runtime, std::get<1>(GetParam()));
  EXPECT_EQ(model->description.warnings, std::vector<std::string>{});
  EXPECT_EQ(weight_parts(model->description, false).total(), model->decoder->weight_bytes());  // planned to the byte
  Engine engine(model->decoder);
  const size_t compared = expect_selected_logits(engine, model->decoder->spec().vocabulary, prompts, info, expect);
  EXPECT_GT(compared, expect.i32("greedy_ids").size() / 2);
}

INSTANTIATE_TEST_SUITE_P(Cases, WeightFormats,
                         testing::Combine(testing::ValuesIn(kFormats), testing::Values("ref", "deferred", "cpu")),
                         [](const auto& tested) {
                           return std::string(std::get<0>(tested.param)) + "_" + std::get<1>(tested.param);
                         });

/// A matrix of a layer, but for the ends: what compressed-tensors quantises.
bool is_quantised(const TensorEntry& entry) {
  return entry.shape.rank() == 2 && entry.name.ends_with(".weight") &&
         entry.name.find("embed_tokens") == std::string::npos && entry.name.find("lm_head") == std::string::npos;
}

/// The model `from` with its matrices as codes of 8 bits and a scale a row, or as the float32 numbers which these mean.
/// Every third matrix has scales that are no float16 numbers, so experts of one layer differ in what can hold them.
/// Matrices whose names hold `plain` stay as they are; `ignore` is what the configuration says about that.
void write_int8(const fs::path& from, const fs::path& to, bool as_codes, const std::string& plain = "none",
                const Json::Array& ignore = {}) {
  const Checkpoint checkpoint = Checkpoint::open(from, {.config = true, .weights = true});
  std::vector<SafetensorsWriter::Declared> declared;
  std::vector<std::vector<std::byte>> data;
  const auto add = [&](const std::string& name, DType dtype, const Shape& shape, std::span<const std::byte> bytes) {
    declared.push_back({name, dtype, shape});
    data.emplace_back(bytes.begin(), bytes.end());
  };
  size_t matrices = 0;
  for (const TensorEntry& entry : checkpoint.tensors()) {
    std::vector<std::byte> raw(entry.bytes);
    checkpoint.read(entry, 0, raw);
    if (!is_quantised(entry) || entry.name.find(plain) != std::string::npos) {
      add(entry.name, entry.dtype, entry.shape, raw);
      continue;
    }
    const auto rows = static_cast<size_t>(entry.shape[0]), cols = static_cast<size_t>(entry.shape[1]);
    std::vector<float> values(rows * cols), scales(rows);
    dequantize(entry.dtype, raw.data(), static_cast<int64_t>(values.size()), values.data());
    std::vector<int8_t> codes(values.size());
    const bool odd = ++matrices % 3 == 0;
    for (size_t r = 0; r < rows; ++r) {
      float largest = 1e-6F;
      for (size_t i = r * cols; i < (r + 1) * cols; ++i) largest = std::max(largest, std::abs(values[i]));
      scales[r] = f16_to_f32(f32_to_f16(largest / 120)) * (odd ? 1.0001F : 1.0F);
      for (size_t i = r * cols; i < (r + 1) * cols; ++i) {
        codes[i] = static_cast<int8_t>(std::clamp(std::round(values[i] / scales[r]), -128.0F, 127.0F));
        values[i] = static_cast<float>(codes[i]) * scales[r];
      }
    }
    if (as_codes) {
      add(entry.name, DType::kI8, entry.shape, std::as_bytes(std::span(codes)));
      add(entry.name + "_scale", DType::kF32, {entry.shape[0], 1}, std::as_bytes(std::span(scales)));
    } else {
      add(entry.name, DType::kF32, entry.shape, std::as_bytes(std::span(values)));
    }
  }
  fs::create_directories(to);
  SafetensorsWriter writer(to / "model.safetensors", declared);
  for (size_t i = 0; i < data.size(); ++i) writer.append(i, data[i]);
  writer.finish();
  Json config = *checkpoint.config();
  if (as_codes) {
    Json quantization = parse_json(R"({"quant_method": "compressed-tensors",
      "format": "int-quantized", "config_groups": {"a": {"targets": ["Linear"],
      "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": true}}}})",
                                   "test");
    quantization.object().emplace_back("ignore", ignore);
    config.object().emplace_back("quantization_config", std::move(quantization));
  }
  std::ofstream(to / "config.json") << config.dump();
}

class QuantisedFamilies : public testing::TestWithParam<const char*> {};

/// Runs of rows, parts, pairs and single experts are those of the matrix, whatever it is stored in.
TEST_P(QuantisedFamilies, ComputeWhatTheirDecodedWeightsDo) {
  const fs::path from = golden(std::string("text/") + GetParam()), folder = temporary_folder();
  write_int8(from, folder / "codes", true);
  write_int8(from, folder / "floats", false);
  const auto prompts = read_prompts(from / "ids.json");
  std::vector<float> logits[2];
  for (const bool codes : {false, true}) {
    Runtime runtime(2);
    const auto model = load_model(folder / (codes ? "codes" : "floats"), runtime, "cpu");
    Engine engine(model->decoder);
    logits[codes ? 1 : 0] = score_all(engine, prompts, false).logits;
  }
  double largest = 0;
  for (const float v : logits[0]) largest = std::max(largest, std::abs(static_cast<double>(v)));
  EXPECT_TRUE(all_close(logits[1], logits[0], 1.5e-4 * largest));
}

INSTANTIATE_TEST_SUITE_P(Families, QuantisedFamilies,
                         testing::Values("llama-bias", "qwen2-bias", "qwen3-dense", "qwen3moe", "llama4-scout",
                                         "qwen3next", "qwen35-moe"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// The E4M3 code of the nearest number.
uint8_t e4m3_code(float value) {
  static const std::vector<float> kNumbers = [] {
    std::vector<float> numbers(127);
    for (size_t c = 0; c < numbers.size(); ++c) {
      const auto code = static_cast<uint8_t>(c);
      dequantize(DType::kF8E4M3, reinterpret_cast<const std::byte*>(&code), 1, &numbers[c]);
    }
    return numbers;
  }();
  const float size = std::abs(value);
  auto at = std::lower_bound(kNumbers.begin(), kNumbers.end(), size);
  if (at == kNumbers.end() || (at != kNumbers.begin() && size - at[-1] < *at - size)) --at;
  return static_cast<uint8_t>((at - kNumbers.begin()) | (value < 0 ? 0x80 : 0));
}

/// Tensors of a checkpoint as it grows.
struct Tensors {
  std::vector<SafetensorsWriter::Declared> declared;
  std::vector<std::vector<std::byte>> data;
  void add(const std::string& name, DType dtype, const Shape& shape, std::span<const std::byte> bytes) {
    declared.push_back({name, dtype, shape});
    data.emplace_back(bytes.begin(), bytes.end());
  }
  /// Matrices [.., rows, cols], with codes and a scale for each block of 128 x 128 or as the numbers that these mean.
  void add_fp8(const std::string& name, const std::string& scale_name, const Shape& shape, std::vector<float> values,
               bool as_codes) {
    const size_t rank = static_cast<size_t>(shape.rank());
    const int64_t rows = shape[rank - 2], cols = shape[rank - 1], count = shape.elements() / (rows * cols);
    const int64_t down = (rows + 127) / 128, across = (cols + 127) / 128;
    std::vector<uint16_t> scales(static_cast<size_t>(count * down * across));
    std::vector<uint8_t> codes(values.size());
    for (size_t b = 0; b < scales.size(); ++b) {
      const auto block = static_cast<int64_t>(b), matrix = block / (down * across);
      const int64_t top = block / across % down * 128, left = block % across * 128;
      const auto each = [&](const auto& body) {
        for (int64_t r = top; r < std::min(rows, top + 128); ++r) {
          for (int64_t c = left; c < std::min(cols, left + 128); ++c) {
            body(static_cast<size_t>((matrix * rows + r) * cols + c));
          }
        }
      };
      float largest = 1e-6F;
      each([&](size_t at) { largest = std::max(largest, std::abs(values[at])); });
      scales[b] = f32_to_bf16(largest / 440);
      const float scale = bf16_to_f32(scales[b]);
      each([&](size_t at) {
        codes[at] = e4m3_code(values[at] / scale);
        float number = 0;
        dequantize(DType::kF8E4M3, reinterpret_cast<const std::byte*>(&codes[at]), 1, &number);
        values[at] = number * scale;
      });
    }
    if (!as_codes) return add(name, DType::kF32, shape, std::as_bytes(std::span(values)));
    add(name, DType::kF8E4M3, shape, std::as_bytes(std::span(codes)));
    const Shape blocks = rank == 3 ? Shape{count, down, across} : Shape{down, across};
    add(scale_name, DType::kBF16, blocks, std::as_bytes(std::span(scales)));
  }
};

std::vector<float> part_of(const std::vector<float>& values, int64_t first, int64_t rows, int64_t cols) {
  const auto begin = values.begin() + first * cols;
  return {begin, begin + rows * cols};
}

/// The model `from` in FP8. Experts that it has in one tensor are written as they are, or one by one as the tools that
/// quantise have them, whichever way round the tensor is.
void write_fp8(const fs::path& from, const fs::path& to, bool as_codes, bool one_by_one) {
  const Checkpoint checkpoint = Checkpoint::open(from, {.config = true, .weights = true});
  Tensors tensors;
  for (const TensorEntry& entry : checkpoint.tensors()) {
    std::vector<std::byte> raw(entry.bytes);
    checkpoint.read(entry, 0, raw);
    std::vector<float> values(static_cast<size_t>(entry.shape.elements()));
    dequantize(entry.dtype, raw.data(), entry.shape.elements(), values.data());
    const auto has = [&](std::string_view text) { return entry.name.find(text) != std::string::npos; };
    const size_t experts = entry.name.find("experts.");
    const bool routes = has(".gate.") || has("router") || has("expert_gate") || has("in_proj_a") || has("in_proj_b");
    if (entry.shape.rank() == 3 && experts != std::string::npos && !one_by_one) {
      tensors.add_fp8(entry.name, entry.name + "_scale_inv", entry.shape, values, as_codes);
    } else if (entry.shape.rank() == 3 && experts != std::string::npos) {
      const bool transposed = has("feed_forward"), pair = has("gate_up_proj");
      const int64_t rows = entry.shape[transposed ? 2 : 1], cols = entry.shape[transposed ? 1 : 2];
      for (int64_t e = 0; e < entry.shape[0]; ++e) {
        std::vector<float> matrix = part_of(values, e * rows, rows, cols);
        for (int64_t r = 0; r < rows && transposed; ++r) {
          for (int64_t c = 0; c < cols; ++c) {
            matrix[static_cast<size_t>(r * cols + c)] = values[static_cast<size_t>((e * cols + c) * rows + r)];
          }
        }
        const std::string expert = fmt::format("{}{}.", entry.name.substr(0, experts + 8), e);
        const auto add = [&](const std::string& part, int64_t first, int64_t count) {
          tensors.add_fp8(expert + part + ".weight", expert + part + ".weight_scale_inv", {count, cols},
                          part_of(matrix, first, count, cols), as_codes);
        };
        if (pair) {
          add("gate_proj", 0, rows / 2);
          add("up_proj", rows / 2, rows / 2);
        } else {
          add("down_proj", 0, rows);
        }
      }
    } else if (is_quantised(entry) && !routes) {
      tensors.add_fp8(entry.name, entry.name + "_scale_inv", entry.shape, values, as_codes);
    } else {
      tensors.add(entry.name, entry.dtype, entry.shape, raw);
    }
  }
  fs::create_directories(to);
  SafetensorsWriter writer(to / "model.safetensors", tensors.declared);
  for (size_t i = 0; i < tensors.data.size(); ++i) writer.append(i, tensors.data[i]);
  writer.finish();
  Json config = *checkpoint.config();
  if (as_codes) {
    config.object().emplace_back("quantization_config", parse_json(R"({"quant_method": "fp8", "fmt": "e4m3",
      "activation_scheme": "dynamic", "weight_block_size": [128, 128]})",
                                                                   "test"));
  }
  std::ofstream(to / "config.json") << config.dump();
}

class QuantisedExperts : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(QuantisedExperts, ComputeWhatTheirDecodedWeightsDo) {
  const auto& [name, one_by_one] = GetParam();
  const fs::path from = golden(std::string("text/") + name), folder = temporary_folder();
  write_fp8(from, folder / "codes", true, one_by_one);
  write_fp8(from, folder / "floats", false, one_by_one);
  const auto prompts = read_prompts(from / "ids.json");
  std::vector<float> logits[2];
  for (const bool codes : {false, true}) {
    Runtime runtime(2);
    const auto model = load_model(folder / (codes ? "codes" : "floats"), runtime, "cpu");
    EXPECT_EQ(weight_parts(model->description, false).total(), model->decoder->weight_bytes());
    Engine engine(model->decoder);
    logits[codes ? 1 : 0] = score_all(engine, prompts, false).logits;
  }
  EXPECT_TRUE(same_bits(logits[1], logits[0]));
}

INSTANTIATE_TEST_SUITE_P(Families, QuantisedExperts,
                         testing::Values(std::tuple{"qwen3moe", true}, std::tuple{"qwen3next", true},
                                         std::tuple{"qwen35-moe", true}, std::tuple{"qwen35-moe", false},
                                         std::tuple{"llama4-scout", true}, std::tuple{"llama4-maverick", true}),
                         [](const auto& tested) {
                           std::string tag = std::get<0>(tested.param);
                           std::replace(tag.begin(), tag.end(), '-', '_');
                           return tag + (std::get<1>(tested.param) ? "_one_by_one" : "_in_one_tensor");
                         });

TEST(WeightFormatsMixed, LayersThatTheConfigurationExcludesStayPlain) {
  const fs::path from = golden("text/qwen3-dense"), folder = temporary_folder();
  const auto describe = [&](const std::string& name, const Json::Array& ignore) {
    write_int8(from, folder / name, true, "k_proj", ignore);
    const Checkpoint checkpoint = Checkpoint::open(folder / name, {.config = true, .weights = true});
    return describe_model(checkpoint).find("model.layers.0.self_attn.k_proj.weight")->quantized != nullptr;
  };
  EXPECT_FALSE(describe("listed", {"re:.*k_proj"}));
  EXPECT_ERROR(describe("unlisted", {}), ErrorCode::kBadValue, "model.layers.0.self_attn.k_proj.weight");
  EXPECT_ERROR(describe("contrary", {"re:.*k_proj", "model.layers.0.self_attn.q_proj"}), ErrorCode::kBadValue,
               "model.layers.0.self_attn.q_proj.weight");
  Runtime runtime(2);
  EXPECT_NO_THROW(load_model(folder / "listed", runtime, "cpu"));
}

TEST(WeightFormatsMixed, BiasesOfEarlyGptqToolsMustBeZero) {
  DUET_SKIP_WITHOUT_ASSETS("golden/weight_formats");
  const fs::path from = assets("golden/weight_formats") / "gptq4_act/model";
  const Checkpoint whole = Checkpoint::open(from, {.config = true, .weights = true});
  const auto describe_with = [&](float last) {
    const fs::path folder = temporary_folder();
    fs::copy(from / "config.json", folder / "config.json");
    std::vector<SafetensorsWriter::Declared> declared;
    for (const TensorEntry& entry : whole.tensors()) declared.push_back({entry.name, entry.dtype, entry.shape});
    declared.push_back({"model.layers.1.mlp.down_proj.bias", DType::kF32, {128}});
    SafetensorsWriter writer(folder / "model.safetensors", declared);
    for (size_t i = 0; i < whole.tensors().size(); ++i) {
      std::vector<std::byte> raw(whole.tensors()[i].bytes);
      whole.read(whole.tensors()[i], 0, raw);
      writer.append(i, raw);
    }
    std::vector<float> bias(128);
    bias.back() = last;
    writer.append(declared.size() - 1, std::as_bytes(std::span(bias)));
    writer.finish();
    describe_model(Checkpoint::open(folder, {.config = true, .weights = true}));
  };
  EXPECT_NO_THROW(describe_with(0));
  EXPECT_ERROR(describe_with(0.5F), ErrorCode::kUnexpectedTensor, "down_proj.bias");
}

}  // namespace
}  // namespace duet::test
