#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "formats/gguf.h"

namespace duet {

/// Reads the fields of a configuration, judges kind and range, and keeps account of the keys that were understood.
/// One reader for config.json and for GGUF metadata. A JSON null counts as absent.
/// Messages: "config.json: num_attention_heads is 0, legal are 1 to 65536".
class Fields {
 public:
  /// The members of a JSON object; `prefix` is put in front of keys in messages ("rope_scaling.").
  static Fields of_json(const Json& object, std::string file, std::string prefix = {});
  /// The keys "ARCHITECTURE.*" of GGUF metadata, named without that prefix in the calls below.
  static Fields of_gguf(const GgufMetadata& metadata, const std::string& architecture);

  bool has(std::string_view key) const;
  /// Throws bad_type, bad_value (legal range is [min, max]).
  std::optional<int64_t> integer(const std::string& key, int64_t min, int64_t max);
  int64_t require_integer(const std::string& key, int64_t min, int64_t max);
  /// Finite; legal range is (above, max].
  std::optional<double> number(const std::string& key, double above, double max);
  double require_number(const std::string& key, double above, double max);
  std::optional<bool> boolean(const std::string& key);
  std::optional<std::string> string(const std::string& key);
  /// The elements of an array; nullptr when absent. Throws bad_type.
  const Json::Array* array(const std::string& key);
  /// The same with one element for each layer. Throws bad_value.
  const Json::Array* layer_array(const std::string& key, int64_t layers);
  /// The raw value, marked as understood; nullptr when absent.
  const Json* raw(const std::string& key);
  /// Keys that change nothing in inference, or that somebody else judges.
  void ignore(std::initializer_list<std::string_view> keys);

  /// Keys that nobody has asked for, in file order, with the prefix.
  std::vector<std::string> stray() const;
  const std::string& file() const { return file_; }
  /// The key as messages name it.
  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  [[noreturn]] void fail_value(std::string_view key, const std::string& value, const std::string& legal) const;

 private:
  Fields(std::string file, std::string prefix) : file_(std::move(file)), prefix_(std::move(prefix)) {}
  const Json* find(std::string_view key) const;

  std::string file_, prefix_;
  Json::Object members_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace duet
