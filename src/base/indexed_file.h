#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/bounded_reader.h"
#include "base/file.h"

namespace duet {

// Files that Duet writes for itself (docs/formats.md): a head, data, and at the end an index that says what lies where.
// Numbers are little-endian. Each reader judges what it finds in its own words.

/// The first bytes of such a file.
struct IndexedFileHead {
  std::array<char, 8> magic{};
  uint32_t version = 0, reserved = 0;
  uint64_t index_offset = 0, index_bytes = 0, index_sum = 0, file_bytes = 0;
  uint64_t sum = 0;  // of all before

  std::string_view magic_text() const { return {magic.data(), magic.size()}; }
  /// What `sum` must be.
  uint64_t computed_sum() const;
};
static_assert(sizeof(IndexedFileHead) == 56);

/// Writes the index at `offset` and the head before all else; `magic` has 8 characters. Throws io_error.
void write_index(OutputFile& file, std::string_view magic, uint32_t version, uint64_t offset, std::string_view index);

/// Parts of an index.
template <typename T>
void put(std::string& index, T value) {
  index.append(reinterpret_cast<const char*>(&value), sizeof value);
}
/// A text behind its length as 32 bits.
void put_text(std::string& index, std::string_view text);
/// Throws count_exceeds_file, truncated.
std::string read_text(BoundedReader& in);

}  // namespace duet
