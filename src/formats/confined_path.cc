#include "formats/confined_path.h"

#include <algorithm>
#include <string>
#include <system_error>

namespace duet {
namespace {

namespace fs = std::filesystem;

bool is_below(const fs::path& path, const fs::path& folder) {
  const auto [folder_end, path_end] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return folder_end == folder.end() && path_end != path.end();
}

/// `target` is a blob of the repository whose snapshot `root` is. Both are canonical.
bool is_blob_of_snapshot(const fs::path& target, const fs::path& root) {
  const fs::path repository = root.parent_path().parent_path();
  if (root.parent_path().filename() != "snapshots" || target.parent_path() != repository / "blobs") return false;
  const std::string hash = target.filename().string();
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return (hash.size() == 40 || hash.size() == 64) && std::all_of(hash.begin(), hash.end(), is_hex);
}

}  // namespace

void check_inner_name(std::string_view file_name, std::string_view inner) {
  const fs::path path(inner);
  const bool climbs = std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
  if (climbs || path.is_absolute() || inner.find('\\') != std::string_view::npos ||
      inner.find('\0') != std::string_view::npos || inner.find("://") != std::string_view::npos) {
    fail(ErrorCode::kPathEscape, "{}: the name '{}' leads out of the model's folder", file_name, printable(inner));
  }
}

std::optional<fs::path> find_inside(const fs::path& folder, std::string_view inner, ErrorCode dangling) {
  fs::path path = folder / inner;
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return std::nullopt;
  if (error) fail(ErrorCode::kIoError, "{}: cannot examine: {}", path.string(), error.message());
  const fs::path target = fs::canonical(path, error);
  if (error == std::errc::no_such_file_or_directory) fail(dangling, "{}: is a link to nothing", path.string());
  if (error) fail(ErrorCode::kIoError, "{}: cannot resolve: {}", path.string(), error.message());
  const fs::path root = fs::canonical(folder, error);
  if (error) fail(ErrorCode::kIoError, "{}: cannot resolve: {}", folder.string(), error.message());
  if (!is_below(target, root) && !is_blob_of_snapshot(target, root)) {
    fail(ErrorCode::kPathEscape, "{}: is a link that leads out of the model's folder, to {}", path.string(),
         target.string());
  }
  return path;
}

}  // namespace duet
