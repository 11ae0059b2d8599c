#include <array>
#include <limits>
#include <type_traits>

#include "base/error.h"
#include "formats/gguf.h"

namespace duet {
namespace {

// In the order of the alternatives of Scalar and Array.
constexpr std::array<std::string_view, 12> kKindNames = {"u8",  "i8",   "u16",    "i16", "u32", "i32",
                                                         "f32", "bool", "string", "u64", "i64", "f64"};

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

[[noreturn]] void fail_kind(const GgufMetadata& metadata, std::string_view key, const GgufValue& found,
                            std::string_view wanted) {
  fail(ErrorCode::kBadType, "{}: key '{}' is of type {}, expected {}", metadata.file_name(), printable(key),
       found.kind_name(), wanted);
}

[[noreturn]] void fail_missing(const GgufMetadata& metadata, std::string_view key) {
  fail(ErrorCode::kMissingKey, "{}: key '{}' is missing", metadata.file_name(), printable(key));
}

template <typename T>
int64_t to_int64(const GgufMetadata& metadata, std::string_view key, T value) {
  if (std::is_unsigned_v<T> &&
      static_cast<uint64_t>(value) > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    fail(ErrorCode::kBadValue, "{}: key '{}' holds {}, expected at most {}", metadata.file_name(), printable(key),
         value, std::numeric_limits<int64_t>::max());
  }
  return static_cast<int64_t>(value);
}

/// The value of `key` as Scalar alternative T; std::nullopt when absent.
template <typename T>
std::optional<T> scalar(const GgufMetadata& metadata, std::string_view key, std::string_view wanted) {
  const GgufValue* found = metadata.find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) {
    if (const T* value = std::get_if<T>(&std::get<0>(found->value))) return *value;
  }
  fail_kind(metadata, key, *found, wanted);
}

}  // namespace

std::string GgufValue::kind_name() const {
  if (const auto* scalar_value = std::get_if<Scalar>(&value)) return std::string(kKindNames[scalar_value->index()]);
  return fmt::format("array of {}", kKindNames[std::get<Array>(value).index()]);
}

void GgufMetadata::add(std::string key, GgufValue value) {
  if (!index_.emplace(key, entries_.size()).second) {
    fail(ErrorCode::kBadKey, "{}: key '{}' stands twice", file_name_, printable(key));
  }
  entries_.emplace_back(std::move(key), std::move(value));
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = index_.find(std::string(key));
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

std::optional<int64_t> GgufMetadata::integer(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (found->is_array()) fail_kind(*this, key, *found, "an integer");
  return std::visit(
      [&](const auto& value) -> int64_t {
        if constexpr (kIsInteger<std::decay_t<decltype(value)>>) {
          return to_int64(*this, key, value);
        } else {
          fail_kind(*this, key, *found, "an integer");
        }
      },
      std::get<0>(found->value));
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (found->is_array()) fail_kind(*this, key, *found, "f32 or f64");
  return std::visit(
      [&](const auto& value) -> double {
        if constexpr (std::is_floating_point_v<std::decay_t<decltype(value)>>) {
          return value;
        } else {
          fail_kind(*this, key, *found, "f32 or f64");
        }
      },
      std::get<0>(found->value));
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const { return scalar<bool>(*this, key, "bool"); }

std::optional<std::string> GgufMetadata::string(std::string_view key) const {
  return scalar<std::string>(*this, key, "string");
}

const TextList* GgufMetadata::strings(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return nullptr;
  if (found->is_array()) {
    if (const auto* values = std::get_if<TextList>(&std::get<1>(found->value))) return values;
  }
  fail_kind(*this, key, *found, "array of string");
}

std::optional<std::vector<int64_t>> GgufMetadata::integers(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) fail_kind(*this, key, *found, "array of integers");
  return std::visit(
      [&](const auto& values) -> std::vector<int64_t> {
        if constexpr (kIsInteger<typename std::decay_t<decltype(values)>::value_type>) {
          std::vector<int64_t> out;
          out.reserve(values.size());
          for (const auto value : values) out.push_back(to_int64(*this, key, value));
          return out;
        } else {
          fail_kind(*this, key, *found, "array of integers");
        }
      },
      std::get<1>(found->value));
}

std::optional<std::vector<double>> GgufMetadata::numbers(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) fail_kind(*this, key, *found, "array of f32 or f64");
  return std::visit(
      [&](const auto& values) -> std::vector<double> {
        if constexpr (std::is_floating_point_v<typename std::decay_t<decltype(values)>::value_type>) {
          return {values.begin(), values.end()};
        } else {
          fail_kind(*this, key, *found, "array of f32 or f64");
        }
      },
      std::get<1>(found->value));
}

int64_t GgufMetadata::require_integer(std::string_view key) const {
  const auto value = integer(key);
  if (!value) fail_missing(*this, key);
  return *value;
}

double GgufMetadata::require_number(std::string_view key) const {
  const auto value = number(key);
  if (!value) fail_missing(*this, key);
  return *value;
}

std::string GgufMetadata::require_string(std::string_view key) const {
  auto value = string(key);
  if (!value) fail_missing(*this, key);
  return *std::move(value);
}

const TextList& GgufMetadata::require_strings(std::string_view key) const {
  const auto* values = strings(key);
  if (values == nullptr) fail_missing(*this, key);
  return *values;
}

}  // namespace duet
