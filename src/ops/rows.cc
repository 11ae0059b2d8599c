#include "ops/rows.h"

#include "backend/backend.h"
#include "base/check.h"

namespace duet::ops {

void rms_norm(Ctx& ctx, const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  DUET_CHECK(x.shape == out.shape && weight.shape == Shape{x.dim(x.shape.rank() - 1)});
  ctx.backend.rms_norm(x, weight, eps, out);
}

void rope(Ctx& ctx, const Tensor& x, const Tensor& cos, const Tensor& sin) {
  DUET_CHECK(x.shape.rank() == 3 && cos.shape.rank() == 2 && cos.shape == sin.shape);
  DUET_CHECK(cos.dim(0) == x.dim(0) && 2 * cos.dim(1) <= x.dim(2));
  ctx.backend.rope(x, cos, sin);
}

void silu_mul(Ctx& ctx, const Tensor& gate, const Tensor& up, const Tensor& out) {
  DUET_CHECK(gate.shape == up.shape && gate.shape == out.shape);
  ctx.backend.silu_mul(gate, up, out);
}

void sigmoid_mul(Ctx& ctx, const Tensor& x, const Tensor& gate, const Tensor& out) {
  DUET_CHECK(x.shape.rank() == 2 && x.shape == out.shape && gate.shape.rank() == 2 && gate.dim(0) == x.dim(0));
  DUET_CHECK(gate.dim(1) == x.dim(1) || gate.dim(1) == 1);
  ctx.backend.sigmoid_mul(x, gate, out);
}

void scale_rows(Ctx& ctx, const Tensor& x, const Tensor& factors, const Tensor& out) {
  DUET_CHECK(x.shape.rank() == 2 && factors.shape.rank() == 2 && factors.dim(0) == x.dim(0));
  DUET_CHECK((out.shape == Shape{x.dim(0), factors.dim(1), x.dim(1)}) && (x.data != out.data || factors.dim(1) == 1));
  ctx.backend.scale_rows(x, factors, out);
}

void join_columns(Ctx& ctx, const Tensor& a, const Tensor& b, const Tensor& out) {
  DUET_CHECK(a.shape.rank() == 2 && b.shape.rank() == 2 && a.dim(0) == b.dim(0));
  DUET_CHECK((out.shape == Shape{a.dim(0), a.dim(1) + b.dim(1)}));
  ctx.backend.join_columns(a, b, out);
}

void select_rows(Ctx& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& out) {
  DUET_CHECK(x.shape.rank() == 2 && (out.shape == Shape{static_cast<int64_t>(rows.size()), x.dim(1)}));
  for (const int32_t row : rows) DUET_CHECK(row >= 0 && row < x.dim(0));
  ctx.backend.select_rows(x, rows, out);
}

}  // namespace duet::ops
