#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <unordered_set>

#include "base/bounded_reader.h"
#include "base/error.h"
#include "base/utf8.h"

namespace duet {
namespace {

constexpr uint64_t kMaxStringBytes = uint64_t{1} << 20;
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxTensorNameBytes = 63;
constexpr uint32_t kMaxDims = 4;
constexpr uint32_t kMinAlignment = 8;
constexpr uint32_t kMaxAlignment = 65536;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint32_t kTypeArray = 9;
constexpr uint32_t kTypeCount = 13;
// Least bytes in the file of a key-value pair (length, type, one byte) and of a tensor's entry (length, rank, type,
// offset).
constexpr uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

/// What the tables take in memory may exceed the file by this much: a file of millions of empty strings, keys or
/// tensors would otherwise cost several times its size.
constexpr uint64_t kSpareMemoryBytes = uint64_t{40} << 20;
constexpr uint64_t kPairMemoryBytes = 256;
constexpr uint64_t kTensorMemoryBytes = 640;
constexpr uint64_t kStringMemoryBytes = 32;  // as an object of its own, which users make of it

class Parser {
 public:
  explicit Parser(const ByteSource& source)
      : source_(source),
        reader_(source),
        file_{.metadata = GgufMetadata(source.name())},
        memory_left_(source.size() + kSpareMemoryBytes) {}

  GgufFile parse() {
    read_header();
    for (uint64_t i = 0; i < pair_count_; ++i) read_pair(i);
    read_alignment();
    for (uint64_t i = 0; i < tensor_count_; ++i) read_tensor(i);
    place_tensors();
    check_coverage();
    return std::move(file_);
  }

 private:
  const std::string& name() const { return source_.name(); }

  /// Counts `bytes` of memory against what the size of the file justifies.
  void take_memory(uint64_t bytes) {
    if (bytes > memory_left_) {
      fail(ErrorCode::kTooLarge, "{}: {}: keys, strings and tensors of this file need more than {} bytes of memory",
           name(), reader_.item(), source_.size() + kSpareMemoryBytes);
    }
    memory_left_ -= bytes;
  }

  void read_header() {
    reader_.item("the magic number");
    const std::string magic = reader_.read_text(4);
    if (magic != "GGUF") {
      fail(ErrorCode::kBadMagic, "{}: starts with '{}', expected 'GGUF'", name(), printable(magic));
    }
    reader_.item("the version");
    const auto version = reader_.read<uint32_t>();
    if (version != 2 && version != 3) {
      if (const uint32_t swapped = __builtin_bswap32(version); swapped >= 1 && swapped <= 3) {
        fail(ErrorCode::kUnsupportedVersion, "{}: big-endian GGUF version {}; only little-endian files are supported",
             name(), swapped);
      }
      fail(ErrorCode::kUnsupportedVersion, "{}: GGUF version {}; versions 2 and 3 are supported", name(), version);
    }
    file_.version = version;
    reader_.item("the header");
    tensor_count_ = reader_.read<uint64_t>();
    reader_.require_count(tensor_count_, kMinTensorBytes, "n_tensors");
    pair_count_ = reader_.read<uint64_t>();
    reader_.require_count(pair_count_, kMinPairBytes, "n_kv");
  }

  std::string read_key(uint64_t i) {
    reader_.item(fmt::format("key {} of {}", i, pair_count_));
    const auto bytes = reader_.read<uint64_t>();
    if (bytes == 0 || bytes > kMaxKeyBytes) {
      fail(ErrorCode::kBadKey, "{}: {} has {} bytes, expected 1 to {}", name(), reader_.item(), bytes, kMaxKeyBytes);
    }
    std::string key = reader_.read_text(bytes);
    if (key.find('\0') != std::string::npos || !is_valid_utf8(key)) {
      fail(ErrorCode::kBadKey, "{}: {} '{}' is not UTF-8 text without NUL", name(), reader_.item(), printable(key));
    }
    return key;
  }

  std::string read_string(uint64_t max_bytes) {
    const auto bytes = reader_.read<uint64_t>();
    if (bytes > max_bytes) fail_length(bytes, max_bytes, "");
    std::string text = reader_.read_text(bytes);
    judge_text(text);
    take_string_memory(bytes);
    return text;
  }

  [[noreturn]] void fail_length(uint64_t bytes, uint64_t max_bytes, std::string_view index) const {
    fail(ErrorCode::kBadString, "{}: {}{}: a string of {} bytes, at most {} are allowed", name(), reader_.item(), index,
         bytes, max_bytes);
  }

  void judge_text(std::string_view text, std::optional<uint64_t> index = {}) const {
    if (text.find('\0') == std::string_view::npos && is_valid_utf8(text)) return;
    fail(ErrorCode::kBadString, "{}: {}{}: '{}' is not UTF-8 text without NUL", name(), reader_.item(),
         index ? fmt::format("[{}]", *index) : std::string(), printable(text));
  }

  /// Beyond the string object itself, which its owner counts; short strings lie inside it.
  void take_string_memory(uint64_t bytes) {
    if (bytes > 15) take_memory(bytes + 17);
  }

  bool read_bool() {
    const auto byte = reader_.read<uint8_t>();
    if (byte > 1) {
      fail(ErrorCode::kBadValue, "{}: {}: a bool is stored as {}, expected 0 or 1", name(), reader_.item(), byte);
    }
    return byte == 1;
  }

  template <typename T>
  GgufValue read_scalar() {
    GgufValue::Scalar value;
    if constexpr (std::is_same_v<T, std::string>) {
      value = read_string(kMaxStringBytes);
    } else if constexpr (std::is_same_v<T, bool>) {
      value = read_bool();
    } else {
      value = reader_.read<T>();
    }
    return {std::move(value)};
  }

  template <typename T>
  GgufValue read_array() {
    const auto count = reader_.read<uint64_t>();
    if constexpr (std::is_same_v<T, std::string>) {
      return {GgufValue::Array(read_texts(count))};
    } else {
      return {GgufValue::Array(read_values<T>(count))};
    }
  }

  /// All strings are judged together at the end, which costs a fraction of judging each, and each by itself only where
  /// something is wrong.
  TextList read_texts(uint64_t count) {
    reader_.require_count(count, sizeof(uint64_t), "array length");
    take_memory(count * kStringMemoryBytes);
    TextList texts;
    texts.reserve(static_cast<size_t>(count), static_cast<size_t>(std::min(reader_.left(), count * 16)));
    try {
      for (uint64_t i = 0; i < count; ++i) read_text_of(texts, i);
    } catch (const Error&) {
      judge_texts(texts);  // a fault that stands before this one is said first
      throw;
    }
    judge_texts(texts);
    return texts;
  }

  void read_text_of(TextList& texts, uint64_t index) {
    const auto bytes = reader_.read<uint64_t>();
    if (bytes > kMaxStringBytes) fail_length(bytes, kMaxStringBytes, fmt::format("[{}]", index));
    if (texts.bytes().size() + bytes > TextList::kMaxBytes) {
      fail(ErrorCode::kTooLarge, "{}: {}: the strings have more than {} bytes", name(), reader_.item(),
           TextList::kMaxBytes);
    }
    if (const auto text = reader_.take_buffered(bytes)) {
      texts.append(*text);
    } else {
      texts.append(reader_.read_text(bytes));
    }
    take_string_memory(bytes);
  }

  void judge_texts(const TextList& texts) const {
    const std::string_view all = texts.bytes();
    bool good = all.find('\0') == std::string_view::npos && is_valid_utf8(all);
    // Together valid and no border inside a character: each is valid.
    for (size_t i = 0; good && i < texts.size(); ++i) {
      const size_t end = texts.end_of(i);
      good = end == all.size() || (static_cast<unsigned char>(all[end]) & 0xc0) != 0x80;
    }
    for (size_t i = 0; !good && i < texts.size(); ++i) judge_text(texts[i], i);
  }

  template <typename T>
  std::vector<T> read_values(uint64_t count) {
    std::vector<T> values;
    if constexpr (std::is_same_v<T, bool>) {
      reader_.require_count(count, 1, "array length");
      take_memory(count / 8);
      values.reserve(static_cast<size_t>(count));
      for (uint64_t i = 0; i < count; ++i) values.push_back(read_bool());
    } else {
      reader_.require_count(count, sizeof(T), "array length");
      take_memory(count * sizeof(T));
      values.resize(static_cast<size_t>(count));
      reader_.read_bytes(std::as_writable_bytes(std::span(values)));
    }
    return values;
  }

  /// The ids of types in the file are the indices of GgufValue's alternatives up to 8; 9 is an array.
  template <bool kArray>
  GgufValue read_value(uint32_t type) {
    const auto read = [this]<typename T>(T) { return kArray ? this->read_array<T>() : this->read_scalar<T>(); };
    switch (type) {
      case 0:
        return read(uint8_t{});
      case 1:
        return read(int8_t{});
      case 2:
        return read(uint16_t{});
      case 3:
        return read(int16_t{});
      case 4:
        return read(uint32_t{});
      case 5:
        return read(int32_t{});
      case 6:
        return read(float{});
      case 7:
        return read(bool{});
      case 8:
        return read(std::string{});
      case 10:
        return read(uint64_t{});
      case 11:
        return read(int64_t{});
      default:
        return read(double{});
    }
  }

  uint32_t read_value_type(std::string_view what) {
    const auto type = reader_.read<uint32_t>();
    if (type >= kTypeCount) {
      fail(ErrorCode::kBadType, "{}: {}: {} {} is unknown, expected 0 to {}", name(), reader_.item(), what, type,
           kTypeCount - 1);
    }
    return type;
  }

  void read_pair(uint64_t i) {
    std::string key = read_key(i);
    take_memory(kPairMemoryBytes + 2 * key.size());
    reader_.item(fmt::format("key '{}'", printable(key)));
    if (file_.metadata.find(key) != nullptr) {
      fail(ErrorCode::kBadKey, "{}: {} stands twice", name(), reader_.item());
    }
    const uint32_t type = read_value_type("value type");
    if (type != kTypeArray) {
      file_.metadata.add(std::move(key), read_value<false>(type));
      return;
    }
    const uint32_t inner = read_value_type("array type");
    if (inner == kTypeArray) {
      fail(ErrorCode::kTooDeep, "{}: {}: an array of arrays; arrays may hold no arrays", name(), reader_.item());
    }
    file_.metadata.add(std::move(key), read_value<true>(inner));
  }

  void read_alignment() {
    constexpr std::string_view kKey = "general.alignment";
    const GgufValue* found = file_.metadata.find(kKey);
    if (found == nullptr) {
      file_.alignment = kDefaultAlignment;
      return;
    }
    const auto* scalar = std::get_if<GgufValue::Scalar>(&found->value);
    const auto* value = scalar != nullptr ? std::get_if<uint32_t>(scalar) : nullptr;
    if (value == nullptr) {
      fail(ErrorCode::kBadType, "{}: key '{}' is of type {}, expected u32", name(), kKey, found->kind_name());
    }
    if (*value < kMinAlignment || *value > kMaxAlignment || !std::has_single_bit(*value)) {
      fail(ErrorCode::kBadAlignment, "{}: key '{}' is {}, expected a power of two in {}..{}", name(), kKey, *value,
           kMinAlignment, kMaxAlignment);
    }
    file_.alignment = *value;
  }

  /// Dimensions come innermost first.
  Shape read_shape(std::string_view item) {
    const auto rank = reader_.read<uint32_t>();
    if (rank < 1 || rank > kMaxDims) {
      fail(ErrorCode::kBadShape, "{}: {} has {} dimensions, expected 1 to {}", name(), item, rank, kMaxDims);
    }
    std::array<uint64_t, kMaxDims> dims{};
    for (uint32_t i = 0; i < rank; ++i) dims[rank - 1 - i] = reader_.read<uint64_t>();
    const auto written = [&] {
      std::string text;
      for (uint32_t i = 0; i < rank; ++i) text += fmt::format("{}{}", i > 0 ? "," : "", dims[i]);
      return text;
    };
    Shape shape;
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; ++i) {
      if (dims[i] == 0)
        fail(ErrorCode::kBadShape, "{}: {} has the shape [{}]: a dimension is 0", name(), item, written());
    }
    for (uint32_t i = 0; i < rank; ++i) {
      if (dims[i] > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
          __builtin_mul_overflow(elements, static_cast<int64_t>(dims[i]), &elements)) {
        fail(ErrorCode::kSizeOverflow, "{}: {} has the shape [{}]: the number of elements exceeds 63 bits", name(),
             item, written());
      }
      shape.push_back(static_cast<int64_t>(dims[i]));
    }
    return shape;
  }

  void read_tensor(uint64_t i) {
    reader_.item(fmt::format("the name of tensor {} of {}", i, tensor_count_));
    GgufTensor tensor{};
    tensor.name = read_string(kMaxTensorNameBytes);
    if (tensor.name.empty()) fail(ErrorCode::kBadString, "{}: {} is empty", name(), reader_.item());
    take_memory(kTensorMemoryBytes);
    reader_.item(fmt::format("tensor '{}'", printable(tensor.name)));
    const std::string& item = reader_.item();
    if (!tensor_names_.insert(tensor.name).second) {
      fail(ErrorCode::kDuplicateTensor, "{}: {} stands twice", name(), item);
    }
    tensor.shape = read_shape(item);
    const auto type = reader_.read<uint32_t>();
    const auto dtype = dtype_from_ggml(type);
    if (!dtype) fail(ErrorCode::kBadDtype, "{}: {} has the type {}, which is unknown or removed", name(), item, type);
    tensor.dtype = *dtype;
    const DTypeInfo& info = dtype_info(*dtype);
    const int64_t row = tensor.shape[tensor.shape.rank() - 1];
    if (row % info.block_size != 0) {
      fail(ErrorCode::kBadShape, "{}: {} has the shape {}: rows of {} are no multiple of the {} block of {}", name(),
           item, tensor.shape.str(), row, info.name, info.block_size);
    }
    int64_t bytes = 0;
    if (__builtin_mul_overflow(tensor.shape.elements() / info.block_size, info.block_bytes, &bytes)) {
      fail(ErrorCode::kSizeOverflow, "{}: {} has the shape {}: its size in bytes exceeds 63 bits", name(), item,
           tensor.shape.str());
    }
    tensor.bytes = static_cast<uint64_t>(bytes);
    tensor.offset = reader_.read<uint64_t>();
    if (tensor.offset % file_.alignment != 0) {
      fail(ErrorCode::kBadOffset, "{}: {} has the offset {}, which is no multiple of the alignment {}", name(), item,
           tensor.offset, file_.alignment);
    }
    file_.tensors.push_back(std::move(tensor));
  }

  /// Offsets count from the end of the table, rounded up; the file may end before a last tensor's padding.
  void place_tensors() {
    const uint64_t data_begin = (reader_.position() + file_.alignment - 1) / file_.alignment * file_.alignment;
    const uint64_t data_bytes = source_.size() > data_begin ? source_.size() - data_begin : 0;
    for (GgufTensor& tensor : file_.tensors) {
      if (tensor.offset > data_bytes) {
        fail(ErrorCode::kBadOffset, "{}: tensor '{}' has the offset {}, but the data section has {} bytes", name(),
             printable(tensor.name), tensor.offset, data_bytes);
      }
      if (tensor.bytes > data_bytes - tensor.offset) {
        fail(ErrorCode::kTruncated, "{}: the file ends inside tensor '{}': {} bytes needed at byte {}, {} left", name(),
             printable(tensor.name), tensor.bytes, data_begin + tensor.offset, data_bytes - tensor.offset);
      }
      tensor.offset += data_begin;
    }
  }

  /// Every byte between the first and the last tensor belongs to one tensor or to its padding.
  void check_coverage() const {
    std::vector<const GgufTensor*> order;
    order.reserve(file_.tensors.size());
    for (const GgufTensor& tensor : file_.tensors) order.push_back(&tensor);
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& before = *order[i - 1];
      const GgufTensor& tensor = *order[i];
      const uint64_t end = before.offset + before.bytes;
      if (tensor.offset < end) {
        fail(ErrorCode::kOverlappingTensors, "{}: tensors '{}' and '{}' share bytes: {} to {} and {} to {}", name(),
             printable(before.name), printable(tensor.name), before.offset, end, tensor.offset,
             tensor.offset + tensor.bytes);
      }
      if (tensor.offset - end >= file_.alignment) {
        fail(ErrorCode::kBadOffset,
             "{}: tensor '{}' begins at byte {}, but '{}' before it ends at {}: a hole between them", name(),
             printable(tensor.name), tensor.offset, printable(before.name), end);
      }
    }
  }

  const ByteSource& source_;
  BoundedReader reader_;
  GgufFile file_;
  uint64_t memory_left_;
  uint64_t tensor_count_ = 0;
  uint64_t pair_count_ = 0;
  std::unordered_set<std::string> tensor_names_;
};

}  // namespace

GgufFile parse_gguf(const ByteSource& source) { return Parser(source).parse(); }

}  // namespace duet
