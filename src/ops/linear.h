#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "backend/types.h"
#include "ops/context.h"
#include "tensor/tensor.h"

namespace duet {

/// The only thing that multiplies by weights: a packed matrix [out, in] and an optional bias [out].
struct Linear {
  std::shared_ptr<const PackedWeight> weight;
  Tensor bias;  // undefined: none

  int64_t out_dim() const { return weight->rows(); }
  int64_t in_dim() const { return weight->cols(); }
};

namespace ops {

/// Reads and packs a matrix into the backend's own layout. Throws what source.read_rows throws, and out_of_memory.
std::shared_ptr<const PackedWeight> pack_weight(Backend& backend, const WeightSource& source);

/// Packed forms outside of the backend (backend.h): the name of their layout, the way back and the way out.
std::string packed_layout(const Backend& backend);
std::shared_ptr<const PackedWeight> restore_weight(Backend& backend, const WeightSource& source,
                                                   const PackedReader& read);
void copy_packed(Backend& backend, const PackedWeight& weight, int64_t begin, std::span<std::byte> out);
/// A weight of zeros that gets its packed form later, and again: source.read_rows is not used.
std::shared_ptr<PackedWeight> empty_weight(Backend& backend, const WeightSource& source);
/// Where the host may write the packed form itself while no queued work reads it; empty: copy_to_packed() alone does.
std::span<std::byte> packed_memory(Backend& backend, PackedWeight& weight);
/// Replaces bytes from `begin` of the packed form, after all work queued before.
void copy_to_packed(Backend& backend, PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes);

/// The rows that ops::rms_norm() makes of x [T, in], for linear(): in bits as both ops, but made on the way in where a
/// backend can. `room` [T, in] is for those that cannot, and holds rubbish afterwards.   weight [in]
LinearInput normed(const Tensor& x, const Tensor& weight, float eps, const Tensor& room);
/// The rows themselves, for what multiplies them more than once.
Tensor rows_of(Ctx& ctx, const LinearInput& input);

/// y = x W' + bias; out = y, or out += y with Epilogue::kAdd.
///   x [T, in] f32, out [T, out] f32; x (its room, too) and out do not overlap
/// Numerics (`f32`): each y is one float32 chain over ascending k of x_k times the dequantized weight, then + bias,
/// then added to out; on a CPU with FMA each link is one rounding. |y - exact| <= (in + 2) 2^-24 sum_k |x_k w_k| (1 +
/// 2^-20).
/// `native` (weight->activations()): activations rounded to 8 bits in blocks of 32, integer products, one float32 chain
/// over the blocks; docs/numerics.md has the definition and the bound.
void linear(Ctx& ctx, const LinearInput& x, const Linear& layer, const Tensor& out,
            Epilogue epilogue = Epilogue::kNone);

/// The same for several layers of one x (at most kMaxLinearTerms), which rounds it once and shares the threads among
/// them.
struct LinearOutput {
  const Linear& layer;
  Tensor out;
};
void linear(Ctx& ctx, const LinearInput& x, std::initializer_list<LinearOutput> outputs);

/// add_to += down of silu_mul() of the products of x with gate and up, times sigmoid(row_gates) where these are
/// defined, in bits as linear(), silu_mul() and sigmoid_mul() one after the other.   row_gates [T, 1]; rooms [T, F]
/// each, where what lies between may be kept; they hold rubbish afterwards; add_to may be the rows that x norms
void swiglu(Ctx& ctx, const LinearInput& x, const Linear& gate, const Linear& up, const Linear& down,
            const Tensor& row_gates, const Tensor& gate_room, const Tensor& up_room, const Tensor& add_to);
/// What a backend is given for out = x layer' + bias, once their shapes have been checked.
LinearTerm checked_term(const LinearInput& x, const Linear& layer, const Tensor& out, Epilogue epilogue);

/// out[t] = row ids[t] of the matrix, dequantized exactly.   ids [T] in [0, rows), out [T, in]
void embed_rows(Ctx& ctx, const Linear& table, std::span<const int32_t> ids, const Tensor& out);

}  // namespace ops
}  // namespace duet
