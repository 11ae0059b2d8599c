#pragma once

#include <cstdint>
#include <string>

#include "formats/checkpoint.h"

namespace duet {

/// How the numbers of a quantised matrix of a Hugging Face checkpoint are stored. w is [out, in], g the group of input
/// column i, word an int32 read as unsigned. Every formula is evaluated in float32 and not rounded further.
enum class WeightForm {
  kScaled,   // weight F8_E4M3 or I8 [out, in]; w = code * scale
  kPacked,   // weight_packed I32 [out, in/n], low codes first; w = (code - zero) * scale
  kAwq,      // qweight I32 [in, out/8], nibble k of a word is column 8 j + (0,2,4,6,1,3,5,7)[k]
  kGptq,     // qweight I32 [in/n, out], low codes first; the stored zero is one less than the zero (v1)
  kMxfp4,    // two E2M1 codes a byte, low first, scale 2^(byte - 127) for 32 columns
  kNvfp4,    // the same codes, scale F8_E4M3 for 16 columns, divided by a scale of the whole matrix
  kMap4Bit,  // two codes a byte, the high one first, in a table; absmax for each block of elements of the whole matrix
};

/// One group of a quantization_config. Zeros mean "does not apply".
struct WeightScheme {
  WeightForm form = WeightForm::kScaled;
  std::string name;        // for people: "gptq 4 bits, groups of 128"
  int64_t bits = 0;        // of a code
  int64_t group = 0;       // columns that share a scale; 0 = one scale a row, or for all
  int64_t block_rows = 0;  // with block_columns: a scale for each such block
  int64_t block_columns = 0;
  bool symmetric = true;          // kPacked: no zeros are stored
  bool floating = false;          // kScaled: F8_E4M3, not I8
  bool zero_minus_one = false;    // kGptq, format v1
  bool ordered_groups = true;     // kGptq: the groups stand in the order of the columns
  bool double_quantised = false;  // kMap4Bit: absmax is quantised itself
};

/// Where one quantised matrix lies. Entries point into the checkpoint; shapes and types have been judged.
struct QuantizedSource {
  WeightScheme scheme;
  int64_t rows = 0, cols = 0;  // of the stored matrix [out, in]
  /// kScaled: the stored tensors hold so many such matrices, of experts, of which this is number `slice`.
  int64_t slices = 1, slice = 0;
  const TensorEntry* codes = nullptr;
  const TensorEntry* scales = nullptr;         // kMap4Bit: absmax
  const TensorEntry* zeros = nullptr;          // kPacked asymmetric, kAwq, kGptq
  const TensorEntry* order = nullptr;          // [in] the group of each column, where the file has it
  const TensorEntry* global_scale = nullptr;   // kNvfp4
  const TensorEntry* map = nullptr;            // kMap4Bit [16]
  const TensorEntry* nested_scales = nullptr;  // kMap4Bit, double quantised: [ceil(blocks / nested_block)]
  const TensorEntry* nested_map = nullptr;     // [256]
  int64_t block = 0, nested_block = 0;         // kMap4Bit: elements, blocks
  float nested_offset = 0;
  int64_t bytes = 0;  // of the file, all of them together, of this slice
};

}  // namespace duet
