#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/ids.h"
#include "base/progress.h"

namespace duet {

class Engine;
struct Peer;

/// How far the next-token probabilities of something lie from a reference's: KL(reference || it) in nats over the whole
/// vocabulary, over the rows of the second halves of chunks of a text.
struct Divergence {
  int64_t rows = 0;
  double mean = 0, percentile_99 = 0, highest = 0;
  double same_top = 0;  // share of the rows whose likeliest token is the reference's
};

/// Collects rows.
class DivergenceSum {
 public:
  ///   log_p (reference), log_q [V]: natural logarithms of probabilities
  void add(std::span<const float> log_p, std::span<const float> log_q);
  Divergence result() const;

 private:
  std::vector<double> values_;
  int64_t same_top_ = 0;
};

/// Logits to natural logarithms of probabilities, in place.
void log_softmax(std::span<float> logits);

/// What llama-perplexity --kl-divergence-base writes: chunks of `context` tokens, and of the rows from context / 2 on
/// (the last of a chunk apart) the log-probabilities, each 16 bits between the largest and 16 below it; what is lower
/// counts as that. Layout: llama.cpp, tools/perplexity.
class PeerLogits {
 public:
  /// Throws bad_magic, truncated, bad_value (sizes; tokens outside the vocabulary).
  PeerLogits(std::unique_ptr<ByteSource> file, int64_t vocabulary);
  int64_t chunks() const { return chunks_; }
  int64_t rows() const { return context_ - 1 - context_ / 2; }  // of a chunk
  int64_t first_row() const { return context_ / 2; }
  std::vector<TokenId> tokens(int64_t chunk) const;
  ///   out [V]
  void read_row(int64_t chunk, int64_t row, std::span<float> out) const;

 private:
  std::unique_ptr<ByteSource> file_;
  int64_t vocabulary_, context_ = 0, chunks_ = 0;
};

struct DivergenceOptions {
  std::filesystem::path text;  // UTF-8, at least 1,024 tokens
  int64_t chunks = 4;          // of kChunkTokens
};
inline constexpr int64_t kChunkTokens = 512;

/// Of a peer's llama-perplexity on a GGUF file, against `reference`. `bos`: the ids that the model's tokenizer puts
/// first; each chunk begins with them. Throws not_found, io_error (names the program and its last line), cancelled.
Divergence peer_divergence(const Peer& peer, const std::filesystem::path& model, int threads, Engine& reference,
                           int64_t vocabulary, std::span<const TokenId> bos, const DivergenceOptions& options,
                           const Cancelled& cancelled);

/// Of an engine against another of the same vocabulary, over chunks of `tokens`, as llama-perplexity cuts them. Throws
/// bad_value (fewer than two chunks), cancelled.
Divergence engine_divergence(Engine& engine, Engine& reference, std::span<const TokenId> tokens,
                             std::span<const TokenId> bos, int64_t chunks, const Cancelled& cancelled);

}  // namespace duet
