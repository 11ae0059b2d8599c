// A test double: computes with `ref`, but queues every op until a sync or a copy to the host, and keeps its buffers
// unreadable and unwritable for the host in between (PROT_NONE: a stray access ends the test with a signal). Host data
// that an op was given is copied at the call. Whatever passes on it has no hidden host access, so a GPU backend will
// not find one.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "backend/ref/ref_backend.h"
#include "backend/runtime.h"
#include "base/check.h"
#include "base/error.h"

namespace duet {
namespace {

/// Page tables and row places that outlive the caller's.
struct OwnedKv {
  KvView view;
  std::vector<std::vector<std::byte*>> tables;
  std::vector<std::span<std::byte* const>> spans;
  std::vector<int32_t> sequence, position;

  OwnedKv(const KvView& kv, const RowPlaces& rows)
      : view(kv),
        sequence(rows.sequence.begin(), rows.sequence.end()),
        position(rows.position.begin(), rows.position.end()) {
    for (const auto& pages : kv.pages) tables.emplace_back(pages.begin(), pages.end());
    for (const auto& table : tables) spans.emplace_back(table);
    view.pages = spans;
  }
  OwnedKv(const OwnedKv&) = delete;
  OwnedKv& operator=(const OwnedKv&) = delete;
  RowPlaces rows() const { return {sequence, position}; }
};

/// The same for the states of DeltaView.
struct OwnedDelta {
  DeltaView view;
  std::vector<int32_t> key_head, sequence, position, certain_end;
  std::vector<std::byte*> states;

  OwnedDelta(const DeltaView& delta, const RowPlaces& rows, std::span<const int32_t> certain)
      : view(delta),
        key_head(delta.key_head_of_value_head.begin(), delta.key_head_of_value_head.end()),
        sequence(rows.sequence.begin(), rows.sequence.end()),
        position(rows.position.begin(), rows.position.end()),
        certain_end(certain.begin(), certain.end()),
        states(delta.states.begin(), delta.states.end()) {
    view.key_head_of_value_head = key_head;
    view.states = states;
  }
  OwnedDelta(const OwnedDelta&) = delete;
  OwnedDelta& operator=(const OwnedDelta&) = delete;
  RowPlaces rows() const { return {sequence, position}; }
};

class DeferredBackend final : public Backend {
 public:
  std::string_view name() const override { return "deferred"; }
  std::string_view arithmetic() const override { return ref_.arithmetic(); }
  std::unique_ptr<PackedWeight> pack(const WeightSource& source) override { return ref_.pack(source); }
  std::string packed_layout() const override { return ref_.packed_layout(); }
  std::unique_ptr<PackedWeight> restore(const WeightSource& source, const PackedReader& read) override {
    return ref_.restore(source, read);
  }
  void copy_packed(const PackedWeight& weight, int64_t begin, std::span<std::byte> out) noexcept override {
    ref_.copy_packed(weight, begin, out);
  }
  std::span<std::byte> packed_memory(PackedWeight&) noexcept override { return {}; }
  void copy_to_packed(PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes) noexcept override {
    later([this, &weight, begin, data = std::vector<std::byte>(bytes.begin(), bytes.end())] {
      ref_.copy_to_packed(weight, begin, data);
    });
  }

  void embed_rows(const PackedWeight& table, std::span<const int32_t> ids, Tensor out) noexcept override {
    later(
        [this, &table, ids = std::vector<int32_t>(ids.begin(), ids.end()), out] { ref_.embed_rows(table, ids, out); });
  }
  void linear(Tensor x, std::span<const LinearTerm> terms) noexcept override {
    later([this, x, terms = std::vector<LinearTerm>(terms.begin(), terms.end())] { ref_.linear(x, terms); });
  }
  void route_top_k(Tensor logits, RouterScore score, Tensor ids, Tensor weights) noexcept override {
    later([this, logits, score, ids, weights] { ref_.route_top_k(logits, score, ids, weights); });
  }
  void grouped_linear(Tensor x, Tensor ids, std::span<const GroupedTerm> terms) noexcept override {
    later([this, x, ids, terms = std::vector<GroupedTerm>(terms.begin(), terms.end())] {
      ref_.grouped_linear(x, ids, terms);
    });
  }
  void mix_experts(Tensor y, Tensor weights, Tensor add_to) noexcept override {
    later([this, y, weights, add_to] { ref_.mix_experts(y, weights, add_to); });
  }
  void sigmoid_mul(Tensor x, Tensor gate, Tensor out) noexcept override {
    later([this, x, gate, out] { ref_.sigmoid_mul(x, gate, out); });
  }
  void scale_rows(Tensor x, Tensor factors, Tensor out) noexcept override {
    later([this, x, factors, out] { ref_.scale_rows(x, factors, out); });
  }
  void join_columns(Tensor a, Tensor b, Tensor out) noexcept override {
    later([this, a, b, out] { ref_.join_columns(a, b, out); });
  }
  void rms_norm(Tensor x, Tensor weight, float eps, Tensor out) noexcept override {
    later([this, x, weight, eps, out] { ref_.rms_norm(x, weight, eps, out); });
  }
  void rope(Tensor x, Tensor cos, Tensor sin) noexcept override {
    later([this, x, cos, sin] { ref_.rope(x, cos, sin); });
  }
  void silu_mul(Tensor gate, Tensor up, Tensor out) noexcept override {
    later([this, gate, up, out] { ref_.silu_mul(gate, up, out); });
  }
  void kv_write(Tensor k, Tensor v, const KvView& kv, const RowPlaces& rows) noexcept override {
    later(
        [this, k, v, owned = std::make_shared<OwnedKv>(kv, rows)] { ref_.kv_write(k, v, owned->view, owned->rows()); });
  }
  void attention(Tensor q, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec,
                 Tensor out) noexcept override {
    later([this, q, owned = std::make_shared<OwnedKv>(kv, rows), spec, out] {
      ref_.attention(q, owned->view, owned->rows(), spec, out);
    });
  }
  void select_rows(Tensor x, std::span<const int32_t> rows, Tensor out) noexcept override {
    later([this, x, rows = std::vector<int32_t>(rows.begin(), rows.end()), out] { ref_.select_rows(x, rows, out); });
  }

  void causal_conv1d(Tensor x, Tensor weight, const DeltaView& delta, const RowPlaces& rows,
                     Tensor out) noexcept override {
    later([this, x, weight, owned = std::make_shared<OwnedDelta>(delta, rows, std::span<const int32_t>()), out] {
      ref_.causal_conv1d(x, weight, owned->view, owned->rows(), out);
    });
  }
  void delta_gates(Tensor a, Tensor b, Tensor decay, Tensor dt_bias, Tensor g, Tensor beta) noexcept override {
    later([this, a, b, decay, dt_bias, g, beta] { ref_.delta_gates(a, b, decay, dt_bias, g, beta); });
  }
  void l2_norm(Tensor x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) noexcept override {
    later([this, x, column, heads, dim, eps, scale] { ref_.l2_norm(x, column, heads, dim, eps, scale); });
  }
  void delta_net(Tensor qkv, Tensor g, Tensor beta, const DeltaView& delta, const RowPlaces& rows,
                 std::span<const int32_t> certain_end, Tensor out) noexcept override {
    later([this, qkv, g, beta, owned = std::make_shared<OwnedDelta>(delta, rows, certain_end), out] {
      ref_.delta_net(qkv, g, beta, owned->view, owned->rows(), owned->certain_end, out);
    });
  }
  void gated_rms_norm(Tensor x, Tensor z, Tensor weight, float eps, Tensor out) noexcept override {
    later([this, x, z, weight, eps, out] { ref_.gated_rms_norm(x, z, weight, eps, out); });
  }

  Buffer allocate(int64_t bytes) override {
    const auto page = static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
    const int64_t mapped = std::max(page, (bytes + page - 1) / page * page);
    void* data = ::mmap(nullptr, static_cast<size_t>(mapped), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) fail(ErrorCode::kOutOfMemory, "out of memory: {} bytes could not be had", bytes);
    buffers_[static_cast<std::byte*>(data)] = mapped;
    return Buffer(this, static_cast<std::byte*>(data), bytes);
  }
  void copy_to_device(std::byte* device, const void* host, int64_t bytes) noexcept override {
    const auto* from = static_cast<const std::byte*>(host);
    later(
        [device, data = std::vector<std::byte>(from, from + bytes)] { std::memcpy(device, data.data(), data.size()); });
  }
  void copy_to_host(void* host, const std::byte* device, int64_t bytes) noexcept override {
    later([host, device, bytes] { std::memcpy(host, device, static_cast<size_t>(bytes)); });
    sync();
  }
  void copy(std::byte* to, const std::byte* from, int64_t bytes) noexcept override {
    later([to, from, bytes] { std::memmove(to, from, static_cast<size_t>(bytes)); });
  }
  void sync() noexcept override {
    protect(PROT_READ | PROT_WRITE);
    for (const auto& op : queue_) op();
    queue_.clear();
    protect(PROT_NONE);
  }

 private:
  void release(std::byte* data, int64_t) noexcept override {
    sync();  // queued ops may still use it
    const auto found = buffers_.find(data);
    DUET_CHECK(found != buffers_.end());
    ::munmap(data, static_cast<size_t>(found->second));
    buffers_.erase(found);
  }
  void later(std::function<void()> op) { queue_.push_back(std::move(op)); }
  void protect(int mode) noexcept {
    for (const auto& [data, bytes] : buffers_) DUET_CHECK(::mprotect(data, static_cast<size_t>(bytes), mode) == 0);
  }

  RefBackend ref_;
  std::vector<std::function<void()>> queue_;
  std::map<std::byte*, int64_t> buffers_;
};

}  // namespace

std::unique_ptr<Backend> make_deferred_backend() { return std::make_unique<DeferredBackend>(); }

}  // namespace duet
