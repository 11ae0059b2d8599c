#pragma once

#include "backend/cpu/cpu_backend.h"
#include "backend/kv_page.h"

namespace duet {

/// The arguments of enter_heads(), which attend() has as well: there a head enters when the first of its keys or
/// queries are needed.
struct CpuBackend::HeadsCall {
  const CpuBackend& backend;
  Tensor q, k, v;
  const HeadSteps& steps;
  const KvView& kv;
  const RowPlaces& rows;

  int64_t count() const { return static_cast<int64_t>(rows.position.size()); }
  int64_t group() const { return q.dim(1) / kv.kv_heads; }
  /// Elements of a row of a kv head, with its heads of queries.
  int64_t elements() const { return (group() + 2) * kv.head_dim; }

  std::byte* page_of(int64_t t) const {
    return kv.pages[static_cast<size_t>(rows.sequence[static_cast<size_t>(t)])]
                   [static_cast<size_t>(rows.position[static_cast<size_t>(t)] / KvView::kPageTokens)];
  }
  int64_t slot_of(int64_t t) const { return rows.position[static_cast<size_t>(t)] % KvView::kPageTokens; }
  float* q_of(int64_t t, int64_t head) const { return q.f32() + (t * kv.kv_heads + head) * group() * kv.head_dim; }
  int64_t kv_at(int64_t t, int64_t head) const { return (t * kv.kv_heads + head) * kv.head_dim; }

  /// Asks for what row t of a kv head is made of, which other cores wrote, and, unless they were asked for with the row
  /// before it (`follows`), for the places of its key.
  void fetch(int64_t t, int64_t head, bool follows) const;
  /// Norms, rope and factors of row t of a kv head, and its way into the page.
  void enter(int64_t t, int64_t head) const;
  /// Items [begin, end), of which item i is row i % count() of kv head i / count().
  void enter_items(int64_t begin, int64_t end) const;
  void enter_head(int64_t head) const { enter_items(head * count(), (head + 1) * count()); }

 private:
  void step(float* x, int64_t t, const Tensor& weight) const;
};

}  // namespace duet
