#pragma once

#include <algorithm>
#include <functional>
#include <mutex>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/delta_parts.h"
#include "backend/cpu/fetch_plan.h"
#include "backend/cpu/level.h"
#include "backend/cpu/packed_weight.h"
#include "backend/cpu/slab_memory.h"
#include "base/done_once.h"
#include "base/thread_pool.h"

namespace duet {

/// The host's CPU: panels dequantized to float32 or, in the native arithmetic, multiplied as integers; one chain per
/// output (docs of the ops in backend.h). All memory that the ops need beside their arguments is taken when the backend
/// is made and when weights are packed.
class CpuBackend final : public Backend {
 public:
  /// Throws out_of_memory.
  CpuBackend(ThreadPool& pool, const CpuLevel& level);
  ~CpuBackend() override;

  Buffer allocate(int64_t bytes) override;
  void copy_to_device(std::byte* device, const void* host, int64_t bytes) noexcept override;
  void copy_to_host(void* host, const std::byte* device, int64_t bytes) noexcept override;
  void copy(std::byte* to, const std::byte* from, int64_t bytes) noexcept override;
  void sync() noexcept override {}
  std::byte* host_view(std::byte* device) noexcept override { return device; }
  void on_threads(int64_t count, const std::function<void(int64_t i)>& body) noexcept override;

  std::string_view name() const override { return "cpu"; }
  std::string_view arithmetic() const override;
  std::string_view level() const { return level_.name; }
  std::unique_ptr<PackedWeight> pack(const WeightSource& source) override;
  std::string packed_layout() const override { return cpu_packed_layout(level_.kernels); }
  std::unique_ptr<PackedWeight> restore(const WeightSource& source, const PackedReader& read) override;
  void copy_packed(const PackedWeight& weight, int64_t begin, std::span<std::byte> out) noexcept override;
  std::span<std::byte> packed_memory(PackedWeight& weight) noexcept override;
  void copy_to_packed(PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes) noexcept override;
  void embed_rows(const PackedWeight& table, std::span<const int32_t> ids, Tensor out) noexcept override;
  void linear(Tensor x, std::span<const LinearTerm> terms) noexcept override { linear_of(x, terms); }
  void linear_of(const LinearInput& input, std::span<const LinearTerm> terms) noexcept override;
  void swiglu(const LinearInput& input, const LinearTerm& gate, const LinearTerm& up, const LinearTerm& down,
              Tensor row_gates) noexcept override;
  void route_top_k(Tensor logits, RouterScore score, Tensor ids, Tensor weights) noexcept override;
  void grouped_linear(Tensor x, Tensor ids, std::span<const GroupedTerm> terms) noexcept override;
  void mix_experts(Tensor y, Tensor weights, Tensor add_to) noexcept override;
  void mixture(const Mixture& m) noexcept override;
  void sigmoid_mul(Tensor x, Tensor gate, Tensor out) noexcept override;
  void scale_rows(Tensor x, Tensor factors, Tensor out) noexcept override;
  void join_columns(Tensor a, Tensor b, Tensor out) noexcept override;
  void rms_norm(Tensor x, Tensor weight, float eps, Tensor out) noexcept override;
  void rope(Tensor x, Tensor cos, Tensor sin) noexcept override;
  void silu_mul(Tensor gate, Tensor up, Tensor out) noexcept override;
  void expect_attention(const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec) noexcept override;
  void kv_write(Tensor k, Tensor v, const KvView& kv, const RowPlaces& rows) noexcept override;
  void enter_heads(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv,
                   const RowPlaces& rows) noexcept override;
  void attention(Tensor q, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec,
                 Tensor out) noexcept override;
  void attend(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv, const RowPlaces& rows,
              const AttentionSpec& spec, Tensor out) noexcept override;
  void select_rows(Tensor x, std::span<const int32_t> rows, Tensor out) noexcept override;

  void causal_conv1d(Tensor x, Tensor weight, const DeltaView& delta, const RowPlaces& rows,
                     Tensor out) noexcept override;
  void delta_gates(Tensor a, Tensor b, Tensor decay, Tensor dt_bias, Tensor g, Tensor beta) noexcept override;
  void l2_norm(Tensor x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) noexcept override;
  void delta_net(Tensor qkv, Tensor g, Tensor beta, const DeltaView& delta, const RowPlaces& rows,
                 std::span<const int32_t> certain_end, Tensor out) noexcept override;
  void gated_rms_norm(Tensor x, Tensor z, Tensor weight, float eps, Tensor out) noexcept override;
  void delta_mix(const DeltaInput& input, const DeltaSteps& steps, const DeltaView& delta, const RowPlaces& rows,
                 std::span<const int32_t> certain_end, Tensor out) noexcept override;

 private:
  struct Product;
  struct RowGroup;
  struct HeadsCall;
  struct AttentionCall;
  class PanelCall;
  struct ExpertRows;
  struct DeltaMix;

  Product product_of(const LinearTerm& term) const noexcept;
  void release(std::byte* data, int64_t bytes) noexcept override;
  /// Makes room for a block of activation rows of `columns`.
  void reserve_activations(int64_t columns);
  /// What rms_norm() multiplies the row x [n] by, and one row of it.   x, weight, out [n]
  float norm_factor(const float* x, float eps, int64_t n) const noexcept;
  void norm_row(const float* x, const float* weight, float eps, int64_t n, float* out) const noexcept {
    level_.kernels.scale_row(x, norm_factor(x, eps, n), weight, out, n);
  }
  /// The same times silu(z).
  void gated_norm_row(const float* x, const float* z, const float* weight, float eps, int64_t n,
                      float* out) const noexcept {
    norm_row(x, weight, eps, n, out);
    level_.kernels.silu_mul(z, out, out, n);
  }
  /// out = x sigmoid(gate).   x, out [n]
  void scale_by_sigmoid(const float* x, float gate, float* out, int64_t n) const noexcept;
  void share_attention(const AttentionCall& call) noexcept;
  /// Threads share the tiles of keys, about `unit` of work at a time (AttentionCall), where whole blocks of rows are
  /// too few to keep all busy. False, and nothing done, where a tile's parts are too large.
  bool share_keys(const AttentionCall& call, int64_t unit) noexcept;
  float* scratch(int worker) const;
  /// Items of a chunk that is worth handing out, where that takes `least` of what an item has `each` of.
  static int64_t grain(int64_t least, int64_t each) { return std::max<int64_t>(1, least / std::max<int64_t>(1, each)); }
  /// body(begin, end, worker) over all rows of a row-wise op, at once where they are few.
  template <typename Body>
  void for_rows(int64_t rows, int64_t elements_a_row, const Body& body) const {
    pool_.parallel_for(rows, grain(kSmall, elements_a_row), std::ref(body));
  }

  /// Elements below which a row-wise op is not worth waking the workers for.
  static constexpr int64_t kSmall = 4096;

  ThreadPool& pool_;
  CpuLevel level_;
  SlabMemory memory_;  // goes after what lies in it
  Buffer scratch_;     // [threads, kWorkerFloats]
  std::mutex attention_mutex_;
  Buffer attention_parts_;  // [threads, kAttentionParts]; none for one thread
  std::mutex delta_mutex_;
  DeltaParts delta_parts_;
  /// The kv heads that have entered within the loop of attend().
  static constexpr int64_t kMostEntered = 256;
  std::mutex entered_mutex_;  // locked before attention_mutex_
  DoneOnce entered_{kMostEntered};
  std::mutex activations_mutex_;
  Buffer activations_;                   // a block of activation rows as products want them (PanelCall)
  FetchPlan expected_;                   // of what follows the next PanelCall
  DoneOnce ready_parts_{512};            // of the rows of a PanelCall
  std::unique_ptr<ExpertRows> experts_;  // of a grouped op
  /// The last PanelCall that a worker has begun: has asked for what it needs, and has the row in its scratch where each
  /// rounds it for itself.
  struct alignas(64) Begun {
    uint64_t call = 0;
  };
  std::vector<Begun> begun_;  // [threads]
  uint64_t call_ = 0;
};

}  // namespace duet
