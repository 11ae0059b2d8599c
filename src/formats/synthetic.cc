#include "formats/synthetic.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"

namespace duet {
namespace {

/// SplitMix64 (Steele, Lea and Flood 2014): the mixing of a counter.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// FNV-1a.
uint64_t hash_of(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return hash;
}

/// To nearest, ties to even; finite values.
uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

class SyntheticSource final : public ByteSource {
 public:
  SyntheticSource(std::vector<SyntheticTensor> tensors, uint64_t seed) {
    identity_ = fmt::format("synthetic 1, seed {}", seed);
    for (SyntheticTensor& tensor : tensors) {
      identity_ += fmt::format(", {} {} {} {}", tensor.name, tensor.bytes(), tensor.centre, tensor.spread);
      const uint64_t bytes = tensor.bytes(), key = mix(seed ^ hash_of(tensor.name));
      parts_.push_back({size_, key, std::move(tensor)});
      size_ += bytes;
    }
  }
  const std::string& name() const override { return name_; }
  std::string identity() const override { return identity_; }
  uint64_t size() const override { return size_; }

  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > size_ || out.size() > size_ - offset) {
      fail(ErrorCode::kTruncated, "{}: {} bytes needed at byte {} of its {}", name_, out.size(), offset, size_);
    }
    auto part = std::upper_bound(parts_.begin(), parts_.end(), offset,
                                 [](uint64_t at, const Part& one) { return at < one.begin; });
    if (part != parts_.begin()) --part;
    for (size_t done = 0; done < out.size(); ++part) {
      const uint64_t within = offset + done - part->begin;
      const auto count = static_cast<size_t>(std::min<uint64_t>(out.size() - done, part->tensor.bytes() - within));
      part->fill(within, out.subspan(done, count));
      done += count;
    }
  }

 private:
  struct Part {
    uint64_t begin, key;
    SyntheticTensor tensor;

    uint16_t value(uint64_t random, uint64_t index) const {
      const auto draw = static_cast<int32_t>((random >> (index % 4 * 16)) & 0xFFFF) - 0x8000;
      return to_bf16(tensor.centre + tensor.spread * (static_cast<float>(draw) * 0x1p-15f));
    }
    /// A number of the counter gives four values.
    void fill(uint64_t from, std::span<std::byte> out) const {
      uint64_t index = from / 2, random = mix(key + index / 4);
      for (size_t i = 0; i < out.size(); ++index) {
        if (index % 4 == 0) random = mix(key + index / 4);
        const uint16_t bits = value(random, index);
        if (i > 0 || from % 2 == 0) out[i++] = static_cast<std::byte>(bits & 0xFF);
        if (i < out.size()) out[i++] = static_cast<std::byte>(bits >> 8);
      }
    }
  };

  std::string name_ = "synthetic weights", identity_;
  std::vector<Part> parts_;
  uint64_t size_ = 0;
};

}  // namespace

std::unique_ptr<ByteSource> synthetic_source(std::vector<SyntheticTensor> tensors, uint64_t seed) {
  return std::make_unique<SyntheticSource>(std::move(tensors), seed);
}

}  // namespace duet
