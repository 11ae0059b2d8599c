#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/runtime.h"
#include "backend/types.h"
#include "base/ids.h"
#include "base/json.h"
#include "engine/engine.h"
#include "formats/checkpoint.h"
#include "model/decoder.h"
#include "model/registry.h"
#include "tests/golden_file.h"

namespace duet::test {

/// A model opened the way that the commands do it, on one backend.
struct TestModel {
  Checkpoint checkpoint;
  ModelDescription description;
  std::shared_ptr<const Decoder> decoder;
};
std::unique_ptr<TestModel> load_model(const std::filesystem::path& path, Runtime& runtime, std::string_view backend,
                                      const DecoderOptions& options = {});

/// [[1, 2], [3]] or the member "prompts" of an object.
std::vector<std::vector<TokenId>> read_prompts(const std::filesystem::path& ids_file);

/// What score() gives for a list of prompts, rows of all prompts concatenated.
struct Scores {
  std::vector<float> logits;               // [T, V]
  std::vector<float> mtp_logits;           // [T, V], where asked for
  std::vector<std::vector<float>> hidden;  // [L + 2][T, C], the last one after the final norm
};
Scores score_all(Engine& engine, const std::vector<std::vector<TokenId>>& prompts, bool with_hidden,
                 bool with_mtp = false);

/// `count` greedy tokens after a prompt, end tokens ignored.
std::vector<TokenId> greedy(Engine& engine, const std::vector<TokenId>& prompt, int64_t count);

/// Holds greedy answers to `ids`, a row for each prompt, up to the first margin that a logit error of `bound` could
/// turn. Returns how many ids that were.
size_t expect_greedy(Engine& engine, const std::vector<std::vector<TokenId>>& prompts, std::span<const int64_t> ids,
                     std::span<const float> margins, double bound);

/// Holds a model of quantised weights to the logits of the places that `info` (an ids.json) lists as logit_rows, within
/// 1.5e-4 of the largest (golden/gguf_quant/README.md), and to the greedy ids as above.
size_t expect_selected_logits(Engine& engine, int64_t vocabulary, const std::vector<std::vector<TokenId>>& prompts,
                              const Json& info, const GoldenFile& expect);

/// How many leading steps of a golden greedy text decide: up to the first margin that is not above `least_margin`.
size_t decided_steps(std::span<const float> margins, double least_margin);

}  // namespace duet::test
