#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/delta_view.h"
#include "tensor/dtype.h"
#include "tensor/grouped.h"
#include "tensor/integer_blocks.h"
#include "tensor/tensor.h"

namespace duet {

/// The arithmetic of products with a weight (docs/numerics.md): kF32 dequantizes it; kNative rounds activations to 8
/// bits in blocks of 32 and multiplies integers. Types without an integer form (float32, bf16, ...) have kF32 only.
enum class Activations { kF32, kNative };

/// Where a backend gets a weight matrix from while it packs it: rows in canonical order, in the file's own type.
struct WeightSource {
  std::string name;  // canonical, for messages
  DType dtype = DType::kF32;
  int64_t rows = 0;  // out
  int64_t cols = 0;  // in; a whole number of blocks
  /// Fills `out` with rows [begin, begin + count), each row_bytes() long. Thread-safe; throws duet::Error.
  std::function<void(int64_t begin, int64_t count, std::span<std::byte> out)> read_rows;
  Activations activations = Activations::kF32;
  /// Where dtype is kGrouped: the form of the rows, a legal one for `cols`, and their table (tensor/grouped.h).
  std::optional<GroupFormat> grouped = std::nullopt;
  std::vector<std::byte> table = {};

  int64_t row_bytes() const {
    return grouped ? group_layout(*grouped, cols).row_bytes() : duet::row_bytes(dtype_info(dtype), cols);
  }
  int64_t table_bytes() const { return grouped ? group_table_bytes(*grouped, cols) : 0; }
};

/// What a packed matrix takes: every backend keeps the blocks of the source, in an order of its own.
constexpr int64_t packed_bytes(const DTypeInfo& info, int64_t rows, int64_t cols) {
  return rows * row_bytes(info, cols);
}
/// The same of grouped rows and their table, which stands behind them.
inline int64_t packed_bytes(const GroupFormat& format, int64_t rows, int64_t cols) {
  return rows * group_layout(format, cols).row_bytes() + group_table_bytes(format, cols);
}

/// Fills `out` with bytes from `begin` of a packed form: `begin` a multiple of kPackedPieceBytes, `out` as many bytes
/// or up to the form's end. Thread-safe; throws duet::Error.
using PackedReader = std::function<void(int64_t begin, std::span<std::byte> out)>;
inline constexpr int64_t kPackedPieceBytes = int64_t{1} << 18;

/// A weight matrix in its backend's own layout; opaque to all but that backend.
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  DType dtype() const { return dtype_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  /// What linear() computes with it.
  Activations activations() const { return activations_; }
  virtual int64_t bytes() const = 0;
  /// Of dtype() kGrouped.
  const std::optional<GroupFormat>& grouped() const { return grouped_; }
  IntegerForm integer_form() const { return form_; }

 protected:
  explicit PackedWeight(const WeightSource& source)
      : dtype_(source.dtype),
        rows_(source.rows),
        cols_(source.cols),
        grouped_(source.grouped),
        form_(source.grouped ? duet::integer_form(*source.grouped) : duet::integer_form(source.dtype)),
        activations_(form_.scales > 0 ? source.activations : Activations::kF32) {}

 private:
  DType dtype_;
  int64_t rows_, cols_;
  std::optional<GroupFormat> grouped_;
  IntegerForm form_;
  Activations activations_;
};

enum class Epilogue { kNone, kAdd };

/// out = x W' + bias (kNone) or out += x W' + bias (kAdd).
struct LinearTerm {
  const PackedWeight* weight;
  Tensor bias;  // [out] or undefined
  Epilogue epilogue = Epilogue::kNone;
  Tensor out;  // [T, out]
};

/// The rows that linear() multiplies: a tensor's, or those that rms_norm() makes of them, which a backend may make on
/// the way in. The bits are those of the op and then the product.
struct LinearInput {
  LinearInput(const Tensor& rows) : source(rows) {}  // so that a Tensor is one
  LinearInput(const Tensor& x, const Tensor& weight, float epsilon, const Tensor& place)
      : source(x), norm(weight), eps(epsilon), room(place) {}

  Tensor source;  // [T, in]
  Tensor norm;    // [in] the weight of rms_norm(), or undefined: rows as they are
  float eps = 0;  // of rms_norm()
  Tensor room;    // [T, in] for normed rows. What is there afterwards is not defined
};

/// Terms of one call of linear() at most.
inline constexpr size_t kMaxLinearTerms = 4;

/// One product of grouped_linear(): experts[e] is the weight of expert e, all [out, in] of one type.
struct GroupedTerm {
  std::span<const PackedWeight* const> experts;  // [E]
  Tensor out;                                    // [T, k, out]
};

/// What mixture() is given: experts are SwiGLU each, by [E] weights; those outs are room for what lies between.
struct Mixture {
  Tensor x;                    // [T, C]
  Tensor input;                // x, or [T, k, C]: rows of the experts' own
  Tensor ids;                  // [T, k] in [0, E)
  Tensor weights;              // [T, k], or undefined: all 1
  GroupedTerm gate, up, down;  // outs [T, k, F], [T, k, F], [T, k, C], which may be `input`
  /// The expert that all tokens share, where there is one: its gates and ups are room, too, its down is added. Its
  /// results are multiplied by sigmoid(row_gates [T, 1]), where that is defined.
  std::optional<std::array<LinearTerm, 3>> shared;
  Tensor row_gates;
  Tensor add_to;  // [T, C]
};

/// How a router's logits become the weights of the experts that it chooses.
enum class RouterScore {
  kSoftmax,              // of all logits
  kSoftmaxRenormalised,  // divided by the sum over the chosen ones
  kSigmoid,              // of each chosen logit by itself
};

/// Keys and values of a layer. Page i of a sequence holds positions [i P, (i+1) P). A token row is rounded once to
/// `dtype` (round_row()) when it enters, and every reader reads the rounded row. A page is the keys [Hk, D, P],
/// transposed so that neighbouring keys lie side by side, then the values [Hk, P, D]; of q8_0 each head's bytes follow
/// its float16 scales [D/32, P].
struct KvView {
  static constexpr int64_t kPageTokens = 64;  // P: page = attention tile (docs/architecture.md)
  DType dtype = DType::kF32;                  // f32, f16, bf16; q8_0 where 32 divides head_dim
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  /// pages[s][i]: this layer's page i of sequence s; nullptr where the window has let it go.
  std::span<const std::span<std::byte* const>> pages;

  /// Bytes of one head's keys, or values, in a page.
  int64_t head_bytes() const { return kPageTokens * row_bytes(dtype_info(dtype), head_dim); }
  int64_t page_bytes() const { return 2 * kv_heads * head_bytes(); }
  /// Where they begin in a page.
  int64_t keys_at(int64_t head) const { return head * head_bytes(); }
  int64_t values_at(int64_t head) const { return (kv_heads + head) * head_bytes(); }
};

/// Which sequence and which absolute position each row of a batch has. Both spans are [T].
struct RowPlaces {
  std::span<const int32_t> sequence;
  std::span<const int32_t> position;
};

/// What q and k go through between their product and attention.
struct HeadSteps {
  Tensor q_norm, k_norm;  // [D], the weights of rms_norm(), or both undefined: no norm
  float eps = 0;
  bool norm_after_rope = false;
  Tensor cos, sin;   // [T, R/2] of rope(), or undefined: no rope
  Tensor q_factors;  // [T] what each row of q is multiplied by at last, or undefined
};

/// Rows of a Gated DeltaNet layer as its projections leave them. What is there after delta_mix() is not defined.
struct DeltaInput {
  Tensor qkv;        // [T, channels]: Q | K | V before the convolution
  Tensor z;          // [T, Hv Dv]
  Tensor a, b;       // [T, Hv]
  Tensor convolved;  // [T, channels]: room for the rows of causal_conv1d()
};

/// What they go through.
struct DeltaSteps {
  Tensor conv;            // [channels, conv_width]
  Tensor decay, dt_bias;  // [Hv]
  Tensor norm;            // [Dv]
  float query_scale = 1;
  float l2_eps = 0, norm_eps = 0;
};

struct AttentionSpec {
  float scale = 1.0f;
  /// Key j <= i is visible to query i iff i - window < j and floor(j / chunk) = floor(i / chunk); 0 = no such limit.
  int64_t window = 0;
  int64_t chunk = 0;

  /// The first position that query i sees.
  int64_t first_visible(int64_t i) const {
    const int64_t of_window = window > 0 && i >= window ? i - window + 1 : 0;
    const int64_t of_chunk = chunk > 0 ? i / chunk * chunk : 0;
    return of_window > of_chunk ? of_window : of_chunk;
  }
};

}  // namespace duet
