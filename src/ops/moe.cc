#include "ops/moe.h"

#include <array>
#include <utility>

#include "backend/backend.h"
#include "base/check.h"

namespace duet::ops {

void ExpertLinear::add(std::shared_ptr<const PackedWeight> weight) {
  DUET_CHECK(experts.empty() || (weight->rows() == out_dim() && weight->cols() == in_dim()));
  experts.push_back(weight.get());
  owned.push_back(std::move(weight));
}

void route_top_k(Ctx& ctx, const Tensor& logits, RouterScore score, const Tensor& ids, const Tensor& weights) {
  DUET_CHECK(logits.shape.rank() == 2 && ids.shape.rank() == 2 && ids.shape == weights.shape);
  DUET_CHECK(ids.dtype == DType::kI32 && ids.dim(0) == logits.dim(0));
  DUET_CHECK(ids.dim(1) >= 1 && ids.dim(1) <= logits.dim(1));
  ctx.backend.route_top_k(logits, score, ids, weights);
}

void grouped_linear(Ctx& ctx, const Tensor& x, const Tensor& ids, std::initializer_list<ExpertOutput> outputs) {
  DUET_CHECK(outputs.size() >= 1 && outputs.size() <= kMaxLinearTerms && ids.dtype == DType::kI32);
  const int64_t rows = ids.dim(0), top_k = ids.dim(1), in = x.dim(x.shape.rank() - 1);
  DUET_CHECK((x.shape == Shape{rows, in}) || (x.shape == Shape{rows, top_k, in}));
  std::array<GroupedTerm, kMaxLinearTerms> terms;
  size_t count = 0;
  for (const ExpertOutput& output : outputs) {
    DUET_CHECK(output.layer.in_dim() == in && (output.out.shape == Shape{rows, top_k, output.layer.out_dim()}));
    DUET_CHECK(output.layer.experts.size() == outputs.begin()->layer.experts.size());
    terms[count++] = {output.layer.experts, output.out};
  }
  ctx.backend.grouped_linear(x, ids, std::span(terms).first(count));
}

void mix_experts(Ctx& ctx, const Tensor& y, const Tensor& weights, const Tensor& add_to) {
  DUET_CHECK(y.shape.rank() == 3 && (add_to.shape == Shape{y.dim(0), y.dim(2)}));
  DUET_CHECK(!weights.defined() || (weights.shape == Shape{y.dim(0), y.dim(1)}));
  ctx.backend.mix_experts(y, weights, add_to);
}

void mixture(Ctx& ctx, const Tensor& x, const Tensor& input, const Tensor& ids, const Tensor& weights,
             const MixtureLayer& layer, const Tensor& row_gates, const MixtureRooms& rooms, const Tensor& add_to) {
  DUET_CHECK(ids.dtype == DType::kI32 && ids.shape.rank() == 2 && x.shape.rank() == 2 && x.data != add_to.data);
  const int64_t rows = ids.dim(0), top_k = ids.dim(1), hidden = x.dim(1), dim = layer.gate.out_dim();
  DUET_CHECK((x.shape == Shape{rows, hidden} && add_to.shape == x.shape));
  DUET_CHECK((input.shape == x.shape) || (input.shape == Shape{rows, top_k, hidden}));
  DUET_CHECK(!weights.defined() || weights.shape == ids.shape);
  DUET_CHECK(layer.gate.in_dim() == hidden && layer.up.in_dim() == hidden && layer.up.out_dim() == dim);
  DUET_CHECK(layer.down.in_dim() == dim && layer.down.out_dim() == hidden);
  DUET_CHECK((rooms.gate.shape == Shape{rows, top_k, dim} && rooms.up.shape == rooms.gate.shape));
  DUET_CHECK((rooms.down.shape == Shape{rows, top_k, hidden}));
  const size_t experts = layer.gate.experts.size();
  DUET_CHECK(layer.up.experts.size() == experts && layer.down.experts.size() == experts);
  Mixture m;
  m.x = x, m.input = input, m.ids = ids, m.weights = weights, m.row_gates = row_gates, m.add_to = add_to;
  m.gate = {layer.gate.experts, rooms.gate}, m.up = {layer.up.experts, rooms.up};
  m.down = {layer.down.experts, rooms.down};
  if (layer.shared) {
    DUET_CHECK(!row_gates.defined() || (row_gates.shape == Shape{rows, 1}));
    m.shared = {checked_term(x, layer.shared->gate, rooms.shared_gate, Epilogue::kNone),
                checked_term(x, layer.shared->up, rooms.shared_up, Epilogue::kNone),
                checked_term(rooms.shared_gate, layer.shared->down, add_to, Epilogue::kAdd)};
    DUET_CHECK(rooms.shared_gate.shape == rooms.shared_up.shape);
  }
  ctx.backend.mixture(m);
}

}  // namespace duet::ops
