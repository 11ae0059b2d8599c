#include "hub/manifest.h"

#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "hub/sha256.h"

namespace duet {
namespace {

constexpr int64_t kManifestVersion = 1;
constexpr uint64_t kMaxManifestBytes = uint64_t{1} << 20;

class ManifestReader {
 public:
  ManifestReader(const Json& json, const std::string& file) : json_(json), file_(file) {}
  const Json& require(std::string_view key) const {
    const Json* value = json_.find(key);
    if (value == nullptr) fail(ErrorCode::kMissingKey, "{}: key '{}' is missing", file_, key);
    return *value;
  }
  std::string text(std::string_view key) const {
    const Json& value = require(key);
    if (!value.is_string()) refuse_kind(key, value, "string");
    return value.string();
  }
  int64_t integer(std::string_view key) const {
    const Json& value = require(key);
    if (!value.is_integer()) refuse_kind(key, value, "integer");
    return value.integer();
  }

 private:
  [[noreturn]] void refuse_kind(std::string_view key, const Json& value, std::string_view wanted) const {
    fail(ErrorCode::kBadType, "{}: key '{}' is a {}, not a {}", file_, key, value.kind_name(), wanted);
  }
  const Json& json_;
  const std::string& file_;
};

StoredModel from_json(const Json& json, const std::string& name, const std::string& file) {
  const ManifestReader reader(json, file);
  if (const int64_t version = reader.integer("version"); version != kManifestVersion) {
    fail(ErrorCode::kUnsupportedVersion, "{}: version {} (supported: {})", file, version, kManifestVersion);
  }
  StoredModel model;
  model.name = reader.text("name");
  if (model.name != name) fail(ErrorCode::kBadValue, "{}: key 'name' is '{}'", file, printable(model.name));
  model.title = reader.text("title");
  model.family = reader.text("family");
  model.architecture = reader.text("architecture");
  const ManifestReader licence(reader.require("licence"), file);
  model.licence = {licence.text("in_file"), licence.text("in_package"), licence.text("model")};
  model.source = reader.text("source");
  const int64_t bytes = reader.integer("bytes");
  if (bytes < 0) fail(ErrorCode::kBadValue, "{}: key 'bytes' is {}", file, bytes);
  model.bytes = static_cast<uint64_t>(bytes);
  if (json.find("adopted") != nullptr) {
    model.adopted = reader.text("adopted");
    model.modified_ns = reader.integer("modified_ns");
    if (!model.adopted.is_absolute()) fail(ErrorCode::kBadValue, "{}: key 'adopted' is no absolute path", file);
  } else {
    model.sha256 = reader.text("sha256");
    if (!is_sha256(model.sha256)) fail(ErrorCode::kBadValue, "{}: key 'sha256' is no SHA-256", file);
  }
  return model;
}

}  // namespace

std::string manifest_text(const StoredModel& model) {
  Json::Object object{
      {"version", kManifestVersion},
      {"name", model.name},
      {"title", model.title},
      {"family", model.family},
      {"architecture", model.architecture},
      {"licence", Json::Object{{"in_file", model.licence.in_file},
                               {"in_package", model.licence.in_package},
                               {"model", model.licence.model}}},
      {"source", model.source},
      {"bytes", static_cast<int64_t>(model.bytes)},
  };
  if (model.adopted.empty()) {
    object.emplace_back("sha256", model.sha256);
  } else {
    object.emplace_back("adopted", model.adopted.string());
    object.emplace_back("modified_ns", model.modified_ns);
  }
  return Json(std::move(object)).dump() + "\n";
}

StoredModel read_manifest(const std::filesystem::path& path, const std::string& name) {
  const std::string file = path.filename().string();
  try {
    return from_json(parse_json(read_text_file(path, kMaxManifestBytes), file), name, file);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) throw;
    StoredModel broken;
    broken.name = name;
    broken.problem = error.message();
    return broken;
  }
}

}  // namespace duet
