#include "ops/linear.h"

#include <array>

#include "backend/backend.h"
#include "base/check.h"
#include "ops/rows.h"

namespace duet::ops {

std::shared_ptr<const PackedWeight> pack_weight(Backend& backend, const WeightSource& source) {
  return backend.pack(source);
}

std::string packed_layout(const Backend& backend) { return backend.packed_layout(); }

std::shared_ptr<const PackedWeight> restore_weight(Backend& backend, const WeightSource& source,
                                                   const PackedReader& read) {
  return backend.restore(source, read);
}

void copy_packed(Backend& backend, const PackedWeight& weight, int64_t begin, std::span<std::byte> out) {
  DUET_CHECK(begin >= 0 && begin + static_cast<int64_t>(out.size()) <= weight.bytes());
  backend.copy_packed(weight, begin, out);
}

std::shared_ptr<PackedWeight> empty_weight(Backend& backend, const WeightSource& source) {
  return backend.restore(source, [](int64_t, std::span<std::byte>) {});
}

std::span<std::byte> packed_memory(Backend& backend, PackedWeight& weight) { return backend.packed_memory(weight); }

void copy_to_packed(Backend& backend, PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes) {
  DUET_CHECK(begin >= 0 && begin + static_cast<int64_t>(bytes.size()) <= weight.bytes());
  backend.copy_to_packed(weight, begin, bytes);
}

LinearTerm checked_term(const LinearInput& input, const Linear& layer, const Tensor& out, Epilogue epilogue) {
  const Tensor& x = input.source;
  DUET_CHECK(x.dtype == DType::kF32 && out.dtype == DType::kF32);
  DUET_CHECK(x.shape.rank() == 2 && out.shape.rank() == 2 && x.dim(0) == out.dim(0));
  DUET_CHECK(x.dim(1) == layer.in_dim() && out.dim(1) == layer.out_dim());
  DUET_CHECK(!layer.bias.defined() || layer.bias.shape == Shape{layer.out_dim()});
  return {layer.weight.get(), layer.bias, epilogue, out};
}

LinearInput normed(const Tensor& x, const Tensor& weight, float eps, const Tensor& room) {
  DUET_CHECK(x.shape.rank() == 2 && weight.shape == Shape{x.dim(1)});
  DUET_CHECK(room.shape == x.shape && room.data != x.data);
  return {x, weight, eps, room};
}

Tensor rows_of(Ctx& ctx, const LinearInput& input) {
  if (!input.norm.defined()) return input.source;
  rms_norm(ctx, input.source, input.norm, input.eps, input.room);
  return input.room;
}

void linear(Ctx& ctx, const LinearInput& x, const Linear& layer, const Tensor& out, Epilogue epilogue) {
  const LinearTerm term = checked_term(x, layer, out, epilogue);
  ctx.backend.linear_of(x, {&term, 1});
}

void linear(Ctx& ctx, const LinearInput& x, std::initializer_list<LinearOutput> outputs) {
  DUET_CHECK(outputs.size() <= kMaxLinearTerms);
  std::array<LinearTerm, kMaxLinearTerms> terms;
  size_t count = 0;
  for (const LinearOutput& output : outputs) {
    terms[count++] = checked_term(x, output.layer, output.out, Epilogue::kNone);
  }
  ctx.backend.linear_of(x, std::span(terms).first(count));
}

void swiglu(Ctx& ctx, const LinearInput& x, const Linear& gate, const Linear& up, const Linear& down,
            const Tensor& row_gates, const Tensor& gate_room, const Tensor& up_room, const Tensor& add_to) {
  DUET_CHECK(gate_room.shape == up_room.shape);
  DUET_CHECK(!row_gates.defined() || (row_gates.shape == Shape{x.source.dim(0), 1}));
  ctx.backend.swiglu(x, checked_term(x, gate, gate_room, Epilogue::kNone),
                     checked_term(x, up, up_room, Epilogue::kNone),
                     checked_term(gate_room, down, add_to, Epilogue::kAdd), row_gates);
}

void embed_rows(Ctx& ctx, const Linear& table, std::span<const int32_t> ids, const Tensor& out) {
  DUET_CHECK((out.shape == Shape{static_cast<int64_t>(ids.size()), table.in_dim()}));
  for (const int32_t id : ids) DUET_CHECK(id >= 0 && id < table.out_dim());
  ctx.backend.embed_rows(*table.weight, ids, out);
}

}  // namespace duet::ops
