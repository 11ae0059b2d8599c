#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace duet {
namespace {

[[noreturn]] void fail_errno(const std::filesystem::path& path, std::string_view doing, int error) {
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIoError;
  fail(code, "{}: {}: {}", path.string(), doing, std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class PreadSource final : public ByteSource {
 public:
  explicit PreadSource(const std::filesystem::path& path)
      : path_(path), name_(path.filename().string()), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_.get() < 0) fail_errno(path, "cannot open", errno);
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) fail_errno(path, "cannot examine", errno);
    if (!S_ISREG(status.st_mode)) {
      fail(ErrorCode::kIoError, "{}: {}", path.string(),
           S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a regular file");
    }
    size_ = static_cast<uint64_t>(status.st_size);
    identity_ =
        fmt::format("file {}:{} {} bytes, changed {}.{:09} {}.{:09}", status.st_dev, status.st_ino, status.st_size,
                    status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
  }
  const std::string& name() const override { return name_; }
  std::string identity() const override { return identity_; }
  uint64_t size() const override { return size_; }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_errno(path_, fmt::format("cannot read at byte {}", offset + done), errno);
      if (n == 0) {
        fail(ErrorCode::kTruncated, "{}: ends at byte {}: {} bytes needed at byte {}, {} left", name_, offset + done,
             out.size(), offset, done);
      }
      done += static_cast<size_t>(n);
    }
  }

 private:
  std::filesystem::path path_;
  std::string name_;
  Descriptor fd_;
  uint64_t size_ = 0;
  std::string identity_;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::string name, std::span<const std::byte> bytes) : name_(std::move(name)), bytes_(bytes) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return bytes_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    const uint64_t left = offset <= bytes_.size() ? bytes_.size() - offset : 0;
    if (out.size() > left) {
      fail(ErrorCode::kTruncated, "{}: {} bytes needed at byte {}, {} left", name_, out.size(), offset, left);
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

 private:
  std::string name_;
  std::span<const std::byte> bytes_;
};

}  // namespace

std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path) { return std::make_unique<PreadSource>(path); }

std::unique_ptr<ByteSource> memory_source(std::string name, std::span<const std::byte> bytes) {
  return std::make_unique<MemorySource>(std::move(name), bytes);
}

std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const auto file = open_file(path);
  if (file->size() > max_bytes) {
    fail(ErrorCode::kTooLarge, "{}: {} bytes, at most {} are allowed", file->name(), file->size(), max_bytes);
  }
  std::string text(file->size(), '\0');
  file->read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fail(ErrorCode::kIoError, "{}: cannot be replaced: not a regular file", path_.string());
  }
  constexpr int kMostOfOneProcess = 1000;  // writers of one file at once, and what ended processes left
  for (int i = 0; i < kMostOfOneProcess; ++i) {
    temporary_ = path_.string() + fmt::format(".{}.{}.tmp", ::getpid(), i);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ >= 0) return;
    if (errno != EEXIST) break;
  }
  fail_errno(path_, "cannot create", errno);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(path_, "cannot write", errno);
    done += static_cast<size_t>(n);
  }
}

void OutputFile::commit() {
  if (::fsync(fd_) != 0) fail_errno(path_, "cannot write", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno(path_, "cannot rename into place", errno);
  const int fd = fd_;
  fd_ = -1;  // the temporary name is gone
  if (::close(fd) != 0) fail_errno(path_, "cannot write", errno);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace duet
