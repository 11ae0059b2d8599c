#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"

namespace duet::test {

/// Golden models of every kind, for laws that hold of each.
inline constexpr const char* kLawModels[] = {"text/llama31-gqa-scaled",
                                             "text/qwen2-window",
                                             "text/qwen3-dense",
                                             "gguf_quant/llama/patchwork.gguf",
                                             "gguf_quant/qwen3/q4_k_m.gguf",
                                             "text/qwen3moe",
                                             "text/llama4-scout",
                                             "text/llama4-behemoth-like",
                                             "text/qwen3next",
                                             "gguf/qwen35-dense-vheads.bf16.gguf",
                                             "text/qwen35-moe"};

inline std::string law_model_name(const testing::TestParamInfo<const char*>& tested) {
  std::string name = tested.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

/// Ids without order.
inline std::vector<TokenId> law_prompt(int64_t length, int64_t vocabulary, uint32_t seed) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < length; ++i) {
    seed = seed * 1664525u + 1013904223u;
    ids.push_back(TokenId{static_cast<int32_t>((seed >> 8) % static_cast<uint32_t>(vocabulary))});
  }
  return ids;
}

}  // namespace duet::test
