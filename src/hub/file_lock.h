#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "base/progress.h"

namespace duet {

/// An exclusive lock between processes on a file made for it. The system lets go of it when the holder ends, however.
class FileLock {
 public:
  /// Waits its turn; calls `waiting` once if it must. Throws cancelled, io_error.
  static FileLock acquire(const std::filesystem::path& path, const Cancelled& cancelled = {},
                          const std::function<void()>& waiting = {});
  /// std::nullopt when another holds it.
  static std::optional<FileLock> try_acquire(const std::filesystem::path& path);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

  /// Removes the lock's file while it is held.
  void remove_file() const;

 private:
  FileLock(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::filesystem::path path_;
  int fd_;
};

}  // namespace duet
