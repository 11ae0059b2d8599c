#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace duet {

static_assert(std::endian::native == std::endian::little, "readers take little-endian files as they are");

/// Reads a source from front to back through a small buffer. Nothing is read, and nothing need be allocated by the
/// caller, before it is known to lie inside the source: require() and require_count() come first. Messages name the
/// file and the item that was announced last with item().
class BoundedReader {
 public:
  explicit BoundedReader(const ByteSource& source, uint64_t begin = 0);

  /// Names what is read from here on: "key 'general.name'".
  void item(std::string name) { item_ = std::move(name); }
  const std::string& item() const { return item_; }

  uint64_t position() const { return position_; }
  uint64_t left() const { return end_ - position_; }

  /// Throws truncated (item, bytes needed, bytes left) unless `bytes` are left.
  void require(uint64_t bytes) const;
  /// Throws count_exceeds_file (item, field, count, bytes left) unless `count` things of `min_bytes_each` could be
  /// left.
  void require_count(uint64_t count, uint64_t min_bytes_each, std::string_view field) const;

  /// A little-endian number. Throws truncated, io_error.
  template <typename T>
  requires std::integral<T> || std::floating_point<T> T read() {
    T value;
    if (const uint64_t ahead = position_ - buffer_begin_; buffer_bytes_ >= sizeof(T) + ahead) {
      std::memcpy(&value, buffer_.data() + ahead, sizeof(T));
      position_ += sizeof(T);
    } else {
      read_bytes(std::as_writable_bytes(std::span(&value, 1)));
    }
    return value;
  }
  /// Fills `out`. Throws truncated, io_error.
  void read_bytes(std::span<std::byte> out);
  /// `bytes` bytes as text, unchecked. Throws truncated before it allocates.
  std::string read_text(uint64_t bytes);
  /// The same for a short text that lies in the buffer already, without a copy; std::nullopt when it does not. Valid
  /// until the next read.
  std::optional<std::string_view> take_buffered(uint64_t bytes) {
    const uint64_t ahead = position_ - buffer_begin_;
    if (ahead > buffer_bytes_ || bytes > buffer_bytes_ - ahead) return std::nullopt;
    position_ += bytes;
    return std::string_view(reinterpret_cast<const char*>(buffer_.data()) + ahead, static_cast<size_t>(bytes));
  }

 private:
  const ByteSource* source_;
  uint64_t position_;
  uint64_t end_;
  std::string item_;
  std::vector<std::byte> buffer_;
  uint64_t buffer_begin_ = 0;  // position of buffer_[0]
  uint64_t buffer_bytes_ = 0;  // filled part of buffer_
};

}  // namespace duet
