#include "model/quantized_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "tensor/dtype.h"

namespace duet {
namespace {

constexpr int64_t kBlock = 32;  // values of a block of Q4_0, Q5_0, Q8_0, MXFP4
/// The nibble of a word of AWQ that holds output 8 j + p.
constexpr std::array<uint32_t, 8> kAwqNibble = {0, 4, 1, 5, 2, 6, 3, 7};
constexpr std::array<float, 16> kE2M1 = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                         -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

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

bool fits_f16(float value) {
  return std::bit_cast<uint32_t>(f16_to_f32(f32_to_f16(value))) == std::bit_cast<uint32_t>(value);
}

/// At most 4 bits between the first and the last one that is set, and no exponent near the ends: times an E4M3 number,
/// which has 4 as well, that is a bfloat16 number.
bool has_4_bits(float value) {
  if (value == 0) return true;
  const bool short_number = (std::bit_cast<uint32_t>(value) & 0x000fffffU) == 0;
  return short_number && std::abs(value) > 0x1p-100F && std::abs(value) < 0x1p100F;
}

}  // namespace

QuantizedRows::QuantizedRows(const Checkpoint& checkpoint, const QuantizedSource& source)
    : checkpoint_(checkpoint), source_(source) {
  if (source.scheme.form == WeightForm::kMap4Bit) {
    map_ = floats(*source.map);
    hold_absmax();
    return;
  }
  hold_groups();
  const std::vector<float> stored = floats(*source.scales);
  const bool groups_first = source.scheme.form == WeightForm::kAwq || source.scheme.form == WeightForm::kGptq;
  if (groups_first) {
    scales_.resize(stored.size());
    for (int64_t g = 0; g < groups_; ++g) {
      for (int64_t o = 0; o < source.rows; ++o) {
        scales_[static_cast<size_t>(o * groups_ + g)] = stored[static_cast<size_t>(g * source.rows + o)];
      }
    }
  } else {
    scales_ = stored;
    if (static_cast<int64_t>(stored.size()) < source.rows * groups_) {
      rows_a_scale_ = source.scheme.block_rows > 0 ? source.scheme.block_rows : source.rows;
    }
  }
  if (source.global_scale != nullptr) {
    const float global = floats(*source.global_scale).front();
    if (global == 0) {
      fail(ErrorCode::kBadValue, "{}: tensor '{}' holds 0, by which scales are divided",
           file_of(checkpoint, *source.global_scale), printable(source.global_scale->name));
    }
    for (float& scale : scales_) scale = scale / global;
  }
  hold_zeros();
  dtype_ = choose_type();
}

/// All values of a companion; each must be finite.
std::vector<float> QuantizedRows::floats(const TensorEntry& entry) const {
  std::vector<std::byte> raw(entry.bytes);
  checkpoint_.read(entry, 0, raw);
  std::vector<float> values(static_cast<size_t>(entry.shape.elements()));
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
  if (scheme.form == WeightForm::kPacked && scheme.symmetric) zero_ = static_cast<int16_t>(1 << (scheme.bits - 1));
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
  std::vector<uint8_t> codes(source_.scales->bytes);
  checkpoint_.read(*source_.scales, 0, std::as_writable_bytes(std::span(codes)));
  const std::vector<float> map = floats(*source_.nested_map), nested = floats(*source_.nested_scales);
  scales_.resize(codes.size());
  for (size_t b = 0; b < codes.size(); ++b) {
    const float product = map[codes[b]] * nested[b / static_cast<size_t>(source_.nested_block)];
    scales_[b] = product + source_.nested_offset;
  }
}

const float* QuantizedRows::row_scales(int64_t row) const { return scales_.data() + row / rows_a_scale_ * groups_; }

bool QuantizedRows::has_integers() const {
  const WeightScheme& scheme = source_.scheme;
  return scheme.form == WeightForm::kPacked || scheme.form == WeightForm::kAwq || scheme.form == WeightForm::kGptq ||
         (scheme.form == WeightForm::kScaled && !scheme.floating);
}

/// Whole blocks, and one scale for each.
bool QuantizedRows::blocks_are_uniform() const {
  if (source_.cols % kBlock != 0) return false;
  for (size_t i = 0; i < group_of_.size(); ++i) {
    if (group_of_[i] != group_of_[i / kBlock * kBlock]) return false;
  }
  return true;
}

DType QuantizedRows::choose_type() const {
  const WeightScheme& scheme = source_.scheme;
  if (scheme.form == WeightForm::kMxfp4) return DType::kMXFP4;
  if (scheme.form == WeightForm::kScaled && scheme.floating) {
    return std::all_of(scales_.begin(), scales_.end(), has_4_bits) ? DType::kBF16 : DType::kF32;
  }
  if (!has_integers() || !blocks_are_uniform()) return DType::kF32;
  if (!std::all_of(scales_.begin(), scales_.end(), fits_f16)) return DType::kF32;
  int least = -128, largest = 127;  // of code - zero
  if (scheme.form != WeightForm::kScaled) {
    int least_zero = zero_, largest_zero = zero_;
    if (!zeros_.empty()) {
      const auto [low, high] = std::minmax_element(zeros_.begin(), zeros_.end());
      least_zero = *low, largest_zero = *high;
    }
    least = -largest_zero, largest = (1 << scheme.bits) - 1 - least_zero;
  }
  if (least >= -8 && largest <= 7) return DType::kQ4_0;
  if (least >= -16 && largest <= 15) return DType::kQ5_0;
  return least >= -128 && largest <= 127 ? DType::kQ8_0 : DType::kF32;
}

/// The codes of whole rows that lie side by side.
std::vector<std::byte> QuantizedRows::code_bytes(int64_t begin, int64_t count) const {
  const int64_t stride = static_cast<int64_t>(source_.codes->bytes) / source_.rows;
  std::vector<std::byte> bytes(static_cast<size_t>(count * stride));
  checkpoint_.read(*source_.codes, static_cast<uint64_t>(begin * stride), bytes);
  return bytes;
}

/// code - zero, zero where a scheme has none.   out : [count, in]
void QuantizedRows::integers(int64_t begin, int64_t count, std::span<int16_t> out) const {
  const WeightScheme& scheme = source_.scheme;
  const int64_t cols = source_.cols, per_word = 32 / scheme.bits;
  const auto bits = static_cast<uint32_t>(scheme.bits);
  const uint32_t mask = (1U << bits) - 1;
  if (scheme.form == WeightForm::kScaled) {
    const std::vector<std::byte> bytes = code_bytes(begin, count);
    for (size_t i = 0; i < out.size(); ++i) {
      const int code = std::to_integer<uint8_t>(bytes[i]);
      out[i] = static_cast<int16_t>(code < 128 ? code : code - 256);
    }
    return;
  }
  if (scheme.form == WeightForm::kPacked) {
    const std::vector<std::byte> bytes = code_bytes(begin, count);
    const int64_t words = ceil_div(cols, per_word);
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t w = 0; w < words; ++w) {
        const uint32_t word = load_word(bytes.data() + 4 * (r * words + w));
        int16_t* const to = out.data() + r * cols + w * per_word;
        const auto codes = static_cast<uint32_t>(std::min(per_word, cols - w * per_word));
        for (uint32_t k = 0; k < codes; ++k) to[k] = static_cast<int16_t>((word >> (bits * k)) & mask);
      }
    }
  } else if (scheme.form == WeightForm::kGptq) {
    std::vector<std::byte> words(static_cast<size_t>(4 * count));
    for (int64_t w = 0; w < cols / per_word; ++w) {
      checkpoint_.read(*source_.codes, static_cast<uint64_t>(4 * (w * source_.rows + begin)), words);
      for (int64_t r = 0; r < count; ++r) {
        const uint32_t word = load_word(words.data() + 4 * r);
        int16_t* const to = out.data() + r * cols + w * per_word;
        for (uint32_t k = 0; k < static_cast<uint32_t>(per_word); ++k)
          to[k] = static_cast<int16_t>((word >> (bits * k)) & mask);
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
        out[static_cast<size_t>((o - begin) * cols + i)] = static_cast<int16_t>(code);
      }
    }
  }
  for (int64_t r = 0; r < count; ++r) {
    int16_t* const codes = out.data() + r * cols;
    if (zeros_.empty()) {
      for (int64_t i = 0; i < cols; ++i) codes[i] = static_cast<int16_t>(codes[i] - zero_);
      continue;
    }
    const uint8_t* const zeros = zeros_.data() + (begin + r) * groups_;
    for (int64_t i = 0; i < cols; ++i) {
      codes[i] = static_cast<int16_t>(codes[i] - zeros[group_of_[static_cast<size_t>(i)]]);
    }
  }
}

void QuantizedRows::decode_integers(int64_t begin, int64_t count, std::span<float> out) const {
  std::vector<int16_t> codes(out.size());
  integers(begin, count, codes);
  for (int64_t r = 0; r < count; ++r) {
    const float* const scales = row_scales(begin + r);
    for (int64_t i = 0; i < source_.cols; ++i) {
      const auto at = static_cast<size_t>(r * source_.cols + i);
      out[at] = static_cast<float>(codes[at]) * scales[group_of_[static_cast<size_t>(i)]];
    }
  }
}

void QuantizedRows::decode_scaled_floats(int64_t begin, int64_t count, std::span<float> out) const {
  const std::vector<std::byte> bytes = code_bytes(begin, count);
  dequantize(DType::kF8E4M3, bytes.data(), static_cast<int64_t>(out.size()), out.data());
  for (int64_t r = 0; r < count; ++r) {
    const float* const scales = row_scales(begin + r);
    float* const row = out.data() + r * source_.cols;
    for (int64_t i = 0; i < source_.cols; ++i) row[i] *= scales[group_of_[static_cast<size_t>(i)]];
  }
}

void QuantizedRows::decode_fp4(int64_t begin, int64_t count, std::span<float> out) const {
  const std::vector<std::byte> bytes = code_bytes(begin, count);
  for (int64_t r = 0; r < count; ++r) {
    const float* const scales = row_scales(begin + r);
    for (int64_t i = 0; i < source_.cols; ++i) {
      const int64_t at = r * source_.cols + i;
      const uint32_t code = byte_at(bytes, at / 2) >> (i % 2 == 0 ? 0U : 4U) & 15U;
      out[static_cast<size_t>(at)] = kE2M1[code] * scales[group_of_[static_cast<size_t>(i)]];
    }
  }
}

void QuantizedRows::decode_mapped(int64_t begin, int64_t count, std::span<float> out) const {
  const int64_t first = begin * source_.cols, last = first + count * source_.cols;
  std::vector<std::byte> bytes(static_cast<size_t>(ceil_div(last, 2) - first / 2));
  checkpoint_.read(*source_.codes, static_cast<uint64_t>(first / 2), bytes);
  for (int64_t k = first; k < last;) {
    const int64_t end = std::min(last, (k / source_.block + 1) * source_.block);
    const float absmax = scales_[static_cast<size_t>(k / source_.block)];
    for (; k < end; ++k) {
      const uint32_t code = byte_at(bytes, k / 2 - first / 2) >> (k % 2 == 0 ? 4U : 0U) & 15U;
      out[static_cast<size_t>(k - first)] = map_[code] * absmax;
    }
  }
}

void QuantizedRows::decode(int64_t begin, int64_t count, std::span<float> out) const {
  DUET_CHECK(begin >= 0 && count >= 0 && begin + count <= source_.rows);
  DUET_CHECK(static_cast<int64_t>(out.size()) == count * source_.cols);
  switch (source_.scheme.form) {
    case WeightForm::kScaled:
      return source_.scheme.floating ? decode_scaled_floats(begin, count, out) : decode_integers(begin, count, out);
    case WeightForm::kPacked:
    case WeightForm::kAwq:
    case WeightForm::kGptq:
      return decode_integers(begin, count, out);
    case WeightForm::kMxfp4:
    case WeightForm::kNvfp4:
      return decode_fp4(begin, count, out);
    case WeightForm::kMap4Bit:
      return decode_mapped(begin, count, out);
  }
}

/// Of one of the blocks that a row is packed in.
float QuantizedRows::scale(int64_t row, int64_t block) const {
  return row_scales(row)[group_of_[static_cast<size_t>(block * kBlock)]];
}

/// Blocks of Q4_0, Q5_0 or Q8_0 (tensor/blocks/legacy.h).
void QuantizedRows::encode_integers(int64_t begin, int64_t count, std::byte* out) const {
  std::vector<int16_t> codes(static_cast<size_t>(count * source_.cols));
  integers(begin, count, codes);
  const int64_t bytes = dtype_info(dtype_).block_bytes, blocks = source_.cols / kBlock;
  for (int64_t b = 0; b < count * blocks; ++b, out += bytes) {
    const int16_t* const q = codes.data() + b * kBlock;
    const uint16_t d = f32_to_f16(scale(begin + b / blocks, b % blocks));
    std::memcpy(out, &d, sizeof d);
    if (dtype_ == DType::kQ8_0) {
      for (int64_t i = 0; i < kBlock; ++i) out[2 + i] = static_cast<std::byte>(q[i]);
      continue;
    }
    const int offset = dtype_ == DType::kQ4_0 ? 8 : 16;
    uint32_t fifth = 0;
    for (int64_t i = 0; i < kBlock; ++i) fifth |= static_cast<uint32_t>((q[i] + offset) >> 4 & 1) << i;
    if (dtype_ == DType::kQ5_0) std::memcpy(out + 2, &fifth, sizeof fifth);
    std::byte* const nibbles = out + (dtype_ == DType::kQ5_0 ? 6 : 2);
    for (int64_t i = 0; i < kBlock / 2; ++i) {
      nibbles[i] = static_cast<std::byte>(((q[i] + offset) & 15) | ((q[i + kBlock / 2] + offset) & 15) << 4);
    }
  }
}

/// Neighbours of a byte become neighbours 16 apart.
void QuantizedRows::encode_mxfp4(int64_t begin, int64_t count, std::byte* out) const {
  const std::vector<std::byte> bytes = code_bytes(begin, count);
  const int64_t blocks = source_.cols / kBlock;
  for (int64_t b = 0; b < count * blocks; ++b, out += 17) {
    out[0] = static_cast<std::byte>(std::ilogb(scale(begin + b / blocks, b % blocks)) + 127);
    for (int64_t i = 0; i < kBlock / 2; ++i) {
      const auto code = [&](int64_t k) {
        return byte_at(bytes, b * (kBlock / 2) + k / 2) >> (k % 2 == 0 ? 0U : 4U) & 15U;
      };
      out[1 + i] = static_cast<std::byte>(code(i) | code(i + kBlock / 2) << 4);
    }
  }
}

void QuantizedRows::read(int64_t begin, int64_t count, std::span<std::byte> out) const {
  DUET_CHECK(static_cast<int64_t>(out.size()) == count * row_bytes(dtype_info(dtype_), source_.cols));
  if (dtype_ == DType::kMXFP4) return encode_mxfp4(begin, count, out.data());
  if (dtype_ != DType::kF32 && dtype_ != DType::kBF16) return encode_integers(begin, count, out.data());
  std::vector<float> values(static_cast<size_t>(count * source_.cols));
  decode(begin, count, values);
  if (dtype_ == DType::kF32) {
    std::memcpy(out.data(), values.data(), out.size());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = f32_to_bf16(values[i]);
    std::memcpy(out.data() + 2 * i, &half, sizeof half);
  }
}

}  // namespace duet
