// One model in the several forms that GGUF files give it: the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/compare.h"
#include "tests/gguf_edit.h"
#include "tests/law_models.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

fs::path written(const GgufBytes& file) {
  const fs::path path = temporary_folder() / "model.gguf";
  std::ofstream(path, std::ios::binary) << file.build();
  return path;
}

Scores scores_of(const fs::path& path) {
  Runtime runtime(2);
  const auto model = load_model(path, runtime, "cpu", {.mtp = true});
  Engine engine(model->decoder);
  return score_all(engine, {law_prompt(21, model->decoder->spec().vocabulary, 3)}, false, model->decoder->has_mtp());
}

/// Replaces the tensors `names`, if they are there and of one type, by one with the rows of all (expert by expert).
bool fuse(GgufBytes& file, const std::vector<std::string>& names, const std::string& fused) {
  std::vector<size_t> at;
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    if (std::find(names.begin(), names.end(), file.tensors[i].name) != names.end()) at.push_back(i);
  }
  if (at.size() != names.size()) return false;
  GgufBytes::Tensor out = file.tensors[at[0]];
  out.name = fused;
  std::vector<const GgufBytes::Tensor*> sources;
  for (const std::string& name : names) {
    sources.push_back(
        &*std::find_if(file.tensors.begin(), file.tensors.end(), [&](const auto& t) { return t.name == name; }));
  }
  const size_t row_dim = out.dims.size() == 1 ? 0 : 1;
  const uint64_t parts = out.dims.size() == 3 ? out.dims[2] : 1;
  out.dims[row_dim] = 0;
  out.data.clear();
  for (const auto* source : sources) {
    if (source->type != out.type) return false;
    out.dims[row_dim] += source->dims[row_dim];
  }
  for (uint64_t part = 0; part < parts; ++part) {
    for (const auto* source : sources) {
      const size_t bytes = source->data.size() / parts;
      out.data += source->data.substr(part * bytes, bytes);
    }
  }
  for (size_t i = at.size(); i-- > 0;) file.tensors.erase(file.tensors.begin() + static_cast<std::ptrdiff_t>(at[i]));
  file.tensors.push_back(std::move(out));
  return true;
}

class FusedGguf : public testing::TestWithParam<const char*> {};

/// Options of llama.cpp's converter write q, k and v as attn_qkv, and the gate and up matrices of experts as one.
TEST_P(FusedGguf, EqualsTheSeparateTensors) {
  const fs::path path = golden(GetParam());
  GgufBytes file = take_apart(path);
  EXPECT_EQ(file.build().size(), fs::file_size(path));
  size_t fused = 0;
  for (int block = 0; block < 10; ++block) {
    const std::string p = "blk." + std::to_string(block) + ".";
    fused += fuse(file, {p + "attn_q.weight", p + "attn_k.weight", p + "attn_v.weight"}, p + "attn_qkv.weight");
    if (block % 2 == 0) fuse(file, {p + "attn_q.bias", p + "attn_k.bias", p + "attn_v.bias"}, p + "attn_qkv.bias");
    fused += fuse(file, {p + "ffn_gate_exps.weight", p + "ffn_up_exps.weight"}, p + "ffn_gate_up_exps.weight");
  }
  EXPECT_GT(fused, 0u);
  const Scores separate = scores_of(path), together = scores_of(written(file));
  EXPECT_TRUE(same_bits(together.logits, separate.logits));
  EXPECT_TRUE(same_bits(together.mtp_logits, separate.mtp_logits));
}

INSTANTIATE_TEST_SUITE_P(Models, FusedGguf,
                         testing::Values("gguf/llama-bias.bf16.gguf", "gguf/llama-f16.f16.gguf",
                                         "gguf/qwen2-bias.bf16.gguf", "gguf/qwen3moe.bf16.gguf",
                                         "gguf/qwen3next.bf16.gguf", "gguf/qwen35-moe.bf16.gguf",
                                         "gguf/llama4-maverick.bf16.gguf", "gguf_quant/qwen3/q4_k_m.gguf"),
                         law_model_name);

/// Newer files list the recurrent layers, those of the MTP head behind them; the list goes before the interval.
TEST(RecurrentLayers, OfAGgufFileGoBeforeTheInterval) {
  const fs::path path = golden("gguf/qwen35-dense-vheads.bf16.gguf");  // eight layers, every fourth of attention
  const std::string key = "qwen35.attention.recurrent_layers";
  GgufBytes file = take_apart(path);
  const std::string interval = gguf_string("qwen35.full_attention_interval") + le<uint32_t>(4);
  const size_t at = file.pairs.front().find(interval + le<uint32_t>(4));
  ASSERT_NE(at, std::string::npos);
  file.pairs.front().replace(at, interval.size() + 4, interval + le<uint32_t>(3));
  EXPECT_ERROR(scores_of(written(file)), ErrorCode::kShapeMismatch, "blk.2.attn_qkv");

  const auto listed = [&](const std::string& flags) {
    GgufBytes changed = file;
    return written(changed.array(key, 7, flags.size(), flags));
  };
  const std::string flags("\1\1\1\0\1\1\1\0\0", 9);
  EXPECT_TRUE(same_bits(scores_of(listed(flags)).logits, scores_of(path).logits));
  EXPECT_ERROR(scores_of(listed(flags.substr(0, 8))), ErrorCode::kBadValue, key);
  EXPECT_ERROR(scores_of(listed(flags.substr(0, 8) + '\1')), ErrorCode::kBadValue, key + "[8]");
  GgufBytes numbers = file;
  EXPECT_ERROR(scores_of(written(numbers.array(key, 0, 9, flags))), ErrorCode::kBadType, key + "[0]");
}

/// Converters write 0 for what a configuration does not have.
TEST(Mixtures, OfAGgufFileMaySayThatDenseLayersHaveNoColumns) {
  const fs::path path = golden("gguf/qwen35-moe.bf16.gguf");
  GgufBytes file = take_apart(path);
  EXPECT_TRUE(
      same_bits(scores_of(written(file.i32("qwen35moe.feed_forward_length", 0))).logits, scores_of(path).logits));
}

}  // namespace
}  // namespace duet::test
