#include "apps/inspect_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>

#include "base/utf8.h"

namespace duet {
namespace {

constexpr size_t kMaxArrayValues = 8;  // of a metadata array that are shown
constexpr size_t kMaxColumns = 100;    // of a value in the text form

// ---- the report ----

Json scalar_json(const GgufValue::Scalar& value) {
  return std::visit(
      [](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, uint64_t>) {
          if (v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
            return Json::BigInteger{std::to_string(v)};
          return static_cast<int64_t>(v);
        } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          return static_cast<int64_t>(v);
        } else if constexpr (std::is_same_v<T, float>) {
          return std::strtod(fmt::format("{}", v).c_str(), nullptr);  // 1e-05, not the digits of its double
        } else {
          return v;
        }
      },
      value);
}

Json metadata_json(const GgufValue& value) {
  if (!value.is_array()) return scalar_json(std::get<GgufValue::Scalar>(value.value));
  return std::visit(
      [&](const auto& values) -> Json {
        Json::Array first;
        for (size_t i = 0; i < std::min(values.size(), kMaxArrayValues); ++i) {
          using T = typename std::decay_t<decltype(values)>::value_type;
          first.push_back(scalar_json(GgufValue::Scalar(static_cast<T>(values[i]))));
        }
        if (first.size() == values.size()) return first;
        return Json::Object{
            {"type", value.kind_name()}, {"length", static_cast<int64_t>(values.size())}, {"first", std::move(first)}};
      },
      std::get<GgufValue::Array>(value.value));
}

/// Null when the files name none.
Json architecture(const Checkpoint& checkpoint) {
  if (const GgufMetadata* metadata = checkpoint.metadata()) {
    const GgufValue* value = metadata->find("general.architecture");
    return value != nullptr ? metadata_json(*value) : Json();
  }
  if (checkpoint.config() == nullptr) return {};
  const Json* names = checkpoint.config()->find("architectures");
  if (names != nullptr && names->is_array() && !names->array().empty()) return names->array().front();
  const Json* type = checkpoint.config()->find("model_type");
  return type != nullptr ? *type : Json();
}

std::string format_name(const Checkpoint& checkpoint) {
  switch (checkpoint.kind()) {
    case CheckpointKind::kGguf:
      return fmt::format("GGUF v{}", checkpoint.gguf_version());
    case CheckpointKind::kSafetensors:
      return "safetensors";
    case CheckpointKind::kFolder:
      return "Hugging Face folder";
  }
  return {};
}

/// Counts of tensors and bytes for each type, largest share first.
Json::Array type_rows(const Checkpoint& checkpoint) {
  struct Row {
    int64_t tensors = 0;
    int64_t parameters = 0;
    int64_t bytes = 0;
  };
  std::map<std::string_view, Row> types;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    Row& row = types[dtype_info(tensor.dtype).name];
    ++row.tensors;
    row.parameters += tensor.shape.elements();
    row.bytes += static_cast<int64_t>(tensor.bytes);
  }
  std::vector<std::pair<std::string_view, Row>> rows(types.begin(), types.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  Json::Array out;
  for (const auto& [type, row] : rows) {
    out.push_back(
        Json::Object{{"type", type}, {"tensors", row.tensors}, {"parameters", row.parameters}, {"bytes", row.bytes}});
  }
  return out;
}

Json::Array tensor_rows(const Checkpoint& checkpoint) {
  Json::Array out;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    Json::Array shape;
    for (int i = 0; i < tensor.shape.rank(); ++i) shape.emplace_back(tensor.shape[i]);
    out.push_back(Json::Object{{"name", tensor.name},
                               {"type", dtype_info(tensor.dtype).name},
                               {"shape", std::move(shape)},
                               {"bytes", static_cast<int64_t>(tensor.bytes)},
                               {"file", checkpoint.files()[static_cast<size_t>(tensor.file)]->name()},
                               {"offset", static_cast<int64_t>(tensor.offset)}});
  }
  return out;
}

// ---- its text ----

/// Keeps what a terminal prints as it is; control characters, also the C1 ones and those that turn the writing
/// direction, become \u{..}. Cut after kMaxColumns characters.
std::string shown(std::string_view text) {
  std::string out;
  size_t columns = 0;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    const char32_t c = step.code;
    if (++columns > kMaxColumns) return out + "...";
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
        (c >= 0x2066 && c <= 0x2069)) {
      out += fmt::format("\\u{{{:x}}}", static_cast<uint32_t>(c));
    } else {
      append_utf8(out, c);
    }
    text.remove_prefix(static_cast<size_t>(step.length));
  }
  return out;
}

std::string value_text(const Json& value) {
  if (value.is_string()) return shown(value.string());
  const Json* length = value.find("length");
  const Json* first = value.find("first");
  if (length == nullptr || first == nullptr || !length->is_integer()) return shown(value.dump());
  return shown(fmt::format("{} values: {}", length->integer(), first->dump()));
}

std::string bytes_text(int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", number / 1e9);
  if (bytes >= 1'000'000) return fmt::format("{:.1f} MB", number / 1e6);
  if (bytes >= 1'000) return fmt::format("{:.1f} kB", number / 1e3);
  return fmt::format("{} B", bytes);
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), 1, ',');
  return digits;
}

void add_section(std::string& out, std::string_view title, const Json* object) {
  if (object == nullptr || !object->is_object() || object->object().empty()) return;
  out += fmt::format("\n{}\n", title);
  size_t width = 0;
  for (const auto& [key, value] : object->object()) width = std::max(width, std::min(key.size(), size_t{44}));
  for (const auto& [key, value] : object->object())
    out += fmt::format("  {:<{}}  {}\n", shown(key), width, value_text(value));
}

}  // namespace

Json inspect_report(const Checkpoint& checkpoint, bool list_tensors) {
  Json::Array files;
  int64_t bytes = 0;
  for (const auto& file : checkpoint.files()) {
    files.push_back(Json::Object{{"name", file->name()}, {"bytes", static_cast<int64_t>(file->size())}});
    bytes += static_cast<int64_t>(file->size());
  }
  int64_t parameters = 0;
  for (const TensorEntry& tensor : checkpoint.tensors()) parameters += tensor.shape.elements();
  Json::Object report{{"name", checkpoint.name()},
                      {"format", format_name(checkpoint)},
                      {"architecture", architecture(checkpoint)},
                      {"parameters", parameters},
                      {"bytes", bytes},
                      {"tensor_count", static_cast<int64_t>(checkpoint.tensors().size())},
                      {"types", type_rows(checkpoint)},
                      {"files", std::move(files)}};
  if (const GgufMetadata* metadata = checkpoint.metadata()) {
    Json::Object entries;
    for (const auto& [key, value] : metadata->entries()) entries.emplace_back(key, metadata_json(value));
    report.emplace_back("metadata", std::move(entries));
  }
  if (checkpoint.config() != nullptr) report.emplace_back("config", *checkpoint.config());
  if (checkpoint.generation_config() != nullptr)
    report.emplace_back("generation_config", *checkpoint.generation_config());
  if (list_tensors) report.emplace_back("tensors", tensor_rows(checkpoint));
  return report;
}

std::string inspect_text(const Json& report) {
  const auto integer = [](const Json& object, std::string_view key) { return object.find(key)->integer(); };
  const Json::Array& files = report.find("files")->array();
  std::string out = shown(report.find("name")->string()) + "\n";
  out += fmt::format("  format        {}, {} in {} file{}\n", report.find("format")->string(),
                     bytes_text(integer(report, "bytes")), files.size(), files.size() == 1 ? "" : "s");
  if (const Json* name = report.find("architecture"); !name->is_null()) {
    out += fmt::format("  architecture  {}\n", value_text(*name));
  }
  out += fmt::format("  parameters    {}\n", grouped(integer(report, "parameters")));
  out += fmt::format("  tensors       {}\n", integer(report, "tensor_count"));
  for (const Json& row : report.find("types")->array()) {
    out += fmt::format("    {:<8} {:>6} tensors  {:>10}\n", row.find("type")->string(), integer(row, "tensors"),
                       bytes_text(integer(row, "bytes")));
  }
  for (const std::string_view section : {"metadata", "config", "generation_config"}) {
    add_section(out, section, report.find(section));
  }
  if (const Json* tensors = report.find("tensors")) {
    out += "\ntensors\n";
    size_t width = 0;
    for (const Json& row : tensors->array())
      width = std::max(width, std::min(row.find("name")->string().size(), size_t{60}));
    for (const Json& row : tensors->array()) {
      out += fmt::format("  {:<{}}  {:<8} {}", shown(row.find("name")->string()), width, row.find("type")->string(),
                         row.find("shape")->dump());
      out += files.size() > 1 ? fmt::format("  {}\n", shown(row.find("file")->string())) : "\n";
    }
  }
  return out;
}

}  // namespace duet
