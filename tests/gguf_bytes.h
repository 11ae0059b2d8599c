#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace duet::test {

/// Little-endian bytes of a number, or of a string with its length before it, as GGUF files hold them.
template <typename T>
std::string le(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}
inline std::string gguf_string(std::string_view text) { return le<uint64_t>(text.size()) + std::string(text); }

/// Builds the bytes of a GGUF file, valid unless a field is changed. For tests only.
class GgufBytes {
 public:
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;  // innermost first, as in the file
    uint32_t type;
    std::string data;
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the data; add general.alignment for another than 32
  std::vector<std::string> pairs;
  std::vector<Tensor> tensors;

  /// A pair whose value is of type id `type` and consists of `value`'s bytes.
  GgufBytes& pair(std::string_view key, uint32_t type, const std::string& value) {
    pairs.push_back(gguf_string(key) + le(type) + value);
    return *this;
  }
  GgufBytes& string(std::string_view key, std::string_view value) { return pair(key, 8, gguf_string(value)); }
  GgufBytes& u16(std::string_view key, uint16_t value) { return pair(key, 2, le(value)); }
  GgufBytes& i32(std::string_view key, int32_t value) { return pair(key, 5, le(value)); }
  /// `values`: the elements' bytes, one after the other.
  GgufBytes& array(std::string_view key, uint32_t type, uint64_t count, const std::string& values) {
    return pair(key, 9, le(type) + le(count) + values);
  }
  GgufBytes& tensor(std::string name, std::vector<uint64_t> dims, uint32_t type, std::string data) {
    tensors.push_back({std::move(name), std::move(dims), type, std::move(data)});
    return *this;
  }

  std::string build() const {
    std::string out = magic + le(version) + le<uint64_t>(tensors.size()) + le<uint64_t>(pairs.size());
    for (const std::string& entry : pairs) out += entry;
    std::string data;
    for (const Tensor& t : tensors) {
      out += gguf_string(t.name) + le<uint32_t>(static_cast<uint32_t>(t.dims.size()));
      for (const uint64_t d : t.dims) out += le(d);
      out += le(t.type) + le<uint64_t>(data.size());
      data += t.data;
      data.append((alignment - data.size() % alignment) % alignment, '\0');
    }
    out.append((alignment - out.size() % alignment) % alignment, '\0');
    return out + data;
  }
};

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace duet::test
