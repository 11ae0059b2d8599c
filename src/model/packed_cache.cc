#include "model/packed_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bounded_reader.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/indexed_file.h"
#include "ops/linear.h"

namespace duet {
namespace {

constexpr std::string_view kMagic = "DUETPACK";
constexpr uint32_t kVersion = 2;
constexpr int64_t kSectionBytes = int64_t{2} << 20, kEntryBytes = 4096;  // what they are aligned to
constexpr int64_t kMostIndexBytes = int64_t{1} << 30;
constexpr int64_t kStagingBytes = 16 * kPackedPieceBytes;

int64_t align(int64_t offset, int64_t to) { return (offset + to - 1) / to * to; }

size_t pieces_of(int64_t bytes) { return static_cast<size_t>((bytes + kPackedPieceBytes - 1) / kPackedPieceBytes); }

/// What stands together in the file: the weights of one layer.
std::string_view section_of(std::string_view weight) {
  const size_t layers = weight.find("layers.");
  return layers == std::string_view::npos ? weight : weight.substr(0, weight.find('.', layers + 7));
}

void put_form(std::string& out, const PackedForm& form) {
  put(out, static_cast<uint32_t>(form.dtype));
  if (!form.grouped) return;
  const GroupFormat& g = *form.grouped;
  for (const uint8_t byte : {static_cast<uint8_t>(g.code), static_cast<uint8_t>(g.scale),
                             static_cast<uint8_t>(g.zeros ? 1 : 0), static_cast<uint8_t>(g.ordered ? 1 : 0), g.zero}) {
    put(out, byte);
  }
  for (const int32_t number : {g.group, g.table_rows, g.nested_block}) put(out, number);
}

/// Nothing: no form that a cache may hold.
std::optional<PackedForm> read_form(BoundedReader& in) {
  const auto id = in.read<uint32_t>();
  if (id != static_cast<uint32_t>(DType::kGrouped)) {
    const std::optional<DType> dtype = dtype_from_ggml(id);
    return dtype && can_dequantize(*dtype) ? std::optional(PackedForm{*dtype}) : std::nullopt;
  }
  GroupFormat g;
  const auto code = in.read<uint8_t>(), scale = in.read<uint8_t>(), zeros = in.read<uint8_t>(),
             ordered = in.read<uint8_t>();
  g.zero = in.read<uint8_t>();
  g.group = in.read<int32_t>(), g.table_rows = in.read<int32_t>(), g.nested_block = in.read<int32_t>();
  if (code > static_cast<uint8_t>(GroupCode::kMap4) || scale > static_cast<uint8_t>(GroupScale::kNested)) return {};
  if (zeros > 1 || ordered > 1) return {};
  g.code = static_cast<GroupCode>(code), g.scale = static_cast<GroupScale>(scale);
  g.zeros = zeros == 1, g.ordered = ordered == 1;
  return PackedForm{DType::kGrouped, g};
}

/// The bytes of rows and table, each a number that the file's size bounds; -1: such columns have no such form.
int64_t row_bytes_of(const PackedForm& form, int64_t cols, int64_t file_bytes) {
  if (form.grouped) return is_group_format(*form.grouped, cols) ? group_layout(*form.grouped, cols).row_bytes() : -1;
  const DTypeInfo& info = dtype_info(form.dtype);
  return cols % info.block_size == 0 && cols <= file_bytes * info.block_size ? row_bytes(info, cols) : -1;
}

}  // namespace

PackedCacheFile::PackedCacheFile(const std::filesystem::path& path, const std::string& key) : file_(open_file(path)) {
  try {
    read_index(key);
  } catch (const PackedCacheError&) {
    throw;
  } catch (const Error& error) {
    throw PackedCacheError(error.code(), error.message());
  }
}

void PackedCacheFile::read_index(const std::string& key) {
  const auto refuse = [&](std::string_view why) {
    throw PackedCacheError(ErrorCode::kHashMismatch, fmt::format("{}: {}", name(), why));
  };
  IndexedFileHead head;
  file_->read_at(0, std::as_writable_bytes(std::span(&head, 1)));
  if (head.magic_text() != kMagic) refuse("is no packed cache");
  if (head.version != kVersion) refuse(fmt::format("has version {}, this duet writes {}", head.version, kVersion));
  if (head.sum != head.computed_sum()) refuse("its head is damaged");
  if (head.file_bytes != file_->size()) {
    refuse(fmt::format("has {} bytes, it was written with {}", file_->size(), head.file_bytes));
  }
  if (head.index_bytes > static_cast<uint64_t>(kMostIndexBytes) || head.index_offset > file_->size() ||
      head.index_bytes > file_->size() - head.index_offset) {
    refuse("its index lies outside of it");
  }
  std::vector<std::byte> bytes(head.index_bytes);
  file_->read_at(head.index_offset, bytes);
  if (head.index_sum != checksum64(bytes)) refuse("its index is damaged");
  const auto source = memory_source(name(), bytes);
  BoundedReader in(*source);
  in.item("the index");
  if (read_text(in) != key) refuse("is of another model, another state of its file, or other options");
  const auto count = in.read<uint64_t>();
  in.require_count(count, 32, "weights");
  for (uint64_t i = 0; i < count; ++i) {
    std::string weight = read_text(in);
    in.item(printable(weight));
    PackedEntry entry;
    const std::optional<PackedForm> form = read_form(in);
    entry.rows = in.read<int64_t>();
    entry.cols = in.read<int64_t>();
    entry.offset = in.read<int64_t>();
    entry.bytes = in.read<int64_t>();
    entry.first_sum = sums_.size();
    const auto file_bytes = static_cast<int64_t>(file_->size());
    const bool inside =
        entry.offset >= 0 && entry.bytes >= 0 && entry.offset <= file_bytes && entry.bytes <= file_bytes - entry.offset;
    if (!form || !inside || entry.rows < 0 || entry.cols < 0) refuse("its index makes no sense");
    entry.form = *form;
    const int64_t row = row_bytes_of(*form, entry.cols, file_bytes);
    const int64_t table = row >= 0 && form->grouped ? group_table_bytes(*form->grouped, entry.cols) : 0;
    if (row < 0 || (row > 0 && entry.rows > file_bytes / row) || entry.rows * row + table != entry.bytes) {
      refuse(fmt::format("'{}' has not the size of its type and shape", printable(weight)));
    }
    in.require_count(pieces_of(entry.bytes), sizeof(uint64_t), "checksums");
    for (size_t piece = 0; piece < pieces_of(entry.bytes); ++piece) sums_.push_back(in.read<uint64_t>());
    entries_.emplace(std::move(weight), entry);
  }
}

const PackedEntry* PackedCacheFile::find(const std::string& weight) const {
  const auto found = entries_.find(weight);
  return found == entries_.end() ? nullptr : &found->second;
}

void PackedCacheFile::read(const PackedEntry& entry, int64_t begin, std::span<std::byte> out) const {
  const auto count = static_cast<int64_t>(out.size());
  DUET_CHECK(begin % kPackedPieceBytes == 0 && begin + count <= entry.bytes);
  DUET_CHECK(count % kPackedPieceBytes == 0 || begin + count == entry.bytes);
  constexpr int64_t kReadBytes = 4 * kPackedPieceBytes;  // of one request; the sums find them in the processor's cache
  for (int64_t at = 0; at < count; at += kPackedPieceBytes) {
    const auto part = [&](int64_t most) {
      return out.subspan(static_cast<size_t>(at), static_cast<size_t>(std::min(most, count - at)));
    };
    try {
      if (at % kReadBytes == 0) file_->read_at(static_cast<uint64_t>(entry.offset + begin + at), part(kReadBytes));
    } catch (const Error& error) {
      throw PackedCacheError(error.code(), error.message());
    }
    const std::span<const std::byte> piece = part(kPackedPieceBytes);
    const auto index = entry.first_sum + static_cast<size_t>((begin + at) / kPackedPieceBytes);
    if (checksum64(piece) != sums_[index]) {
      throw PackedCacheError(ErrorCode::kHashMismatch, fmt::format("{}: {} bytes at {} are damaged", name(),
                                                                   piece.size(), entry.offset + begin + at));
    }
  }
}

PackedCacheWriter::PackedCacheWriter(const std::filesystem::path& path, std::string key)
    : file_(path), key_(std::move(key)), end_(static_cast<int64_t>(sizeof(IndexedFileHead))) {}

void PackedCacheWriter::add(const std::string& weight, Backend& backend, const PackedWeight& packed) {
  const std::string_view section = section_of(weight);
  end_ = align(end_, section == section_ ? kEntryBytes : kSectionBytes);
  section_ = section;
  PackedEntry entry{
      {packed.dtype(), packed.grouped()}, packed.rows(), packed.cols(), end_, packed.bytes(), sums_.size()};
  std::vector<std::byte> staging(static_cast<size_t>(std::min(kStagingBytes, entry.bytes)));
  for (int64_t at = 0; at < entry.bytes; at += kStagingBytes) {
    const auto part = std::span(staging).first(static_cast<size_t>(std::min(kStagingBytes, entry.bytes - at)));
    ops::copy_packed(backend, packed, at, part);
    for (size_t begin = 0; begin < part.size(); begin += kPackedPieceBytes) {
      const size_t count = std::min(part.size() - begin, static_cast<size_t>(kPackedPieceBytes));
      sums_.push_back(checksum64(part.subspan(begin, count)));
    }
    file_.write_at(static_cast<uint64_t>(entry.offset + at), part);
  }
  end_ += entry.bytes;
  entries_.emplace_back(weight, entry);
}

void PackedCacheWriter::commit() {
  std::string index;
  put_text(index, key_);
  put(index, static_cast<uint64_t>(entries_.size()));
  for (const auto& [weight, entry] : entries_) {
    put_text(index, weight);
    put_form(index, entry.form);
    for (const int64_t value : {entry.rows, entry.cols, entry.offset, entry.bytes}) put(index, value);
    for (size_t piece = 0; piece < pieces_of(entry.bytes); ++piece) put(index, sums_[entry.first_sum + piece]);
  }
  write_index(file_, kMagic, kVersion, static_cast<uint64_t>(align(end_, kEntryBytes)), index);
  file_.commit();
}

PackedCache::PackedCache(const PackedCachePlace* place, int64_t bytes) : place_(place), bytes_(bytes) {
  if (place_ == nullptr) return;
  try {
    serving_ = std::make_shared<const PackedCacheFile>(place_->file, place_->key);
    return;
  } catch (const PackedCacheError& error) {
    rebuild(error);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) {
      begin_writing();
    } else {
      give_up(error);
    }
  }
}

void PackedCache::rebuild(const PackedCacheError& reason) {
  serving_.reset();
  if (place_->say) place_->say(fmt::format("the packed cache is ignored and written anew: {}", reason.message()));
  begin_writing();
}

void PackedCache::begin_writing() {
  try {
    if (place_->make_room && !place_->make_room(bytes_)) return;
    writer_ = std::make_unique<PackedCacheWriter>(place_->file, place_->key);
  } catch (const Error& error) {
    give_up(error);
  }
}

void PackedCache::give_up(const Error& error) {
  writer_.reset();
  if (place_->say) place_->say(fmt::format("the packed weights are not kept: {}", error.message()));
}

void PackedCache::keep(const std::string& weight, Backend& backend, const PackedWeight& packed) {
  if (!writer_) return;
  try {
    writer_->add(weight, backend, packed);
  } catch (const Error& error) {
    give_up(error);
  }
}

void PackedCache::serve_what_was_written() {
  const bool written = writer_ != nullptr;
  finish();
  if (place_ == nullptr)
    fail(ErrorCode::kIoError, "experts larger than memory are read from a packed cache: there is none");
  try {
    if (written) serving_ = std::make_shared<const PackedCacheFile>(place_->file, place_->key);
  } catch (const Error&) {  // what is wrong was said, or another process has removed it already
  }
  if (serving_) return;
  throw Error(ErrorCode::kIoError,
              fmt::format("{}: the packed cache that experts are read from could not be written",
                          place_->file.filename().string()),
              "DUET_HOME says where it lies, DUET_CACHE_LIMIT how large all of them may be");
}

bool PackedCache::finish() {
  if (serving_ && place_->used) place_->used();
  if (writer_) {
    try {
      writer_->commit();
    } catch (const Error& error) {
      give_up(error);
    }
    writer_.reset();
  }
  return serving_ != nullptr;
}

}  // namespace duet
