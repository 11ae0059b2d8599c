#include "model/fingerprint.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "base/checksum.h"

namespace duet {
namespace {

constexpr uint64_t kSampleBytes = 512, kSamples = 4;  // of a tensor: the first bytes, the last, between them evenly
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

/// The checksum of all that was added, in order.
class Chain {
 public:
  void add(std::span<const std::byte> bytes) { sums_.push_back(checksum64(bytes)); }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  uint64_t sum() const { return checksum64(std::as_bytes(std::span(sums_))); }

 private:
  std::vector<uint64_t> sums_;
};

}  // namespace

std::string model_fingerprint(const Checkpoint& checkpoint) {
  Chain chain;
  if (checkpoint.config() != nullptr) chain.add(checkpoint.config()->dump());
  const auto& files = checkpoint.files();
  std::vector<uint64_t> head_bytes;
  head_bytes.reserve(files.size());
  for (const auto& file : files) head_bytes.push_back(file->size());
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    uint64_t& bytes = head_bytes[static_cast<size_t>(tensor.file)];
    bytes = std::min(bytes, tensor.offset);
  }
  std::vector<std::byte> piece;
  for (size_t i = 0; i < files.size(); ++i) {
    if (const std::string identity = files[i]->identity(); identity.starts_with("synthetic")) chain.add(identity);
    for (uint64_t at = 0; at < head_bytes[i]; at += kPieceBytes) {
      piece.resize(static_cast<size_t>(std::min(kPieceBytes, head_bytes[i] - at)));
      files[i]->read_at(at, piece);
      chain.add(piece);
    }
  }
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    piece.resize(static_cast<size_t>(std::min(kSampleBytes, tensor.bytes)));
    for (uint64_t sample = 0; sample < kSamples; ++sample) {
      checkpoint.read(tensor, (tensor.bytes - piece.size()) * sample / (kSamples - 1), piece);
      chain.add(piece);
    }
  }
  return fmt::format("{:016x}", chain.sum());
}

}  // namespace duet
