#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/shape.h"

namespace duet::test {

/// A small safetensors file of expectations, read whole. For tests only, and independent of the reader under test.
/// Everything that is not exactly as expected throws duet::Error with the file's and the tensor's name, which fails the
/// test: a header that is not strict, ranges with gaps or overlaps, a missing tensor, a tensor of another type.
class GoldenFile {
 public:
  explicit GoldenFile(const std::filesystem::path& path);

  std::vector<float> f32(std::string_view name) const;     // F32
  std::vector<double> f64(std::string_view name) const;    // F64
  std::vector<uint8_t> u8(std::string_view name) const;    // U8, BOOL, and the codes of F8_E4M3 and F8_E5M2
  std::vector<int8_t> i8(std::string_view name) const;     // I8
  std::vector<uint16_t> u16(std::string_view name) const;  // U16, and the codes of F16 and BF16
  std::vector<int32_t> i32(std::string_view name) const;   // I32
  std::vector<int64_t> i64(std::string_view name) const;   // I64
  /// The bytes of a tensor of any type.
  std::vector<std::byte> bytes(std::string_view name) const;

  bool has(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }
  const Shape& shape(std::string_view name) const { return at(name).shape; }
  /// As in the header: "BF16".
  const std::string& dtype(std::string_view name) const { return at(name).dtype; }
  /// In the order of the alphabet, without __metadata__.
  std::vector<std::string> names() const;

 private:
  struct Tensor {
    std::string dtype;
    Shape shape;
    int64_t offset_bytes = 0;  // from the start of the data
    int64_t size_bytes = 0;
  };
  const Tensor& at(std::string_view name) const;
  template <typename T>
  std::vector<T> read(std::string_view name, std::initializer_list<std::string_view> dtypes) const;

  std::string file_;
  std::string data_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace duet::test
