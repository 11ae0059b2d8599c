#pragma once

#include <filesystem>

#include "base/file.h"
#include "formats/gguf.h"
#include "tests/gguf_bytes.h"
#include "tests/support.h"

namespace duet::test {

/// A GGUF file taken apart: its pairs as they are, its tensors one by one. build() of it gives an equal file.
inline GgufBytes take_apart(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  const GgufFile parsed = parse_gguf(*memory_source(path.filename().string(), as_bytes(file)));
  const auto number = [&](size_t at, auto value) {
    std::memcpy(&value, file.data() + at, sizeof value);
    return value;
  };
  GgufBytes out;
  constexpr size_t kHeader = 24;
  size_t at = file.find(gguf_string(parsed.tensors.front().name), kHeader);
  out.pairs.resize(number(16, uint64_t{}));  // all of them in the first: only their number matters
  out.pairs.front() = file.substr(kHeader, at - kHeader);
  for (const GgufTensor& tensor : parsed.tensors) {
    at += sizeof(uint64_t) + tensor.name.size();
    const auto rank = number(at, uint32_t{});
    at += sizeof rank;
    std::vector<uint64_t> dims;
    for (uint32_t i = 0; i < rank; ++i, at += sizeof(uint64_t)) dims.push_back(number(at, uint64_t{}));
    out.tensor(tensor.name, dims, number(at, uint32_t{}), file.substr(tensor.offset, tensor.bytes));
    at += sizeof(uint32_t) + sizeof(uint64_t);
  }
  return out;
}

}  // namespace duet::test
