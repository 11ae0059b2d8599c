#include "backend/cpu/block_layout.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels.h"

namespace duet {
namespace {

// d, m are f16, scales single bytes, integers words (golden/quant/README.md has the layouts).
constexpr BlockField kF32[] = {{4, 1}};
constexpr BlockField kF16[] = {{2, 1}};
constexpr BlockField kQ4_0[] = {{2, 1}, {4, 4}};
constexpr BlockField kQ4_1[] = {{2, 2}, {4, 4}};
constexpr BlockField kQ5_0[] = {{2, 1}, {4, 1, true}, {4, 4}};
constexpr BlockField kQ5_1[] = {{2, 2}, {4, 1, true}, {4, 4}};
constexpr BlockField kQ8_0[] = {{2, 1}, {4, 8}};
constexpr BlockField kQ2_K[] = {{1, 16}, {4, 16}, {2, 2}};
constexpr BlockField kQ3_K[] = {{4, 8}, {4, 16}, {1, 12}, {2, 1}};
constexpr BlockField kQ4_K[] = {{2, 2}, {1, 12}, {4, 32}};
constexpr BlockField kQ5_K[] = {{2, 2}, {1, 12}, {4, 8}, {4, 32}};
constexpr BlockField kQ6_K[] = {{4, 32}, {4, 16}, {1, 16}, {2, 1}};
constexpr BlockField kIQ4_XS[] = {{2, 1}, {1, 6}, {4, 32}};
constexpr BlockField kMXFP4[] = {{1, 1}, {4, 4}};

/// out bit 8 i + g = in bit 4 g + i: every fourth bit from i on is gathered in byte i, by halving the gaps.
uint32_t spread_bits(uint32_t in) {
  uint32_t out = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    uint32_t bits = in >> i & 0x11111111U;
    bits = (bits | bits >> 3) & 0x03030303U;
    bits = (bits | bits >> 6) & 0x000F000FU;
    bits = (bits | bits >> 12) & 0x000000FFU;
    out |= bits << (8 * i);
  }
  return out;
}

/// The way back.
uint32_t gather_bits(uint32_t in) {
  uint32_t out = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    uint32_t bits = in >> (8 * i) & 0x000000FFU;
    bits = (bits | bits << 12) & 0x000F000FU;
    bits = (bits | bits << 6) & 0x03030303U;
    bits = (bits | bits << 3) & 0x11111111U;
    out |= bits << i;
  }
  return out;
}

/// Applies f to each word.
void map_words(std::byte* words, int64_t count, uint32_t (*f)(uint32_t)) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t word = 0;
    std::memcpy(&word, words + 4 * i, 4);
    word = f(word);
    std::memcpy(words + 4 * i, &word, 4);
  }
}

template <int kBytes>
void interleave_field(const std::byte* in, int64_t row_stride, int64_t elements, std::byte* out) {
  for (int64_t lane = 0; lane < kPanelRows; ++lane) {
    for (int64_t i = 0; i < elements; ++i) {
      std::memcpy(out + (i * kPanelRows + lane) * kBytes, in + lane * row_stride + i * kBytes, kBytes);
    }
  }
}

template <int kBytes>
void extract_field(const std::byte* in, int64_t lane, int64_t elements, std::byte* out) {
  for (int64_t i = 0; i < elements; ++i) std::memcpy(out + i * kBytes, in + (i * kPanelRows + lane) * kBytes, kBytes);
}

}  // namespace

std::span<const BlockField> block_fields(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return kF32;
    case DType::kF16:
    case DType::kBF16:
      return kF16;
    case DType::kQ4_0:
      return kQ4_0;
    case DType::kQ4_1:
      return kQ4_1;
    case DType::kQ5_0:
      return kQ5_0;
    case DType::kQ5_1:
      return kQ5_1;
    case DType::kQ8_0:
      return kQ8_0;
    case DType::kQ2_K:
      return kQ2_K;
    case DType::kQ3_K:
      return kQ3_K;
    case DType::kQ4_K:
      return kQ4_K;
    case DType::kQ5_K:
      return kQ5_K;
    case DType::kQ6_K:
      return kQ6_K;
    case DType::kIQ4_NL:
      return kQ4_0;
    case DType::kIQ4_XS:
      return kIQ4_XS;
    case DType::kMXFP4:
      return kMXFP4;
    default:
      return {};
  }
}

GroupFields group_fields(const GroupFormat& format, int64_t cols) {
  const GroupLayout layout = group_layout(format, cols);
  return {{{4, layout.codes / 4},
           {std::max<int64_t>(1, layout.scale), layout.scale == 0 ? 0 : layout.groups},
           {1, layout.zeros},
           {2, layout.line / 2}}};
}

void interleave_panel(DType dtype, const std::byte* rows, int64_t blocks, std::byte* panel) {
  interleave_panel(block_fields(dtype), dtype_info(dtype).block_bytes, rows, blocks, panel);
}

void interleave_panel(std::span<const BlockField> fields, int64_t block_bytes, const std::byte* rows, int64_t blocks,
                      std::byte* panel) {
  for (int64_t b = 0; b < blocks; ++b, rows += block_bytes) {
    const std::byte* in = rows;
    for (const BlockField& field : fields) {
      switch (field.element_bytes) {
        case 1:
          interleave_field<1>(in, blocks * block_bytes, field.elements, panel);
          break;
        case 2:
          interleave_field<2>(in, blocks * block_bytes, field.elements, panel);
          break;
        default:
          interleave_field<4>(in, blocks * block_bytes, field.elements, panel);
          break;
      }
      if (field.spread) map_words(panel, kPanelRows * field.elements, spread_bits);
      in += field.element_bytes * field.elements;
      panel += kPanelRows * field.element_bytes * field.elements;
    }
  }
}

void extract_blocks(DType dtype, const std::byte* groups, int64_t lane, int64_t blocks, std::byte* out) {
  extract_blocks(block_fields(dtype), groups, lane, blocks, out);
}

void extract_blocks(std::span<const BlockField> fields, const std::byte* groups, int64_t lane, int64_t blocks,
                    std::byte* out) {
  for (int64_t b = 0; b < blocks; ++b) {
    for (const BlockField& field : fields) {
      switch (field.element_bytes) {
        case 1:
          extract_field<1>(groups, lane, field.elements, out);
          break;
        case 2:
          extract_field<2>(groups, lane, field.elements, out);
          break;
        default:
          extract_field<4>(groups, lane, field.elements, out);
          break;
      }
      if (field.spread) map_words(out, field.elements, gather_bits);
      out += field.element_bytes * field.elements;
      groups += kPanelRows * field.element_bytes * field.elements;
    }
  }
}

}  // namespace duet
