#include "model/quantized_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "tensor/dtype.h"

namespace duet {
namespace {

constexpr int64_t kBlock = 32;  // values of a block of MXFP4
/// The nibble of a word of AWQ that holds output 8 j + p.
constexpr std::array<uint32_t, 8> kAwqNibble = {0, 4, 1, 5, 2, 6, 3, 7};
const std::string& file_of(const Checkpoint& checkpoint, const TensorEntry& entry) {
  return checkpoint.files()[static_cast<size_t>(entry.file)]->name();
}

uint32_t load_word(const std::byte* at) {
  uint32_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint32_t byte_at(const std::vector<std::byte>& bytes, int64_t i) {
  return std::to_integer<uint32_t>(bytes[static_cast<size_t>(i)]);
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// 8 codes of 4 bits in 4 bytes (tensor/grouped.h).
void pack_nibbles(std::span<const uint8_t> codes, std::byte* out) {
  for (size_t i = 0; i < codes.size(); i += 8, out += 4) {
    for (size_t k = 0; k < 4; ++k) out[k] = static_cast<std::byte>(codes[i + k] | codes[i + 4 + k] << 4);
  }
}

}  // namespace

QuantizedRows::QuantizedRows(const Checkpoint& checkpoint, const QuantizedSource& source)
    : checkpoint_(checkpoint), source_(source), form_(packed_form(source)) {
  if (source.scheme.form == WeightForm::kMap4Bit) {
    map_ = floats(*source.map);
    groups_ = form_.grouped ? source.cols / source.block : 0;  // of a row, where rows are whole blocks
    hold_absmax();
    return;
  }
  hold_groups();
  hold_scales();
  hold_zeros();
}

void QuantizedRows::hold_scales() {
  const std::vector<float> stored = floats(*source_.scales);
  const bool groups_first = source_.scheme.form == WeightForm::kAwq || source_.scheme.form == WeightForm::kGptq;
  if (groups_first) {
    scales_.resize(stored.size());
    for (int64_t g = 0; g < groups_; ++g) {
      for (int64_t o = 0; o < source_.rows; ++o) {
        scales_[static_cast<size_t>(o * groups_ + g)] = stored[static_cast<size_t>(g * source_.rows + o)];
      }
    }
  } else {
    scales_ = stored;
    if (static_cast<int64_t>(stored.size()) < source_.rows * groups_) {
      rows_a_scale_ = source_.scheme.block_rows > 0 ? source_.scheme.block_rows : source_.rows;
    }
    if (dtype_info(source_.scales->dtype).block_bytes == 1) {
      stored_scales_ = bytes_of(*source_.scales);
    }
  }
  if (source_.global_scale == nullptr) return;
  global_ = floats(*source_.global_scale).front();
  if (global_ == 0) {
    fail(ErrorCode::kBadValue, "{}: tensor '{}' holds 0, by which scales are divided",
         file_of(checkpoint_, *source_.global_scale), printable(source_.global_scale->name));
  }
  for (float& scale : scales_) scale = scale / global_;
}

/// What a companion holds of this matrix.
std::vector<std::byte> QuantizedRows::bytes_of(const TensorEntry& entry) const {
  std::vector<std::byte> raw(entry.bytes / static_cast<size_t>(source_.slices));
  checkpoint_.read(entry, static_cast<uint64_t>(source_.slice) * raw.size(), raw);
  return raw;
}

/// All its values; each must be finite.
std::vector<float> QuantizedRows::floats(const TensorEntry& entry) const {
  const std::vector<std::byte> raw = bytes_of(entry);
  std::vector<float> values(static_cast<size_t>(entry.shape.elements() / source_.slices));
  // Exponents of MXFP4 are stored as plain bytes.
  const DType dtype = entry.dtype == DType::kU8 ? DType::kF8E8M0 : entry.dtype;
  dequantize(dtype, raw.data(), static_cast<int64_t>(values.size()), values.data());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      fail(ErrorCode::kBadValue, "{}: tensor '{}' holds {} at {}, legal: finite numbers", file_of(checkpoint_, entry),
           printable(entry.name), values[i], i);
    }
  }
  return values;
}

void QuantizedRows::hold_groups() {
  const WeightScheme& scheme = source_.scheme;
  const int64_t cols = source_.cols, size = scheme.block_columns > 0 ? scheme.block_columns : scheme.group;
  groups_ = size > 0 ? ceil_div(cols, size) : 1;
  group_of_.resize(static_cast<size_t>(cols));
  for (int64_t i = 0; i < cols; ++i) group_of_[static_cast<size_t>(i)] = static_cast<int32_t>(size > 0 ? i / size : 0);
  if (source_.order == nullptr) return;
  checkpoint_.read(*source_.order, 0, std::as_writable_bytes(std::span(group_of_)));
  for (size_t i = 0; i < group_of_.size(); ++i) {
    if (group_of_[i] < 0 || group_of_[i] >= groups_) {
      fail(ErrorCode::kBadValue, "{}: tensor '{}' holds {} at {}, legal are 0 to {}",
           file_of(checkpoint_, *source_.order), printable(source_.order->name), group_of_[i], i, groups_ - 1);
    }
  }
}

void QuantizedRows::hold_zeros() {
  const WeightScheme& scheme = source_.scheme;
  if (scheme.form != WeightForm::kScaled && scheme.symmetric) zero_ = 1 << (scheme.bits - 1);
  if (source_.zeros == nullptr) return;
  std::vector<std::byte> raw(source_.zeros->bytes);
  checkpoint_.read(*source_.zeros, 0, raw);
  const int64_t per_word = 32 / scheme.bits, words = source_.rows / per_word;
  const uint32_t mask = (1U << scheme.bits) - 1;
  zeros_.resize(static_cast<size_t>(source_.rows * groups_));
  for (int64_t o = 0; o < source_.rows; ++o) {
    const auto within = static_cast<size_t>(o % per_word);
    const uint32_t shift = static_cast<uint32_t>(scheme.bits) *
                           (scheme.form == WeightForm::kAwq ? kAwqNibble[within] : static_cast<uint32_t>(within));
    for (int64_t g = 0; g < groups_; ++g) {
      const int64_t at = scheme.form == WeightForm::kPacked ? o / per_word * groups_ + g : g * words + o / per_word;
      const uint32_t stored = load_word(raw.data() + 4 * at) >> shift;
      zeros_[static_cast<size_t>(o * groups_ + g)] =
          static_cast<uint8_t>((stored + (scheme.zero_minus_one ? 1U : 0U)) & mask);
    }
  }
}

void QuantizedRows::hold_absmax() {
  if (!source_.scheme.double_quantised) {
    scales_ = floats(*source_.scales);
    return;
  }
  stored_scales_.resize(source_.scales->bytes);
  checkpoint_.read(*source_.scales, 0, stored_scales_);
  nested_map_ = floats(*source_.nested_map), nested_scales_ = floats(*source_.nested_scales);
  scales_.resize(stored_scales_.size());
  for (size_t b = 0; b < scales_.size(); ++b) {
    const float product = nested_map_[std::to_integer<size_t>(stored_scales_[b])] *
                          nested_scales_[b / static_cast<size_t>(source_.nested_block)];
    scales_[b] = product + source_.nested_offset;
  }
}

const float* QuantizedRows::row_scales(int64_t row) const { return scales_.data() + row / rows_a_scale_ * groups_; }

int64_t QuantizedRows::row_bytes() const {
  return form_.grouped ? group_layout(*form_.grouped, source_.cols).row_bytes()
                       : duet::row_bytes(dtype_info(form_.dtype), source_.cols);
}

/// The codes of whole rows that lie side by side.
std::vector<std::byte> QuantizedRows::code_bytes(int64_t begin, int64_t count) const {
  const int64_t stride = static_cast<int64_t>(source_.codes->bytes) / (source_.slices * source_.rows);
  std::vector<std::byte> bytes(static_cast<size_t>(count * stride));
  checkpoint_.read(*source_.codes, static_cast<uint64_t>((source_.slice * source_.rows + begin) * stride), bytes);
  return bytes;
}

/// Codes as the file has them, a byte each.   [count, in]
std::vector<uint8_t> QuantizedRows::codes(int64_t begin, int64_t count) const {
  std::vector<uint8_t> out(static_cast<size_t>(count * source_.cols));
  switch (source_.scheme.form) {
    case WeightForm::kScaled: {
      const std::vector<std::byte> bytes = code_bytes(begin, count);
      std::memcpy(out.data(), bytes.data(), out.size());
      break;
    }
    case WeightForm::kMxfp4:
    case WeightForm::kNvfp4: {
      const std::vector<std::byte> bytes = code_bytes(begin, count);
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = std::to_integer<uint8_t>(bytes[i / 2] >> (i % 2 == 0 ? 0 : 4) & std::byte{15});
      }
      break;
    }
    case WeightForm::kMap4Bit: {
      const auto first = static_cast<size_t>(begin * source_.cols), last = first + out.size();
      std::vector<std::byte> bytes((last + 1) / 2 - first / 2);
      checkpoint_.read(*source_.codes, first / 2, bytes);
      for (size_t k = first; k < last; ++k) {
        out[k - first] = std::to_integer<uint8_t>(bytes[k / 2 - first / 2] >> (k % 2 == 0 ? 4 : 0) & std::byte{15});
      }
      break;
    }
    default:
      word_codes(begin, count, out);
  }
  return out;
}

/// Of the forms whose codes stand in words of 32 bits.
void QuantizedRows::word_codes(int64_t begin, int64_t count, std::span<uint8_t> out) const {
  const WeightScheme& scheme = source_.scheme;
  const int64_t cols = source_.cols, per_word = 32 / scheme.bits;
  const auto bits = static_cast<uint32_t>(scheme.bits);
  const uint32_t mask = (1U << bits) - 1;
  if (scheme.form == WeightForm::kPacked) {
    const std::vector<std::byte> bytes = code_bytes(begin, count);
    const int64_t words = ceil_div(cols, per_word);
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t w = 0; w < words; ++w) {
        const uint32_t word = load_word(bytes.data() + 4 * (r * words + w));
        uint8_t* const to = out.data() + r * cols + w * per_word;
        const auto codes = static_cast<uint32_t>(std::min(per_word, cols - w * per_word));
        for (uint32_t k = 0; k < codes; ++k) to[k] = static_cast<uint8_t>((word >> (bits * k)) & mask);
      }
    }
  } else if (scheme.form == WeightForm::kGptq) {
    std::vector<std::byte> words(static_cast<size_t>(4 * count));
    for (int64_t w = 0; w < cols / per_word; ++w) {
      checkpoint_.read(*source_.codes, static_cast<uint64_t>(4 * (w * source_.rows + begin)), words);
      for (int64_t r = 0; r < count; ++r) {
        const uint32_t word = load_word(words.data() + 4 * r);
        uint8_t* const to = out.data() + r * cols + w * per_word;
        for (uint32_t k = 0; k < static_cast<uint32_t>(per_word); ++k) {
          to[k] = static_cast<uint8_t>((word >> (bits * k)) & mask);
        }
      }
    }
  } else {
    constexpr int64_t kCodes = 8;  // of a word
    const int64_t first = begin / kCodes, last = ceil_div(begin + count, kCodes), all = source_.rows / kCodes;
    std::vector<std::byte> words(static_cast<size_t>(4 * (last - first)));
    for (int64_t i = 0; i < cols; ++i) {
      checkpoint_.read(*source_.codes, static_cast<uint64_t>(4 * (i * all + first)), words);
      for (int64_t o = begin; o < begin + count; ++o) {
        const uint32_t word = load_word(words.data() + 4 * (o / kCodes - first));
        const uint32_t code = word >> (4 * kAwqNibble[static_cast<size_t>(o % kCodes)]) & 15U;
        out[static_cast<size_t>((o - begin) * cols + i)] = static_cast<uint8_t>(code);
      }
    }
  }
}

void QuantizedRows::decode(int64_t begin, int64_t count, std::span<float> out) const {
  DUET_CHECK(begin >= 0 && count >= 0 && begin + count <= source_.rows);
  DUET_CHECK(static_cast<int64_t>(out.size()) == count * source_.cols);
  const WeightScheme& scheme = source_.scheme;
  const std::vector<uint8_t> all = codes(begin, count);
  if (scheme.form == WeightForm::kMap4Bit) {
    const int64_t first = begin * source_.cols;
    for (size_t k = 0; k < out.size(); ++k) {
      out[k] = map_[all[k]] * scales_[static_cast<size_t>((first + static_cast<int64_t>(k)) / source_.block)];
    }
    return;
  }
  std::array<float, 256> numbers{};  // of codes without a zero
  for (size_t c = 0; c < numbers.size(); ++c) {
    const auto code = static_cast<uint8_t>(c);
    const auto* const byte = reinterpret_cast<const std::byte*>(&code);
    switch (scheme.form) {
      case WeightForm::kScaled:
        dequantize(scheme.floating ? DType::kF8E4M3 : DType::kI8, byte, 1, &numbers[c]);
        break;
      case WeightForm::kMxfp4:
      case WeightForm::kNvfp4:
        numbers[c] = kE2M1Numbers[c % 16];
        break;
      default:
        numbers[c] = static_cast<float>(static_cast<int>(c) - zero_);
    }
  }
  for (int64_t r = 0; r < count; ++r) {
    const float* const scales = row_scales(begin + r);
    const uint8_t* const zeros = zeros_.empty() ? nullptr : zeros_.data() + (begin + r) * groups_;
    for (int64_t i = 0; i < source_.cols; ++i) {
      const auto at = static_cast<size_t>(r * source_.cols + i);
      const int32_t g = group_of_[static_cast<size_t>(i)];
      out[at] = (zeros == nullptr ? numbers[all[at]] : static_cast<float>(all[at] - zeros[g])) * scales[g];
    }
  }
}

/// The codes of one row.
void QuantizedRows::encode_codes(std::span<const uint8_t> codes, int64_t row, std::byte* out) const {
  switch (form_.grouped->code) {
    case GroupCode::kInt4:
    case GroupCode::kE2M1:
    case GroupCode::kMap4:
      return pack_nibbles(codes, out);
    case GroupCode::kInt8: {
      const int less = source_.scheme.form == WeightForm::kScaled ? 0 : 128;
      for (size_t i = 0; i < codes.size(); ++i) out[i] = static_cast<std::byte>(codes[i] - less);
      return;
    }
    case GroupCode::kE4M3:
      for (size_t i = 0; i < codes.size(); ++i) {
        if ((codes[i] & 0x7FU) == 0x7FU) {
          fail(ErrorCode::kBadValue, "{}: tensor '{}' holds NaN at [{},{}], legal: finite numbers",
               file_of(checkpoint_, *source_.codes), printable(source_.codes->name), row, i);
        }
        out[i] = static_cast<std::byte>(codes[i]);
      }
      return;
  }
}

void QuantizedRows::encode_grouped(int64_t begin, int64_t count, std::byte* out) const {
  const GroupFormat& format = *form_.grouped;
  const GroupLayout layout = group_layout(format, source_.cols);
  const std::vector<uint8_t> all = codes(begin, count);
  for (int64_t row = begin; row < begin + count; ++row, out += layout.row_bytes()) {
    const auto cols = static_cast<size_t>(source_.cols);
    encode_codes(std::span(all).subspan(static_cast<size_t>(row - begin) * cols, cols), row, out);
    std::byte* const to = out + layout.scales_at();
    for (int64_t g = 0; g < groups_ && layout.scale > 0; ++g) {
      const auto at = static_cast<size_t>(row * groups_ + g);
      if (layout.scale == 1) {
        to[g] = stored_scales_[at];
      } else if (format.scale == GroupScale::kF32) {
        std::memcpy(to + 4 * g, &scales_[at], 4);
      } else {  // from a number of 16 bits, so that these are the file's bits again
        const uint16_t half = format.scale == GroupScale::kF16 ? f32_to_f16(scales_[at]) : f32_to_bf16(scales_[at]);
        std::memcpy(to + 2 * g, &half, 2);
      }
    }
    for (int64_t g = 0; g < layout.zeros; ++g) {
      const int zero = zeros_[static_cast<size_t>(row * groups_ + g)];
      out[layout.zeros_at() + g] = static_cast<std::byte>(format.code == GroupCode::kInt8 ? zero - 128 : zero);
    }
    if (layout.line == 0) continue;
    const auto line = static_cast<uint16_t>(format.scale == GroupScale::kTable ? row / rows_a_scale_ : row);
    std::memcpy(out + layout.line_at(), &line, sizeof line);
  }
}

std::vector<std::byte> QuantizedRows::table() const {
  if (!form_.grouped) return {};
  const GroupFormat& format = *form_.grouped;
  std::vector<std::byte> out;
  const auto add = [&](std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); };
  if (format.scale == GroupScale::kTable) add(std::as_bytes(std::span(scales_)));
  if (format.scale == GroupScale::kGlobal) add(std::as_bytes(std::span(&global_, 1)));
  if (format.scale == GroupScale::kNested) {
    add(std::as_bytes(std::span(nested_map_)));
    add(std::as_bytes(std::span(nested_scales_)));
    add(std::as_bytes(std::span(&source_.nested_offset, 1)));
  }
  if (format.code == GroupCode::kMap4) add(std::as_bytes(std::span(map_)));
  if (format.ordered) add(std::as_bytes(std::span(group_of_)));
  DUET_CHECK(static_cast<int64_t>(out.size()) == group_table_bytes(format, source_.cols));
  return out;
}

/// Neighbours of a byte become neighbours 16 apart.
void QuantizedRows::encode_mxfp4(int64_t begin, int64_t count, std::byte* out) const {
  const std::vector<std::byte> bytes = code_bytes(begin, count);
  const int64_t blocks = source_.cols / kBlock;
  for (int64_t b = 0; b < count * blocks; ++b, out += 17) {
    out[0] = stored_scales_[static_cast<size_t>(begin * blocks + b)];
    for (int64_t i = 0; i < kBlock / 2; ++i) {
      const auto code = [&](int64_t k) {
        return byte_at(bytes, b * (kBlock / 2) + k / 2) >> (k % 2 == 0 ? 0U : 4U) & 15U;
      };
      out[1 + i] = static_cast<std::byte>(code(i) | code(i + kBlock / 2) << 4);
    }
  }
}

void QuantizedRows::read(int64_t begin, int64_t count, std::span<std::byte> out) const {
  DUET_CHECK(static_cast<int64_t>(out.size()) == count * row_bytes());
  if (form_.dtype == DType::kMXFP4) return encode_mxfp4(begin, count, out.data());
  if (form_.grouped) return encode_grouped(begin, count, out.data());
  std::vector<float> values(static_cast<size_t>(count * source_.cols));
  decode(begin, count, values);
  std::memcpy(out.data(), values.data(), out.size());
}

}  // namespace duet
