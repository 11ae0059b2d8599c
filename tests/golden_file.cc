#include "tests/golden_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace duet::test {
namespace {

static_assert(std::endian::native == std::endian::little, "the numbers of a safetensors file are little-endian");

constexpr uint64_t kMaxBytes = 512ULL << 20;
constexpr int64_t kMaxElements = int64_t{1} << 40;

int64_t element_bytes(std::string_view dtype) {
  static const std::map<std::string_view, int64_t> kBytes = {
      {"F64", 8}, {"I64", 8}, {"U64", 8}, {"F32", 4}, {"I32", 4},  {"U32", 4},     {"F16", 2},    {"BF16", 2},
      {"I16", 2}, {"U16", 2}, {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  const auto found = kBytes.find(dtype);
  return found == kBytes.end() ? 0 : found->second;
}

/// A list of integers in [0, kMaxElements].
std::vector<int64_t> integers(const Json* json, std::string_view file, std::string_view tensor, std::string_view key) {
  if (json == nullptr || !json->is_array()) fail(ErrorCode::kBadType, "{}: '{}': {} is no list", file, tensor, key);
  std::vector<int64_t> list;
  for (const Json& item : json->array()) {
    if (!item.is_integer() || item.integer() < 0 || item.integer() > kMaxElements) {
      fail(ErrorCode::kBadValue, "{}: '{}': {} holds {}", file, tensor, key, item.dump());
    }
    list.push_back(item.integer());
  }
  return list;
}

}  // namespace

GoldenFile::GoldenFile(const std::filesystem::path& path) : file_(path.string()) {
  std::string text = read_text_file(path, kMaxBytes);
  uint64_t header_bytes = 0;
  if (text.size() < sizeof header_bytes) fail(ErrorCode::kTruncated, "{}: {} bytes, at least 8", file_, text.size());
  std::memcpy(&header_bytes, text.data(), sizeof header_bytes);
  if (header_bytes > text.size() - sizeof header_bytes) {
    fail(ErrorCode::kTruncated, "{}: a header of {} bytes in a file of {}", file_, header_bytes, text.size());
  }
  const Json header = parse_json(std::string_view(text).substr(sizeof header_bytes, header_bytes), file_);
  if (!header.is_object()) fail(ErrorCode::kBadType, "{}: the header is no object", file_);
  data_ = text.substr(sizeof header_bytes + header_bytes);

  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (const auto& [name, entry] : header.object()) {
    if (name == "__metadata__") continue;
    const Json* dtype = entry.find("dtype");
    if (dtype == nullptr || !dtype->is_string() || element_bytes(dtype->string()) == 0) {
      fail(ErrorCode::kBadDtype, "{}: '{}': dtype {}", file_, name, dtype == nullptr ? "missing" : dtype->dump());
    }
    if (entry.object().size() != 3) fail(ErrorCode::kBadKey, "{}: '{}': keys {}", file_, name, entry.dump());
    const std::vector<int64_t> dims = integers(entry.find("shape"), file_, name, "shape");
    const std::vector<int64_t> range = integers(entry.find("data_offsets"), file_, name, "data_offsets");
    if (dims.size() > static_cast<size_t>(Shape::kMaxRank)) {
      fail(ErrorCode::kBadShape, "{}: '{}': {} dimensions", file_, name, dims.size());
    }
    if (range.size() != 2) fail(ErrorCode::kBadOffset, "{}: '{}': {} offsets", file_, name, range.size());
    Tensor tensor{.dtype = dtype->string(), .offset_bytes = range[0], .size_bytes = range[1] - range[0]};
    int64_t elements = 1;
    for (const int64_t dim : dims) {
      tensor.shape.push_back(dim);
      if (dim != 0 && elements > kMaxElements / dim) fail(ErrorCode::kSizeOverflow, "{}: '{}': too large", file_, name);
      elements *= dim;
    }
    if (tensor.size_bytes != elements * element_bytes(tensor.dtype)) {
      fail(ErrorCode::kBadOffset, "{}: '{}': {} bytes for {} elements of {}", file_, name, tensor.size_bytes, elements,
           tensor.dtype);
    }
    ranges.emplace_back(range[0], range[1]);
    tensors_.emplace(name, std::move(tensor));
  }
  std::sort(ranges.begin(), ranges.end());
  int64_t end = 0;
  for (const auto& [first, last] : ranges) {
    if (first != end) fail(ErrorCode::kBadOffset, "{}: a gap or an overlap at byte {} of the data", file_, end);
    end = last;
  }
  if (end != static_cast<int64_t>(data_.size())) {
    fail(ErrorCode::kTruncated, "{}: {} bytes of tensors, {} bytes of data", file_, end, data_.size());
  }
}

const GoldenFile::Tensor& GoldenFile::at(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(ErrorCode::kMissingTensor, "{}: no tensor '{}'", file_, name);
  return found->second;
}

template <typename T>
std::vector<T> GoldenFile::read(std::string_view name, std::initializer_list<std::string_view> dtypes) const {
  const Tensor& tensor = at(name);
  if (std::find(dtypes.begin(), dtypes.end(), tensor.dtype) == dtypes.end()) {
    fail(ErrorCode::kBadDtype, "{}: '{}' is {}, read as {}", file_, name, tensor.dtype, *dtypes.begin());
  }
  std::vector<T> values(static_cast<size_t>(tensor.size_bytes) / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), data_.data() + tensor.offset_bytes, values.size() * sizeof(T));
  return values;
}

std::vector<float> GoldenFile::f32(std::string_view name) const { return read<float>(name, {"F32"}); }
std::vector<double> GoldenFile::f64(std::string_view name) const { return read<double>(name, {"F64"}); }
std::vector<uint8_t> GoldenFile::u8(std::string_view name) const {
  return read<uint8_t>(name, {"U8", "BOOL", "F8_E4M3", "F8_E5M2"});
}
std::vector<int8_t> GoldenFile::i8(std::string_view name) const { return read<int8_t>(name, {"I8"}); }
std::vector<uint16_t> GoldenFile::u16(std::string_view name) const {
  return read<uint16_t>(name, {"U16", "F16", "BF16"});
}
std::vector<int32_t> GoldenFile::i32(std::string_view name) const { return read<int32_t>(name, {"I32"}); }
std::vector<int64_t> GoldenFile::i64(std::string_view name) const { return read<int64_t>(name, {"I64"}); }

std::vector<std::byte> GoldenFile::bytes(std::string_view name) const {
  const Tensor& tensor = at(name);
  std::vector<std::byte> bytes(static_cast<size_t>(tensor.size_bytes));
  if (!bytes.empty()) std::memcpy(bytes.data(), data_.data() + tensor.offset_bytes, bytes.size());
  return bytes;
}

std::vector<std::string> GoldenFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

}  // namespace duet::test
