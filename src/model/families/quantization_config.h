#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "model/families/fields.h"
#include "model/weight_scheme.h"

namespace duet {

/// What a quantization_config wants of a module: packed, plain, or it does not say so for certain.
enum class Storage { kEither, kQuantised, kPlain };

/// The quantization_config of a config.json, judged. Its methods: fp8, compressed-tensors, awq, gptq, mxfp4,
/// bitsandbytes.
class QuantizationConfig {
 public:
  /// nullopt where there is none. Throws bad_type, bad_value, missing_key, too_large, and unsupported_feature, which
  /// names the field and the content that no scheme here has.
  static std::optional<QuantizationConfig> read(const Checkpoint& checkpoint, std::vector<std::string>& warnings);

  const std::string& method() const { return method_; }
  /// By the module's name in the file, without ".weight".
  Storage storage(const std::string& module) const;
  /// How the module is stored if it is quantised; nullptr where no group speaks of it.
  const WeightScheme* scheme(const std::string& module) const;
  /// The schemes' names, for people.
  std::string summary() const;

 private:
  struct Group {
    std::vector<std::string> targets;  // empty: every linear layer
    WeightScheme scheme;
  };
  void read_fp8(Fields& fields);
  void read_compressed(Fields& fields);
  void read_awq(Fields& fields);
  void read_gptq(Fields& fields);
  void read_mxfp4(Fields& fields);
  void read_bitsandbytes(Fields& fields);
  void read_list(Fields& fields, const std::string& key, std::vector<std::string>& out) const;
  bool is_plain_by_name(const std::string& module, bool& maybe) const;

  std::string method_;
  std::vector<Group> groups_;
  std::vector<std::string> plain_;
  bool expressions_ = false;  // compressed-tensors: exact names, "re:" expressions, names of classes
};

}  // namespace duet
