#include "base/indexed_file.h"

#include <algorithm>

#include "base/check.h"
#include "base/checksum.h"

namespace duet {

uint64_t IndexedFileHead::computed_sum() const {
  return checksum64(std::as_bytes(std::span(this, 1)).first(sizeof(*this) - sizeof(sum)));
}

void write_index(OutputFile& file, std::string_view magic, uint32_t version, uint64_t offset, std::string_view index) {
  IndexedFileHead head;
  DUET_CHECK(magic.size() == head.magic.size());
  const auto bytes = std::as_bytes(std::span(index));
  std::copy(magic.begin(), magic.end(), head.magic.begin());
  head.version = version;
  head.index_offset = offset;
  head.index_bytes = bytes.size();
  head.index_sum = checksum64(bytes);
  head.file_bytes = head.index_offset + head.index_bytes;
  head.sum = head.computed_sum();
  file.write_at(head.index_offset, bytes);
  file.write_at(0, std::as_bytes(std::span(&head, 1)));
}

void put_text(std::string& index, std::string_view text) {
  put(index, static_cast<uint32_t>(text.size()));
  index += text;
}

std::string read_text(BoundedReader& in) {
  const auto bytes = in.read<uint32_t>();
  in.require_count(bytes, 1, "bytes of text");
  return in.read_text(bytes);
}

}  // namespace duet
