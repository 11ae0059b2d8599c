#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "formats/gguf.h"

namespace duet {

/// The name of a part of a split GGUF file: PREFIX-00001-of-00003.gguf is part 0 of 3.
struct GgufPartName {
  std::string prefix;
  int64_t part = 0;
  int64_t count = 0;

  static std::optional<GgufPartName> parse(std::string_view file_name);
  std::string str() const;
};

/// Parts that a file says its model has (split.count; 1 when absent). Throws bad_type, bad_value.
int64_t gguf_part_count(const GgufMetadata& metadata);

/// Throws shard_mismatch (names the part and the field) unless `metadata` is that of part `part` of the model that
/// `first`, the first part's, begins: split.no, and equal values for every other key that both have.
void check_gguf_part(const GgufMetadata& first, const GgufMetadata& metadata, int64_t part);

}  // namespace duet
