#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "backend/cpu/expert_rows.h"
#include "backend/kv_page.h"
#include "backend/limits.h"
#include "backend/runtime.h"
#include "base/check.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

int64_t worker_bytes(int threads) { return threads * kWorkerFloats * static_cast<int64_t>(sizeof(float)); }
int64_t part_bytes(int threads) {
  return threads == 1 ? 0 : threads * kAttentionParts * static_cast<int64_t>(sizeof(float));
}

}  // namespace

CpuBackend::CpuBackend(ThreadPool& pool, const CpuLevel& level)
    : pool_(pool),
      level_(level),
      delta_parts_(pool.threads()),
      experts_(std::make_unique<ExpertRows>()),
      begun_(static_cast<size_t>(pool.threads())) {
  scratch_ = allocate(worker_bytes(pool.threads()));
  attention_parts_ = allocate(part_bytes(pool.threads()));
}

CpuBackend::~CpuBackend() = default;

// `baseline` rounds products and sums apart; all others have the same fused chains (docs/numerics.md).
std::string_view CpuBackend::arithmetic() const { return level_.name == "baseline" ? "cpu 1, not fused" : "cpu 1"; }

int64_t cpu_scratch_bytes(int threads) { return worker_bytes(threads) + part_bytes(threads); }

Buffer CpuBackend::allocate(int64_t bytes) { return Buffer(this, memory_.allocate(bytes), bytes); }

void CpuBackend::release(std::byte* data, int64_t bytes) noexcept { memory_.release(data, bytes); }

void CpuBackend::copy_to_device(std::byte* device, const void* host, int64_t bytes) noexcept {
  if (bytes > 0) std::memcpy(device, host, static_cast<size_t>(bytes));
}

void CpuBackend::copy_to_host(void* host, const std::byte* device, int64_t bytes) noexcept {
  if (bytes > 0) std::memcpy(host, device, static_cast<size_t>(bytes));
}

void CpuBackend::copy(std::byte* to, const std::byte* from, int64_t bytes) noexcept {
  if (bytes > 0) std::memmove(to, from, static_cast<size_t>(bytes));
}

void CpuBackend::on_threads(int64_t count, const std::function<void(int64_t i)>& body) noexcept {
  pool_.parallel_for(count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

std::unique_ptr<PackedWeight> CpuBackend::pack(const WeightSource& source) {
  std::unique_ptr<CpuPackedWeight> weight = pack_cpu_weight(source, level_.kernels, pool_, *this);
  reserve_activations(weight->cols());
  return weight;
}

std::unique_ptr<PackedWeight> CpuBackend::restore(const WeightSource& source, const PackedReader& read) {
  std::unique_ptr<CpuPackedWeight> weight = restore_cpu_weight(source, read, level_.kernels, pool_, *this);
  reserve_activations(weight->cols());
  return weight;
}

void CpuBackend::copy_packed(const PackedWeight& weight, int64_t begin, std::span<std::byte> out) noexcept {
  if (!out.empty()) std::memcpy(out.data(), static_cast<const CpuPackedWeight&>(weight).data() + begin, out.size());
}

std::span<std::byte> CpuBackend::packed_memory(PackedWeight& weight) noexcept {
  return {static_cast<CpuPackedWeight&>(weight).data(), static_cast<size_t>(weight.bytes())};
}

void CpuBackend::copy_to_packed(PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes) noexcept {
  if (!bytes.empty()) std::memcpy(static_cast<CpuPackedWeight&>(weight).data() + begin, bytes.data(), bytes.size());
}

float* CpuBackend::scratch(int worker) const {
  return reinterpret_cast<float*>(scratch_.data()) + worker * kWorkerFloats;
}

void CpuBackend::embed_rows(const PackedWeight& table, std::span<const int32_t> ids, Tensor out) noexcept {
  const auto& packed = static_cast<const CpuPackedWeight&>(table);
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      packed.decode_row(ids[static_cast<size_t>(t)], out.f32() + t * packed.cols());
    }
  };
  const auto count = static_cast<int64_t>(ids.size());
  for_rows(count, packed.cols(), body);
}

float CpuBackend::norm_factor(const float* x, float eps, int64_t n) const noexcept {
  const double mean = level_.kernels.sum_of_squares(x, n) / static_cast<double>(n);
  return static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
}

void CpuBackend::rms_norm(Tensor x, Tensor weight, float eps, Tensor out) noexcept {
  const int64_t n = x.dim(x.shape.rank() - 1);
  const int64_t rows = n == 0 ? 0 : x.elements() / n;
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      norm_row(x.f32() + t * n, weight.f32(), eps, n, out.f32() + t * n);
    }
  };
  for_rows(rows, n, body);
}

void CpuBackend::rope(Tensor x, Tensor cos, Tensor sin) noexcept {
  const int64_t rows = x.dim(0), heads = x.dim(1), dim = x.dim(2), half = cos.dim(1);
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* c = cos.f32() + t * half;
      const float* s = sin.f32() + t * half;
      for (int64_t h = 0; h < heads; ++h) {
        float* const head = x.f32() + (t * heads + h) * dim;
        level_.kernels.rotate(head, head + half, c, s, half);
      }
    }
  };
  for_rows(rows, heads * dim, body);
}

void CpuBackend::silu_mul(Tensor gate, Tensor up, Tensor out) noexcept {
  const int64_t count = gate.elements();
  const auto body = [&](int64_t begin, int64_t end, int) {
    level_.kernels.silu_mul(gate.f32() + begin, up.f32() + begin, out.f32() + begin, end - begin);
  };
  pool_.parallel_for(count, kSmall, std::ref(body));
}

void CpuBackend::expect_attention(const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec) noexcept {
  const std::lock_guard lock(activations_mutex_);
  expected_.expect(kv, rows, spec, pool_.threads());
}

void CpuBackend::select_rows(Tensor x, std::span<const int32_t> rows, Tensor out) noexcept {
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t row_bytes = count == 0 ? 0 : out.bytes() / count;
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      copy(out.data + i * row_bytes, x.data + rows[static_cast<size_t>(i)] * row_bytes, row_bytes);
    }
  };
  pool_.parallel_for(count, 64, std::ref(body));
}

std::unique_ptr<Backend> make_cpu_backend(ThreadPool& pool, std::string_view cpu_level) {
  return std::make_unique<CpuBackend>(pool, choose_cpu_level(cpu_level));
}

}  // namespace duet
