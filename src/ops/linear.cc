#include "ops/linear.h"

#include "backend/backend.h"
#include "base/check.h"

namespace duet::ops {

std::shared_ptr<const PackedWeight> pack_weight(Backend& backend, const WeightSource& source) {
  return backend.pack(source);
}

void linear(Ctx& ctx, const Tensor& x, const Linear& layer, const Tensor& out, Epilogue epilogue) {
  DUET_CHECK(x.dtype == DType::kF32 && out.dtype == DType::kF32);
  DUET_CHECK(x.shape.rank() == 2 && out.shape.rank() == 2 && x.dim(0) == out.dim(0));
  DUET_CHECK(x.dim(1) == layer.in_dim() && out.dim(1) == layer.out_dim());
  DUET_CHECK(!layer.bias.defined() || layer.bias.shape == Shape{layer.out_dim()});
  ctx.backend.linear(x, *layer.weight, layer.bias, epilogue, out);
}

void embed_rows(Ctx& ctx, const Linear& table, std::span<const int32_t> ids, const Tensor& out) {
  DUET_CHECK((out.shape == Shape{static_cast<int64_t>(ids.size()), table.in_dim()}));
  for (const int32_t id : ids) DUET_CHECK(id >= 0 && id < table.out_dim());
  ctx.backend.embed_rows(*table.weight, ids, out);
}

}  // namespace duet::ops
