#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/text_list.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace duet {

/// One metadata value. Arrays keep their element type, so that 250k tokens cost their bytes and little more.
struct GgufValue {
  using Scalar = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string, uint64_t,
                              int64_t, double>;
  using Array = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                             std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>, std::vector<bool>,
                             TextList, std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;
  std::variant<Scalar, Array> value;

  bool is_array() const { return value.index() == 1; }
  /// "u32", "string", "array of i32", ... for messages.
  std::string kind_name() const;
};

/// The key-value section of a GGUF file. Getters name file, key, kind found and kind wanted when they throw:
/// missing_key, bad_type, bad_value (an integer that does not fit int64).
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string file_name) : file_name_(std::move(file_name)) {}
  const std::string& file_name() const { return file_name_; }
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }  // file order, unique keys
  void add(std::string key, GgufValue value);
  const GgufValue* find(std::string_view key) const;

  /// Any integer type; std::nullopt when the key is absent.
  std::optional<int64_t> integer(std::string_view key) const;
  /// f32 or f64 (an integer type is bad_type).
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  /// nullptr when absent.
  const TextList* strings(std::string_view key) const;
  /// Array of any integer type, widened.
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  /// Array of f32 or f64.
  std::optional<std::vector<double>> numbers(std::string_view key) const;
  int64_t require_integer(std::string_view key) const;
  double require_number(std::string_view key) const;
  std::string require_string(std::string_view key) const;
  const TextList& require_strings(std::string_view key) const;

 private:
  std::string file_name_;
  std::vector<std::pair<std::string, GgufValue>> entries_;
  std::unordered_map<std::string, size_t> index_;
};

/// A tensor as the file lists it; shape outermost first (the file stores it reversed).
struct GgufTensor {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t offset;  // from the start of the file
  uint64_t bytes;
};

/// Header, metadata and tensor table of one GGUF v2 or v3 file, everything checked against the file's size before it is
/// allocated (caps, codes and order of judgement: docs/outside-checks.md). Reads no tensor data.
struct GgufFile {
  uint32_t version = 0;
  uint64_t alignment = 32;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // file order
};

GgufFile parse_gguf(const ByteSource& source);

}  // namespace duet
