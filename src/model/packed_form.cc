#include "model/packed_form.h"

#include "backend/types.h"

namespace duet {
namespace {

GroupScale scale_in_row(DType stored) {
  switch (stored) {
    case DType::kF16:
      return GroupScale::kF16;
    case DType::kBF16:
      return GroupScale::kBF16;
    case DType::kF8E4M3:
      return GroupScale::kE4M3;
    case DType::kF8E8M0:
    case DType::kU8:
      return GroupScale::kE8M0;
    default:
      return GroupScale::kF32;
  }
}

GroupFormat format_of(const QuantizedSource& source) {
  const WeightScheme& scheme = source.scheme;
  const int64_t columns = scheme.block_columns > 0 ? scheme.block_columns : scheme.group;
  GroupFormat format;
  format.group = static_cast<int32_t>(columns > 0 ? columns : source.cols);
  format.scale = scale_in_row(source.scales->dtype);
  switch (scheme.form) {
    case WeightForm::kScaled:
      format.code = scheme.floating ? GroupCode::kE4M3 : GroupCode::kInt8;
      break;
    case WeightForm::kPacked:
    case WeightForm::kAwq:
    case WeightForm::kGptq:
      format.code = scheme.bits == 4 ? GroupCode::kInt4 : GroupCode::kInt8;
      format.zeros = source.zeros != nullptr;
      format.zero = scheme.bits == 4 && !format.zeros ? 8 : 0;
      format.ordered = source.order != nullptr;
      break;
    case WeightForm::kMxfp4:
      break;
    case WeightForm::kNvfp4:
      format.code = GroupCode::kE2M1;
      format.scale = GroupScale::kGlobal;
      return format;
    case WeightForm::kMap4Bit:
      format.code = GroupCode::kMap4;
      format.group = static_cast<int32_t>(source.block);
      if (!scheme.double_quantised) return format;
      format.scale = GroupScale::kNested;
      format.table_rows = static_cast<int32_t>(source.nested_scales->shape.elements());
      format.nested_block = static_cast<int32_t>(source.nested_block);
      return format;
  }
  const int64_t groups = (source.cols + format.group - 1) / format.group;
  if (const int64_t scales = source.scales->shape.elements() / source.slices; scales < source.rows * groups) {
    format.scale = GroupScale::kTable;
    format.table_rows = static_cast<int32_t>(scales / groups);
  }
  return format;
}

}  // namespace

PackedForm packed_form(const QuantizedSource& source) {
  if (source.scheme.form == WeightForm::kMxfp4) return {DType::kMXFP4};
  const GroupFormat format = format_of(source);
  const bool numbered = format.scale != GroupScale::kNested || format.table_rows == 1 || source.rows <= kMostGroupLines;
  if (!numbered || !is_group_format(format, source.cols)) return {};
  return {DType::kGrouped, format};
}

int64_t packed_bytes(const PackedForm& form, int64_t rows, int64_t cols) {
  return form.grouped ? packed_bytes(*form.grouped, rows, cols) : packed_bytes(dtype_info(form.dtype), rows, cols);
}

IntegerForm integer_form(const PackedForm& form) {
  return form.grouped ? integer_form(*form.grouped) : integer_form(form.dtype);
}

}  // namespace duet
