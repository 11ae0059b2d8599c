#include "report/kl.h"

#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "chat/session.h"
#include "report/peer.h"
#include "tests/support.h"

namespace duet {
namespace {

TEST(Divergence, IsThatOfTheDefinition) {
  std::vector<float> p = {0, std::log(3.0f)}, q = {5, 5};
  log_softmax(p), log_softmax(q);
  EXPECT_NEAR(std::exp(p[1]), 0.75, 1e-6);
  DivergenceSum sum;
  sum.add(p, q);
  EXPECT_NEAR(sum.result().mean, 0.25 * std::log(0.25 / 0.5) + 0.75 * std::log(0.75 / 0.5), 1e-6);
  EXPECT_EQ(sum.result().same_top, 0) << "q's first is the likeliest of equals";
  sum.add(p, p);
  const Divergence both = sum.result();
  EXPECT_EQ(both.rows, 2);
  EXPECT_NEAR(both.mean, both.highest / 2, 1e-6);
  EXPECT_EQ(both.same_top, 0.5);
}

/// What llama-perplexity writes for a vocabulary of 3: two chunks of 4 tokens, one row of each.
std::string written() {
  std::string bytes = "_logits_";
  const auto put = [&](auto value) {
    bytes.resize(bytes.size() + sizeof value);
    std::memcpy(bytes.data() + bytes.size() - sizeof value, &value, sizeof value);
  };
  for (const int32_t number : {4, 3, 2}) put(number);
  for (const int32_t id : {0, 1, 2, 0, 2, 1, 0, 1}) put(id);
  for (int row = 0; row < 2; ++row) {
    put(0.5f), put(-8.0f);
    for (const int word : {0, 16, 4 + row, 999}) put(static_cast<uint16_t>(word));
  }
  return bytes;
}

TEST(PeerLogits, AreRead) {
  const std::string bytes = written();
  const PeerLogits logits(memory_source("logits.bin", std::as_bytes(std::span(bytes))), 3);
  EXPECT_EQ(logits.chunks(), 2);
  EXPECT_EQ(logits.rows(), 1);
  EXPECT_EQ(logits.first_row(), 2);
  EXPECT_EQ(logits.tokens(1), (std::vector<TokenId>{TokenId{2}, TokenId{1}, TokenId{0}, TokenId{1}}));
  std::vector<float> row(3);
  logits.read_row(1, 0, row);
  EXPECT_EQ(row, (std::vector<float>{-8, 0, -5.5}));
}

TEST(PeerLogits, WhatDoesNotFitIsRefused) {
  const auto open = [](std::string_view bytes, int64_t vocabulary) {
    return PeerLogits(memory_source("logits.bin", std::as_bytes(std::span(bytes))), vocabulary);
  };
  std::string bytes = written();
  EXPECT_ERROR(open(bytes, 4), ErrorCode::kBadValue, "vocabulary of 3");
  EXPECT_ERROR(open(std::string_view(bytes).substr(0, bytes.size() - 8), 3), ErrorCode::kCountExceedsFile,
               "logits.bin");
  EXPECT_ERROR(open("_logits_", 3), ErrorCode::kTruncated, "logits.bin");
  bytes[0] = 'x';
  EXPECT_ERROR(open(bytes, 3), ErrorCode::kBadMagic, "logits.bin");
}

TEST(Divergence, OfAnEngineFromItselfIsNothing) {
  Session session(test::golden("gguf/llama32-tied.bf16.gguf"), {.threads = 2});
  std::vector<TokenId> tokens(2 * kChunkTokens);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = TokenId{static_cast<int32_t>(i % 50)};
  Engine& engine = session.engine();
  EXPECT_ERROR(engine_divergence(engine, engine, std::span(tokens).first(600), {}, 4, {}), ErrorCode::kBadValue, "600");
  if (engine.context_tokens() < kChunkTokens) GTEST_SKIP() << "a context of " << engine.context_tokens();
  const Divergence found = engine_divergence(engine, engine, tokens, {}, 4, {});
  EXPECT_EQ(found.rows, 2 * 255);
  EXPECT_EQ(found.mean, 0);
  EXPECT_EQ(found.same_top, 1);
}

TEST(Divergence, OfAPeerGoesThroughItsFile) {
  Session session(test::golden("gguf/llama32-tied.bf16.gguf"), {.threads = 2});
  const int64_t vocabulary = session.model().description().spec.vocabulary;
  // A peer that finds every token equally likely: one chunk of 8 tokens, 3 rows.
  std::string bytes = "_logits_";
  const auto put = [&](auto value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); };
  for (const auto number : {int32_t{8}, static_cast<int32_t>(vocabulary), int32_t{1}}) put(number);
  for (int32_t id = 0; id < 8; ++id) put(id);
  for (int row = 0; row < 3; ++row) {
    put(0.0f), put(-std::log(static_cast<float>(vocabulary)));
    for (int64_t i = 0; i < (vocabulary + 1) / 2 * 2; ++i) put(uint16_t{0});
  }
  const auto folder = test::temporary_folder();
  std::ofstream(folder / "made.bin") << bytes;
  std::ofstream(folder / "llama-bench") << "#!/bin/sh\n";
  std::ofstream(folder / "llama-perplexity")
      << "#!/bin/sh\nfor last; do :; done\ncp " << (folder / "made.bin").string() << " \"$last\"\n";
  for (const char* name : {"llama-bench", "llama-perplexity"}) ::chmod((folder / name).c_str(), 0755);
  const Divergence found = peer_divergence(parse_peer("llama.cpp=" + folder.string()), "m.gguf", 2, session.engine(),
                                           vocabulary, {}, {.text = "text"}, {});
  EXPECT_EQ(found.rows, 3);
  std::vector<TokenId> ids;
  for (int32_t id = 0; id < 8; ++id) ids.push_back(TokenId{id});
  double mean = 0;  // of the log of the vocabulary less the entropy
  session.engine().score(ids, [&](int64_t first, int64_t rows, std::span<const float> logits) {
    for (int64_t row = 0; row < rows; ++row) {
      if (first + row < 4 || first + row > 6) continue;
      std::vector<float> values(logits.begin() + row * vocabulary, logits.begin() + (row + 1) * vocabulary);
      log_softmax(values);
      double entropy = 0;
      for (const float v : values) entropy -= std::exp(v) * static_cast<double>(v);
      mean += (std::log(static_cast<double>(vocabulary)) - entropy) / 3;
    }
  });
  EXPECT_NEAR(found.mean, mean, 1e-4);
}

}  // namespace
}  // namespace duet
