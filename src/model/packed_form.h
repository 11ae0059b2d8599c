#pragma once

#include <cstdint>
#include <optional>

#include "model/weight_scheme.h"
#include "tensor/grouped.h"

namespace duet {

/// In which type rows of a matrix are packed.
struct PackedForm {
  DType dtype = DType::kF32;
  std::optional<GroupFormat> grouped = std::nullopt;  // of kGrouped
  bool operator==(const PackedForm&) const = default;
};

/// The form of a quantised matrix, which means bit for bit the same numbers: MXFP4 as itself (a zero loses its sign),
/// all else as grouped rows with scales in the file's own type; float32 where columns are no whole words of 32, groups
/// no whole 16 columns, or blocks of NF4 no parts of a row. A function of types, shapes and the order of groups alone.
PackedForm packed_form(const QuantizedSource& source);

/// Bytes of a packed matrix, its table included.
int64_t packed_bytes(const PackedForm& form, int64_t rows, int64_t cols);
/// Of activations' native arithmetic; none of float32.
IntegerForm integer_form(const PackedForm& form);

}  // namespace duet
