#include "formats/hf_json.h"

#include <array>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/file.h"

namespace duet {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{4} << 20;
constexpr int64_t kMaxConfigValues = int64_t{1} << 18;
constexpr std::string_view kGenerationFile = "generation_config.json";

struct Range {
  std::string_view key;
  double min, max;
  bool open_min;  // min itself is outside
  bool integer;
  std::string_view words;
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array<Range, 6> kRanges = {{
    {"temperature", 0, kInfinity, false, false, "a number >= 0"},
    {"top_p", 0, 1, false, false, "a number in 0..1"},
    {"min_p", 0, 1, false, false, "a number in 0..1"},
    {"typical_p", 0, 1, false, false, "a number in 0..1"},
    {"top_k", 0, kInfinity, false, true, "an integer >= 0"},
    {"repetition_penalty", 0, kInfinity, true, false, "a number > 0"},
}};

[[noreturn]] void fail_value(std::string_view key, const Json& value, std::string_view wanted) {
  fail(ErrorCode::kBadValue, "{}: {} is {}, expected {}", kGenerationFile, key, printable(value.dump()), wanted);
}

void check_range(const Json& generation, const Range& range) {
  const Json* value = generation.find(range.key);
  if (value == nullptr || value->is_null()) return;
  const bool kind = range.integer ? value->is_integer() : value->is_number();
  if (!kind || value->number() < range.min || value->number() > range.max ||
      (range.open_min && value->number() == range.min)) {
    fail_value(range.key, *value, range.words);
  }
}

std::optional<int64_t> vocabulary_size(const Json* config) {
  if (config == nullptr) return std::nullopt;
  const Json* text = config->find("text_config");
  for (const Json* holder : {config, text}) {
    const Json* size = holder != nullptr ? holder->find("vocab_size") : nullptr;
    if (size != nullptr && size->is_integer()) return size->integer();
  }
  return std::nullopt;
}

void check_token_id(std::string_view key, const Json& value, std::optional<int64_t> vocabulary) {
  if (!value.is_integer() || value.integer() < 0 || (vocabulary && value.integer() >= *vocabulary)) {
    fail_value(key, value, vocabulary ? fmt::format("token ids from 0 to {}", *vocabulary - 1) : "token ids >= 0");
  }
}

}  // namespace

Json read_json_object(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  Json json = parse_json(read_text_file(path, kMaxConfigBytes), name, {.max_values = kMaxConfigValues});
  if (!json.is_object()) fail(ErrorCode::kBadJson, "{}: of type {}, expected an object", name, json.kind_name());
  return json;
}

void check_generation_config(const Json& generation, const Json* config) {
  for (const Range& range : kRanges) check_range(generation, range);
  if (const Json* value = generation.find("do_sample"); value != nullptr && !value->is_null() && !value->is_bool()) {
    fail_value("do_sample", *value, "true or false");
  }
  const std::optional<int64_t> vocabulary = vocabulary_size(config);
  for (const std::string_view key : {"bos_token_id", "eos_token_id"}) {
    const Json* value = generation.find(key);
    if (value == nullptr || value->is_null()) continue;
    if (!value->is_array()) {
      check_token_id(key, *value, vocabulary);
      continue;
    }
    for (const Json& id : value->array()) check_token_id(key, id, vocabulary);
  }
}

}  // namespace duet
