#include "model/families/fields.h"

#include <cmath>
#include <type_traits>

#include "base/error.h"

namespace duet {
namespace {

template <typename T>
Json to_json(const T& v) {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
    return Json(v);
  } else if constexpr (std::is_floating_point_v<T>) {
    return Json(static_cast<double>(v));
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    if (v > static_cast<uint64_t>(INT64_MAX)) return Json(Json::BigInteger{std::to_string(v)});
    return Json(static_cast<int64_t>(v));
  } else {
    return Json(static_cast<int64_t>(v));
  }
}

Json to_json(const GgufValue& value) {
  if (const auto* scalar = std::get_if<GgufValue::Scalar>(&value.value)) {
    return std::visit([](const auto& v) { return to_json(v); }, *scalar);
  }
  return std::visit(
      [](const auto& values) {
        Json::Array array;
        for (const auto& v : values)
          array.push_back(to_json(static_cast<typename std::decay_t<decltype(values)>::value_type>(v)));
        return Json(std::move(array));
      },
      std::get<GgufValue::Array>(value.value));
}

}  // namespace

Fields Fields::of_json(const Json& object, std::string file, std::string prefix) {
  Fields fields(std::move(file), std::move(prefix));
  fields.members_ = object.object();
  return fields;
}

Fields Fields::of_gguf(const GgufMetadata& metadata, const std::string& architecture) {
  Fields fields(metadata.file_name(), architecture + ".");
  for (const auto& [key, value] : metadata.entries()) {
    if (key.starts_with(fields.prefix_))
      fields.members_.emplace_back(key.substr(fields.prefix_.size()), to_json(value));
  }
  return fields;
}

const Json* Fields::find(std::string_view key) const {
  for (const auto& [name, value] : members_) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

bool Fields::has(std::string_view key) const { return find(key) != nullptr; }

const Json* Fields::raw(const std::string& key) {
  taken_.insert(key);
  return find(key);
}

void Fields::fail_value(std::string_view key, const std::string& value, const std::string& legal) const {
  fail(ErrorCode::kBadValue, "{}: {} is {}, legal: {}", file_, name(key), printable(value), legal);
}

std::optional<int64_t> Fields::integer(const std::string& key, int64_t min, int64_t max) {
  const Json* value = raw(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_big_integer()) fail_value(key, value->dump(), fmt::format("{} to {}", min, max));
  if (!value->is_integer()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {} ({}), an integer is wanted", file_, name(key), value->kind_name(),
         printable(value->dump(), 60));
  }
  if (value->integer() < min || value->integer() > max) {
    fail_value(key, value->dump(), fmt::format("{} to {}", min, max));
  }
  return value->integer();
}

int64_t Fields::require_integer(const std::string& key, int64_t min, int64_t max) {
  const auto value = integer(key, min, max);
  if (!value) fail(ErrorCode::kMissingKey, "{}: the key {} is missing", file_, name(key));
  return *value;
}

std::optional<double> Fields::number(const std::string& key, double above, double max) {
  const Json* value = raw(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {} ({}), a number is wanted", file_, name(key), value->kind_name(),
         printable(value->dump(), 60));
  }
  const double number = value->number();
  if (!std::isfinite(number) || number <= above || number > max) {
    fail_value(key, fmt::format("{}", number), fmt::format("above {}, at most {}", above, max));
  }
  return number;
}

double Fields::require_number(const std::string& key, double above, double max) {
  const auto value = number(key, above, max);
  if (!value) fail(ErrorCode::kMissingKey, "{}: the key {} is missing", file_, name(key));
  return *value;
}

std::optional<bool> Fields::boolean(const std::string& key) {
  const Json* value = raw(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {} ({}), true or false is wanted", file_, name(key),
         value->kind_name(), printable(value->dump(), 60));
  }
  return value->boolean();
}

std::optional<std::string> Fields::string(const std::string& key) {
  const Json* value = raw(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {} ({}), a string is wanted", file_, name(key), value->kind_name(),
         printable(value->dump(), 60));
  }
  return value->string();
}

const Json::Array* Fields::array(const std::string& key) {
  const Json* value = raw(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {}, an array is wanted", file_, name(key), value->kind_name());
  }
  return &value->array();
}

const Json::Array* Fields::layer_array(const std::string& key, int64_t layers) {
  const Json::Array* values = array(key);
  if (values != nullptr && static_cast<int64_t>(values->size()) != layers) {
    fail_value(key, fmt::format("{} entries", values->size()), fmt::format("one for each of {} layers", layers));
  }
  return values;
}

void Fields::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) taken_.emplace(key);
}

std::vector<std::string> Fields::stray() const {
  std::vector<std::string> keys;
  for (const auto& member : members_) {
    if (!taken_.contains(member.first)) keys.push_back(name(member.first));
  }
  return keys;
}

}  // namespace duet
