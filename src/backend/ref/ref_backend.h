#pragma once

#include "backend/backend.h"

namespace duet {

/// Specification and oracle of every op: plain loops, float64 inside, float32 at the borders, one thread, host memory.
/// Row t of a result uses row t of the arguments only, so the row law holds by construction.
class RefBackend final : public Backend {
 public:
  std::string_view name() const override { return "ref"; }
  std::string_view arithmetic() const override { return "ref 1"; }
  std::unique_ptr<PackedWeight> pack(const WeightSource& source) override;
  std::string packed_layout() const override { return "rows as they are, version 1"; }
  std::unique_ptr<PackedWeight> restore(const WeightSource& source, const PackedReader& read) override;
  void copy_packed(const PackedWeight& weight, int64_t begin, std::span<std::byte> out) noexcept override;
  std::span<std::byte> packed_memory(PackedWeight& weight) noexcept override;
  void copy_to_packed(PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes) noexcept override;
  void embed_rows(const PackedWeight& table, std::span<const int32_t> ids, Tensor out) noexcept override;
  void linear(Tensor x, std::span<const LinearTerm> terms) noexcept override;
  void route_top_k(Tensor logits, RouterScore score, Tensor ids, Tensor weights) noexcept override;
  void grouped_linear(Tensor x, Tensor ids, std::span<const GroupedTerm> terms) noexcept override;
  void mix_experts(Tensor y, Tensor weights, Tensor add_to) noexcept override;
  void sigmoid_mul(Tensor x, Tensor gate, Tensor out) noexcept override;
  void scale_rows(Tensor x, Tensor factors, Tensor out) noexcept override;
  void join_columns(Tensor a, Tensor b, Tensor out) noexcept override;
  void rms_norm(Tensor x, Tensor weight, float eps, Tensor out) noexcept override;
  void rope(Tensor x, Tensor cos, Tensor sin) noexcept override;
  void silu_mul(Tensor gate, Tensor up, Tensor out) noexcept override;
  void kv_write(Tensor k, Tensor v, const KvView& kv, const RowPlaces& rows) noexcept override;
  void attention(Tensor q, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec,
                 Tensor out) noexcept override;
  void select_rows(Tensor x, std::span<const int32_t> rows, Tensor out) noexcept override;

  void causal_conv1d(Tensor x, Tensor weight, const DeltaView& delta, const RowPlaces& rows,
                     Tensor out) noexcept override;
  void delta_gates(Tensor a, Tensor b, Tensor decay, Tensor dt_bias, Tensor g, Tensor beta) noexcept override;
  void l2_norm(Tensor x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) noexcept override;
  void delta_net(Tensor qkv, Tensor g, Tensor beta, const DeltaView& delta, const RowPlaces& rows,
                 std::span<const int32_t> certain_end, Tensor out) noexcept override;
  void gated_rms_norm(Tensor x, Tensor z, Tensor weight, float eps, Tensor out) noexcept override;

  Buffer allocate(int64_t bytes) override;
  void copy_to_device(std::byte* device, const void* host, int64_t bytes) noexcept override;
  void copy_to_host(void* host, const std::byte* device, int64_t bytes) noexcept override;
  void copy(std::byte* to, const std::byte* from, int64_t bytes) noexcept override;
  void sync() noexcept override {}

 private:
  void release(std::byte* data, int64_t bytes) noexcept override;
};

}  // namespace duet
