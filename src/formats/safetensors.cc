#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <unordered_set>

#include "base/bounded_reader.h"
#include "base/error.h"
#include "base/json.h"
#include "formats/pickle.h"

namespace duet {
namespace {

constexpr uint64_t kMaxHeaderBytes = uint64_t{16} << 20;
constexpr size_t kMaxTensors = 100'000;
constexpr std::string_view kMetadataKey = "__metadata__";

/// Not inside HeaderEvents: clang does not see a nested class's initialisers before the end of the outer one.
struct Offsets {
  std::array<uint64_t, 2> at{};
  int count = 0;
};

/// Takes the header (which starts with '{') value by value: its tree would be thirty times its size. The first fault in
/// meaning is kept until the whole text has proved to be JSON, which is judged first.
class HeaderEvents final : public JsonEvents {
 public:
  HeaderEvents(const std::string& file_name, uint64_t data_begin, uint64_t data_bytes)
      : file_name_(file_name), data_begin_(data_begin), data_bytes_(data_bytes) {}

  void scalar(Json value) override {
    if (fault_) return;
    if (depth_ == 1) {
      fault(ErrorCode::kBadType, "{} is of type {}, expected an object", entry(), value.kind_name());
    } else if (depth_ == 2) {
      take_field(value);
    } else {
      take_element(value);
    }
  }
  void begin_object() override {
    if (++depth_ <= 2 || fault_) return;
    fault_nested("object");
  }
  void begin_array() override {
    ++depth_;
    if (fault_) return;
    if (depth_ == 2) {
      fault(ErrorCode::kBadType, "{} is of type array, expected an object", entry());
    } else if (depth_ == 3 && field_ == Field::kShape) {
      shape_.emplace();
    } else if (depth_ == 3 && field_ == Field::kOffsets) {
      offsets_.emplace();
    } else {
      fault_nested("array");
    }
  }
  void key(std::string key) override {
    if (fault_) return;
    if (depth_ == 1) {
      begin_entry(std::move(key));
    } else {
      begin_field(key);
    }
  }
  void end() override {
    if (depth_-- == 2 && !fault_ && !in_metadata_) finish_tensor();
  }

  SafetensorsFile take() {
    if (fault_) throw *std::move(fault_);
    return std::move(file_);
  }

 private:
  enum class Field { kNone, kDtype, kShape, kOffsets };

  template <typename... Args>
  void fault(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    fault_.emplace(code, file_name_ + ": " + fmt::format(format, std::forward<Args>(args)...));
  }

  std::string entry() const {
    return in_metadata_ ? fmt::format("'{}'", kMetadataKey) : fmt::format("tensor '{}'", printable(name_));
  }

  void fault_nested(std::string_view kind) {
    if (in_metadata_) {
      fault(ErrorCode::kBadValue, "'{}': '{}' is of type {}, expected a string", kMetadataKey,
            printable(metadata_name_), kind);
    } else if (field_ == Field::kDtype) {
      fault(ErrorCode::kBadDtype, "{}: dtype is of type {}, expected a string", entry(), kind);
    } else if (field_ == Field::kShape) {
      fault(ErrorCode::kBadShape, "{}: shape holds an {}, expected dimensions", entry(), kind);
    } else {
      fault(ErrorCode::kBadOffset, "{}: data_offsets holds an {}, expected two integers", entry(), kind);
    }
  }

  void begin_entry(std::string key) {
    in_metadata_ = key == kMetadataKey;
    name_ = std::move(key);
    if (in_metadata_ ? std::exchange(metadata_seen_, true) : !names_.insert(name_).second) {
      fault(ErrorCode::kBadKey, "key '{}' stands twice in the header", printable(name_));
    } else if (names_.size() > kMaxTensors) {
      fault(ErrorCode::kTooLarge, "the header lists more than {} tensors", kMaxTensors);
    } else if (name_.find('\0') != std::string::npos) {
      fault(ErrorCode::kBadString, "tensor name '{}' holds a NUL", printable(name_));
    }
    dtype_.reset(), shape_.reset(), offsets_.reset();
    field_ = Field::kNone;
  }

  void begin_field(std::string_view key) {
    if (in_metadata_) {
      metadata_name_ = key;
      if (!metadata_names_.insert(metadata_name_).second) {
        fault(ErrorCode::kBadKey, "'{}': key '{}' stands twice", kMetadataKey, printable(key));
      } else if (metadata_names_.size() > kMaxTensors) {
        fault(ErrorCode::kTooLarge, "'{}' holds more than {} entries", kMetadataKey, kMaxTensors);
      }
      return;
    }
    bool twice = false;
    if (key == "dtype") {
      field_ = Field::kDtype, twice = dtype_.has_value();
    } else if (key == "shape") {
      field_ = Field::kShape, twice = shape_.has_value();
    } else if (key == "data_offsets") {
      field_ = Field::kOffsets, twice = offsets_.has_value();
    } else {
      fault(ErrorCode::kBadKey, "{}: unknown field '{}', expected dtype, shape and data_offsets", entry(),
            printable(key));
    }
    if (twice) fault(ErrorCode::kBadKey, "{}: field '{}' stands twice", entry(), key);
  }

  /// A scalar where the value of a field is due.
  void take_field(const Json& value) {
    if (in_metadata_) {
      if (!value.is_string()) {
        fault(ErrorCode::kBadValue, "'{}': '{}' is of type {}, expected a string", kMetadataKey,
              printable(metadata_name_), value.kind_name());
        return;
      }
      file_.metadata.emplace_back(std::move(metadata_name_), value.string());
    } else if (field_ == Field::kDtype) {
      dtype_ = value.is_string() ? dtype_from_safetensors(value.string()) : std::nullopt;
      if (!dtype_) fault(ErrorCode::kBadDtype, "{}: unknown dtype {}", entry(), printable(value.dump()));
    } else if (field_ == Field::kShape) {
      fault(ErrorCode::kBadShape, "{}: shape is {}, expected an array of dimensions", entry(), printable(value.dump()));
    } else {
      fault(ErrorCode::kBadOffset, "{}: data_offsets is {}, expected an array of two integers", entry(),
            printable(value.dump()));
    }
  }

  /// A scalar inside an array.
  void take_element(const Json& value) {
    const bool legal = value.is_integer() && value.integer() >= 0;
    if (field_ == Field::kShape) {
      if (!legal) {
        fault(ErrorCode::kBadShape, "{}: shape holds {}, expected dimensions from 0 to 2^63 - 1", entry(),
              printable(value.dump()));
      } else if (shape_->rank() == Shape::kMaxRank) {
        fault(ErrorCode::kBadShape, "{}: shape {} goes on, at most {} dimensions are allowed", entry(), shape_->str(),
              Shape::kMaxRank);
      } else {
        shape_->push_back(value.integer());
      }
    } else if (!legal || offsets_->count == 2) {
      fault(ErrorCode::kBadOffset, "{}: data_offsets holds {}, expected two integers from 0 to {}", entry(),
            printable(value.dump()), data_bytes_);
    } else {
      offsets_->at[static_cast<size_t>(offsets_->count++)] = static_cast<uint64_t>(value.integer());
    }
  }

  void finish_tensor() {
    for (const auto& [present, field] : {std::pair(dtype_.has_value(), "dtype"), std::pair(shape_.has_value(), "shape"),
                                         std::pair(offsets_.has_value(), "data_offsets")}) {
      if (!present) return fault(ErrorCode::kMissingKey, "{}: field '{}' is missing", entry(), field);
    }
    const DTypeInfo& info = dtype_info(*dtype_);
    // Zeros are left out, so that every partial product fits as well.
    int64_t bytes = info.block_bytes;
    bool overflow = false;
    bool empty = false;
    for (int i = 0; i < shape_->rank(); ++i) {
      empty |= (*shape_)[i] == 0;
      overflow |= __builtin_mul_overflow(bytes, std::max<int64_t>((*shape_)[i], 1), &bytes);
    }
    if (empty) bytes = 0;
    if (overflow) {
      return fault(ErrorCode::kSizeOverflow, "{}: shape {} of {} exceeds 63 bits", entry(), shape_->str(), info.name);
    }
    if (offsets_->count != 2) {
      return fault(ErrorCode::kBadOffset, "{}: data_offsets holds {} integers, expected two", entry(), offsets_->count);
    }
    const auto [begin, end] = offsets_->at;
    if (end < begin || end - begin != static_cast<uint64_t>(bytes)) {
      return fault(ErrorCode::kBadOffset, "{}: data_offsets are {} to {}, but shape {} of {} takes {} bytes", entry(),
                   begin, end, shape_->str(), info.name, bytes);
    }
    if (end > data_bytes_) {
      return fault(ErrorCode::kTruncated, "the file ends inside {}: bytes {} to {} of the data needed, {} left",
                   entry(), begin, end, data_bytes_);
    }
    file_.tensors.push_back({std::move(name_), *dtype_, *shape_, data_begin_ + begin, static_cast<uint64_t>(bytes)});
  }

  const std::string& file_name_;
  uint64_t data_begin_;
  uint64_t data_bytes_;
  SafetensorsFile file_;
  std::optional<Error> fault_;
  int depth_ = 0;
  bool in_metadata_ = false;
  bool metadata_seen_ = false;
  std::string name_;
  std::string metadata_name_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> metadata_names_;
  Field field_ = Field::kNone;
  std::optional<DType> dtype_;
  std::optional<Shape> shape_;
  std::optional<Offsets> offsets_;
};

/// Every byte of the data belongs to exactly one tensor.
void check_coverage(const std::string& file_name, const SafetensorsFile& file, uint64_t data_begin, uint64_t data_end) {
  std::vector<const SafetensorsTensor*> order;
  order.reserve(file.tensors.size());
  for (const SafetensorsTensor& tensor : file.tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  uint64_t covered = data_begin;
  const SafetensorsTensor* before = nullptr;
  for (const SafetensorsTensor* tensor : order) {
    if (tensor->offset < covered) {
      fail(ErrorCode::kOverlappingTensors, "{}: tensors '{}' and '{}' share bytes of the data: {} to {} and {} to {}",
           file_name, printable(before->name), printable(tensor->name), before->offset - data_begin,
           covered - data_begin, tensor->offset - data_begin, tensor->offset + tensor->bytes - data_begin);
    }
    if (tensor->offset > covered) {
      fail(ErrorCode::kBadOffset,
           "{}: tensor '{}' begins at byte {} of the data, but {} bytes before it belong to no tensor", file_name,
           printable(tensor->name), tensor->offset - data_begin, tensor->offset - covered);
    }
    covered += tensor->bytes;
    before = tensor;
  }
  if (covered != data_end) {
    fail(ErrorCode::kBadOffset, "{}: the last {} bytes of the data belong to no tensor", file_name, data_end - covered);
  }
}

}  // namespace

SafetensorsFile parse_safetensors(const ByteSource& source) {
  refuse_pickle(source);
  const std::string& name = source.name();
  BoundedReader reader(source);
  reader.item("the length of the header");
  const auto header_bytes = reader.read<uint64_t>();
  reader.item("the header");
  if (header_bytes > kMaxHeaderBytes) {
    fail(ErrorCode::kTooLarge, "{}: the header has {} bytes, at most {} are allowed", name, header_bytes,
         kMaxHeaderBytes);
  }
  if (header_bytes < 2) fail(ErrorCode::kBadJson, "{}: the header has {} bytes, expected JSON", name, header_bytes);
  const std::string header = reader.read_text(header_bytes);
  if (header.front() != '{') {
    fail(ErrorCode::kBadJson, "{}: the header starts with '{}', expected '{{'", name, printable(header, 8));
  }
  HeaderEvents events(name, reader.position(), reader.left());
  parse_json_events(header, name, {}, events);
  SafetensorsFile file = events.take();
  check_coverage(name, file, reader.position(), source.size());
  return file;
}

std::string_view safetensors_dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return "F64";
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kI64:
      return "I64";
    case DType::kI32:
      return "I32";
    case DType::kI16:
      return "I16";
    case DType::kI8:
      return "I8";
    case DType::kU64:
      return "U64";
    case DType::kU32:
      return "U32";
    case DType::kU16:
      return "U16";
    case DType::kU8:
      return "U8";
    case DType::kBool:
      return "BOOL";
    case DType::kF8E4M3:
      return "F8_E4M3";
    case DType::kF8E5M2:
      return "F8_E5M2";
    case DType::kF8E8M0:
      return "F8_E8M0";
    default:
      return {};
  }
}

}  // namespace duet
