#include "report/kl.h"

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bounded_reader.h"
#include "base/error.h"
#include "engine/engine.h"
#include "report/peer.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kHeadBytes = 8 + 3 * 4;  // "_logits_", tokens of a chunk, vocabulary, chunks
constexpr int64_t kMaxContext = 1 << 20;

/// 16-bit numbers of a row: two float32, then one for each token, an even number of them.
int64_t row_words(int64_t vocabulary) { return 2 * ((vocabulary + 1) / 2) + 4; }

/// Logarithms of the probabilities of positions [first, first + rows) of a chunk.   [rows, V]
std::vector<float> chunk_rows(Engine& engine, std::span<const TokenId> tokens, std::span<const TokenId> bos,
                              int64_t first, int64_t rows, const Cancelled& cancelled) {
  std::vector<TokenId> ids(tokens.begin(), tokens.end());
  std::copy_n(bos.begin(), std::min(bos.size(), ids.size()), ids.begin());  // in the place of the first
  std::vector<float> out;
  const auto wanted = [&](int64_t position) { return position >= first && position < first + rows; };
  engine.score(
      ids,
      [&](int64_t, int64_t count, std::span<const float> logits) {
        if (cancelled && cancelled()) throw Error(ErrorCode::kCancelled, "interrupted");
        const size_t vocabulary = logits.size() / static_cast<size_t>(count);
        const size_t begin = out.size();
        out.insert(out.end(), logits.begin(), logits.end());
        for (size_t at = begin; at < out.size(); at += vocabulary) log_softmax(std::span(out).subspan(at, vocabulary));
      },
      {}, wanted);
  return out;
}

/// A folder of our own that goes with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "duet_bench.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail(ErrorCode::kIoError, "cannot make a temporary folder {}", name);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

void log_softmax(std::span<float> logits) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - static_cast<double>(top));
  const double shift = static_cast<double>(top) + std::log(sum);
  for (float& logit : logits) logit = static_cast<float>(static_cast<double>(logit) - shift);
}

void DivergenceSum::add(std::span<const float> log_p, std::span<const float> log_q) {
  double kl = 0;
  for (size_t i = 0; i < log_p.size(); ++i) {
    const auto p = static_cast<double>(log_p[i]), q = static_cast<double>(log_q[i]);
    kl += std::exp(p) * (p - q);
  }
  values_.push_back(kl);
  const auto top = [](std::span<const float> row) { return std::max_element(row.begin(), row.end()) - row.begin(); };
  if (top(log_p) == top(log_q)) ++same_top_;
}

Divergence DivergenceSum::result() const {
  Divergence result;
  if (values_.empty()) return result;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<double>(sorted.size());
  for (const double value : sorted) result.mean += value / count;
  result.rows = static_cast<int64_t>(sorted.size());
  result.percentile_99 = sorted[static_cast<size_t>(0.99 * (count - 1))];
  result.highest = sorted.back();
  result.same_top = static_cast<double>(same_top_) / count;
  return result;
}

PeerLogits::PeerLogits(std::unique_ptr<ByteSource> file, int64_t vocabulary)
    : file_(std::move(file)), vocabulary_(vocabulary) {
  BoundedReader reader(*file_);
  reader.item("the head");
  if (reader.read_text(8) != "_logits_")
    fail(ErrorCode::kBadMagic, "{}: no '_logits_' at its beginning", file_->name());
  context_ = reader.read<int32_t>();
  const int64_t words = reader.read<int32_t>();
  chunks_ = reader.read<int32_t>();
  if (words != vocabulary || context_ < 4 || context_ > kMaxContext || chunks_ < 1) {
    fail(ErrorCode::kBadValue, "{}: {} chunks of {} tokens of a vocabulary of {}, the model's has {}", file_->name(),
         chunks_, context_, words, vocabulary);
  }
  const auto row_bytes = static_cast<uint64_t>(rows() * row_words(vocabulary_) * 2 + context_ * 4);
  reader.item("the chunks");
  reader.require_count(static_cast<uint64_t>(chunks_), row_bytes, "chunks");
}

std::vector<TokenId> PeerLogits::tokens(int64_t chunk) const {
  std::vector<int32_t> ids(static_cast<size_t>(context_));
  file_->read_at(kHeadBytes + static_cast<uint64_t>(chunk * context_ * 4), std::as_writable_bytes(std::span(ids)));
  std::vector<TokenId> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) tokens.push_back(TokenId{id});  // the engine judges their range
  return tokens;
}

void PeerLogits::read_row(int64_t chunk, int64_t row, std::span<float> out) const {
  const int64_t words = row_words(vocabulary_);
  std::vector<uint16_t> stored(static_cast<size_t>(words));
  const int64_t at = chunks_ * context_ * 4 + (chunk * rows() + row) * words * 2;
  file_->read_at(kHeadBytes + static_cast<uint64_t>(at), std::as_writable_bytes(std::span(stored)));
  float scale = 0, lowest = 0;
  std::memcpy(&scale, stored.data(), sizeof scale);
  std::memcpy(&lowest, stored.data() + 2, sizeof lowest);
  for (size_t i = 0; i < out.size(); ++i) out[i] = scale * static_cast<float>(stored[i + 4]) + lowest;
}

Divergence peer_divergence(const Peer& peer, const fs::path& model, int threads, Engine& reference, int64_t vocabulary,
                           std::span<const TokenId> bos, const DivergenceOptions& options, const Cancelled& cancelled) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "logits.bin";
  std::vector<std::string> command = {need_program(peer, "llama-perplexity"),
                                      "-m",
                                      model.string(),
                                      "-f",
                                      options.text.string(),
                                      "-c",
                                      std::to_string(kChunkTokens),
                                      "-b",
                                      std::to_string(kChunkTokens),
                                      "--chunks",
                                      std::to_string(options.chunks),
                                      "-t",
                                      std::to_string(threads)};
  if (peer.name == "ik_llama.cpp") command.emplace_back("--log-disable");  // or it leaves llama.log where we stand
  command.insert(command.end(), {"--kl-divergence-base", file.string()});
  run_peer(peer, command, cancelled);
  const PeerLogits logits(open_file(file), vocabulary);
  DivergenceSum sum;
  std::vector<float> theirs(static_cast<size_t>(vocabulary));
  for (int64_t chunk = 0; chunk < logits.chunks(); ++chunk) {
    const std::vector<float> rows =
        chunk_rows(reference, logits.tokens(chunk), bos, logits.first_row(), logits.rows(), cancelled);
    for (int64_t row = 0; row < logits.rows(); ++row) {
      logits.read_row(chunk, row, theirs);
      sum.add(std::span(rows).subspan(static_cast<size_t>(row) * theirs.size(), theirs.size()), theirs);
    }
  }
  return sum.result();
}

Divergence engine_divergence(Engine& engine, Engine& reference, std::span<const TokenId> tokens,
                             std::span<const TokenId> bos, int64_t chunks, const Cancelled& cancelled) {
  const int64_t there = static_cast<int64_t>(tokens.size()) / kChunkTokens;
  if (there < 2) {
    fail(ErrorCode::kBadValue, "the text has {} tokens, legal: {} or more", tokens.size(), 2 * kChunkTokens);
  }
  constexpr int64_t kFirst = kChunkTokens / 2, kRows = kChunkTokens - 1 - kFirst;
  DivergenceSum sum;
  for (int64_t chunk = 0; chunk < std::min(chunks, there); ++chunk) {
    const auto ids = tokens.subspan(static_cast<size_t>(chunk * kChunkTokens), static_cast<size_t>(kChunkTokens));
    const std::vector<float> expected = chunk_rows(reference, ids, bos, kFirst, kRows, cancelled);
    const std::vector<float> ours = chunk_rows(engine, ids, bos, kFirst, kRows, cancelled);
    const size_t vocabulary = ours.size() / static_cast<size_t>(kRows);
    for (size_t at = 0; at < ours.size(); at += vocabulary) {
      sum.add(std::span(expected).subspan(at, vocabulary), std::span(ours).subspan(at, vocabulary));
    }
  }
  return sum.result();
}

}  // namespace duet
