#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace duet {

/// Random access to bytes that may lie in a file, in memory, or behind a test's fault injector.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// The base name of the file, for messages.
  virtual const std::string& name() const = 0;
  /// Bytes at the time of opening.
  virtual uint64_t size() const = 0;
  /// Fills `out` from `offset`. Throws truncated (past the end, or the file shrank) or io_error. Thread-safe.
  virtual void read_at(uint64_t offset, std::span<std::byte> out) const = 0;
  /// What tells these bytes from all others and from what they may become: of a file its device, inode, size and times.
  /// Empty where nothing does.
  virtual std::string identity() const { return {}; }
};

/// A file opened for reading with pread; never mapped, so a file that shrinks or fails is an error and never a signal.
/// Throws not_found, io_error (a folder, permissions, ...).
std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path);

/// Bytes in memory; `bytes` must outlive the source.
std::unique_ptr<ByteSource> memory_source(std::string name, std::span<const std::byte> bytes);

/// The whole file as text. Throws not_found, io_error, too_large (above `max_bytes`: names the cap).
std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes);

/// A file that appears under its name whole or not at all: written under a temporary name in the same folder, flushed
/// and renamed by commit(), removed if that does not happen. Only a regular file (or nothing) may stand at `path`.
/// Every function throws io_error or not_found (the folder is missing) with the path and the system's reason.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

/// Writes `text` to a temporary name in the same folder, flushes it and renames it: readers see the old file or the
/// new.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace duet
