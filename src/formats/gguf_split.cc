#include "formats/gguf_split.h"

#include <charconv>

#include "base/error.h"

namespace duet {
namespace {

constexpr std::string_view kEnding = ".gguf";
constexpr std::string_view kOf = "-of-";
constexpr size_t kDigits = 5;
constexpr int64_t kMaxParts = 65535;  // split.count is a u16

/// Takes five digits and what stands before them off the end of `name`.
std::optional<int64_t> take_number(std::string_view& name, std::string_view before) {
  if (name.size() < kDigits + before.size()) return std::nullopt;
  const std::string_view digits = name.substr(name.size() - kDigits);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.front() == '-') return std::nullopt;
  name.remove_suffix(kDigits);
  if (!name.ends_with(before)) return std::nullopt;
  name.remove_suffix(before.size());
  return number;
}

}  // namespace

std::optional<GgufPartName> GgufPartName::parse(std::string_view file_name) {
  if (!file_name.ends_with(kEnding)) return std::nullopt;
  file_name.remove_suffix(kEnding.size());
  const auto count = take_number(file_name, kOf);
  if (!count) return std::nullopt;
  const auto number = take_number(file_name, "-");
  if (!number || *number < 1 || *number > *count) return std::nullopt;
  return GgufPartName{std::string(file_name), *number - 1, *count};
}

std::string GgufPartName::str() const { return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part + 1, count); }

int64_t gguf_part_count(const GgufMetadata& metadata) {
  const int64_t count = metadata.integer("split.count").value_or(1);
  if (count < 1 || count > kMaxParts) {
    fail(ErrorCode::kBadValue, "{}: key 'split.count' is {}, expected 1 to {}", metadata.file_name(), count, kMaxParts);
  }
  return count;
}

void check_gguf_part(const GgufMetadata& first, const GgufMetadata& metadata, int64_t part) {
  if (const int64_t number = metadata.require_integer("split.no"); number != part) {
    fail(ErrorCode::kShardMismatch, "{}: key 'split.no' is {}, expected {}", metadata.file_name(), number, part);
  }
  for (const auto& [key, value] : metadata.entries()) {
    if (key == "split.no") continue;
    const GgufValue* other = first.find(key);
    if (other != nullptr && other->value != value.value) {
      fail(ErrorCode::kShardMismatch, "{}: key '{}' has another value than in {}: a part of another model",
           metadata.file_name(), printable(key), first.file_name());
    }
  }
  if (metadata.find("split.count") == nullptr) {
    fail(ErrorCode::kShardMismatch, "{}: key 'split.count' is missing: not a part of a split file",
         metadata.file_name());
  }
}

}  // namespace duet
