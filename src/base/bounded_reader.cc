#include "base/bounded_reader.h"

#include <algorithm>

#include "base/error.h"

namespace duet {
namespace {

constexpr uint64_t kBufferBytes = 64 * 1024;

}  // namespace

BoundedReader::BoundedReader(const ByteSource& source, uint64_t begin)
    : source_(&source), position_(std::min(begin, source.size())), end_(source.size()) {
  buffer_.resize(static_cast<size_t>(std::min(kBufferBytes, left())));
}

void BoundedReader::require(uint64_t bytes) const {
  if (bytes > left()) {
    fail(ErrorCode::kTruncated, "{}: the file ends inside {}: {} bytes needed at byte {}, {} left", source_->name(),
         item_, bytes, position_, left());
  }
}

void BoundedReader::require_count(uint64_t count, uint64_t min_bytes_each, std::string_view field) const {
  if (count > left() / min_bytes_each) {
    fail(ErrorCode::kCountExceedsFile, "{}: {}: {} is {}, which needs at least {} bytes each; {} bytes are left",
         source_->name(), item_, field, count, min_bytes_each, left());
  }
}

void BoundedReader::read_bytes(std::span<std::byte> out) {
  require(out.size());
  while (!out.empty()) {
    const uint64_t ahead = position_ - buffer_begin_;
    if (ahead < buffer_bytes_) {
      const size_t n = std::min(out.size(), static_cast<size_t>(buffer_bytes_ - ahead));
      std::memcpy(out.data(), buffer_.data() + ahead, n);
      out = out.subspan(n);
      position_ += n;
    } else if (out.size() >= buffer_.size()) {
      source_->read_at(position_, out);
      position_ += out.size();
      return;
    } else {
      const uint64_t n = std::min<uint64_t>(buffer_.size(), left());
      buffer_bytes_ = 0;  // should the read fail, nothing stale is left
      source_->read_at(position_, std::span(buffer_).first(static_cast<size_t>(n)));
      buffer_begin_ = position_;
      buffer_bytes_ = n;
    }
  }
}

std::string BoundedReader::read_text(uint64_t bytes) {
  require(bytes);
  std::string text(static_cast<size_t>(bytes), '\0');
  read_bytes(std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace duet
