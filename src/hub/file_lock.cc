#include "hub/file_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace duet {
namespace {

constexpr int kPollMs = 50;

[[noreturn]] void fail_errno(const std::filesystem::path& path, std::string_view doing, int error) {
  fail(ErrorCode::kIoError, "{}: {}: {}", path.string(), doing, std::generic_category().message(error));
}

/// The holder before us may have removed the file between our open and our lock: then we hold a lock that nobody sees.
bool is_still_at(int fd, const std::filesystem::path& path) {
  struct stat ours {};
  struct stat there {};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
         ours.st_ino == there.st_ino;
}

}  // namespace

std::optional<FileLock> FileLock::try_acquire(const std::filesystem::path& path) {
  while (true) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) fail_errno(path, "cannot open the lock file", errno);
    FileLock lock(path, fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return std::nullopt;
      fail_errno(path, "cannot lock", errno);
    }
    if (is_still_at(fd, path)) return lock;
  }
}

FileLock FileLock::acquire(const std::filesystem::path& path, const Cancelled& cancelled,
                           const std::function<void()>& waiting) {
  for (bool first = true;; first = false) {
    if (auto lock = try_acquire(path)) return std::move(*lock);
    if (first && waiting) waiting();
    if (cancelled && cancelled()) throw Error(ErrorCode::kCancelled, "interrupted while waiting for another duet");
    ::poll(nullptr, 0, kPollMs);
  }
}

FileLock::FileLock(FileLock&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

void FileLock::remove_file() const { ::unlink(path_.c_str()); }

}  // namespace duet
