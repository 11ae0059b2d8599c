#include "tests/support.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace duet::test {
namespace {

struct TemporaryRoot {
  std::filesystem::path path;
  TemporaryRoot() {
    std::string pattern = (std::filesystem::temp_directory_path() / "duet_test.XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path = pattern;
  }
  ~TemporaryRoot() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

std::filesystem::path golden(std::string_view name) {
  return std::filesystem::path(DUET_SOURCE_DIR) / "tests" / "golden" / name;
}

std::filesystem::path assets(std::string_view name) {
  const char* folder = std::getenv("DUET_ASSETS");
  const std::filesystem::path root =
      folder != nullptr && *folder != '\0' ? folder : std::filesystem::path(DUET_SOURCE_DIR).parent_path() / "shared";
  const std::filesystem::path path = root / name;
  return std::filesystem::exists(path) ? path : std::filesystem::path{};
}

std::filesystem::path temporary_folder() {
  static TemporaryRoot root;
  static std::atomic<int> count = 0;
  const auto path = root.path / std::to_string(count++);
  std::filesystem::create_directories(path);
  return path;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace duet::test
