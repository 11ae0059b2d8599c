#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>

#include "backend/cpu/heads_call.h"

namespace duet {
namespace {

/// Query rows of one kv head, [begin, end), that are neighbours and of one sequence, and the tiles that they see.
struct QueryRun {
  int64_t begin = 0, end = 0;
  int32_t sequence = 0;
  int64_t first_tile = 0, end_tile = 0;
  int64_t rows() const { return end - begin; }
  /// Of a tile, in what a tile costs one row; visiting it costs about as much once more.
  int64_t tile_work() const { return rows() + 1; }
  int64_t work() const { return (end_tile - first_tile) * tile_work(); }
};

/// Tiles [first_tile, end_tile) of a run, for all kv heads, in units of `unit_tiles`.
struct Segment {
  QueryRun run;
  int64_t first_tile = 0, end_tile = 0;
  int64_t unit_tiles = 1, first_unit = 0;  // of a head
  float* parts = nullptr;                  // [kv_heads, tiles, part_floats]
  int32_t* unfinished = nullptr;           // [kv_heads]: units that are not done

  int64_t tiles() const { return end_tile - first_tile; }
  int64_t units() const { return (tiles() + unit_tiles - 1) / unit_tiles; }  // of a head
};

}  // namespace

/// The arguments of attention(), and how its query rows fall into runs.
struct CpuBackend::AttentionCall {
  Tensor q;
  const KvView& kv;
  const RowPlaces& rows;
  const AttentionSpec& spec;
  Tensor out;
  const HeadsCall* entering = nullptr;  // of attend()
  DoneOnce* entered = nullptr;

  /// Before anything of a kv head is read.
  void enter(int64_t head) const {
    if (entering != nullptr) entered->need(head, [&] { entering->enter_head(head); });
  }

  int64_t group() const { return q.dim(1) / kv.kv_heads; }
  int64_t queries() const { return q.dim(0) * group(); }  // of one kv head
  int64_t blocks() const { return (queries() + kAttentionRows - 1) / kAttentionRows; }

  /// The run that begins at query row `begin`; no run goes beyond its block of kAttentionRows.
  QueryRun run_at(int64_t begin) const {
    const int64_t end = std::min((begin / kAttentionRows + 1) * kAttentionRows, queries());
    QueryRun run;
    run.begin = run.end = begin;
    run.sequence = rows.sequence[static_cast<size_t>(begin / group())];
    run.first_tile = INT64_MAX;
    while (run.end < end && rows.sequence[static_cast<size_t>(run.end / group())] == run.sequence) {
      const int64_t position = rows.position[static_cast<size_t>(run.end / group())];
      run.first_tile = std::min(run.first_tile, spec.first_visible(position) / KvView::kPageTokens);
      run.end_tile = std::max(run.end_tile, position / KvView::kPageTokens + 1);
      run.end = std::min(end, (run.end / group() + 1) * group());
    }
    return run;
  }

  AttentionPiece piece(const QueryRun& run, int64_t kv_head, float* scratch) const {
    AttentionPiece piece;
    piece.q = q.f32();
    piece.out = out.f32();
    piece.heads = q.dim(1);
    piece.kv_heads = kv.kv_heads;
    piece.head_dim = kv.head_dim;
    piece.pages = kv.pages[static_cast<size_t>(run.sequence)].data();
    piece.kv_type = kv.dtype;
    piece.head_bytes = kv.head_bytes();
    piece.position = rows.position.data();
    piece.scale = spec.scale;
    piece.window = spec.window;
    piece.chunk = spec.chunk;
    piece.kv_head = kv_head;
    piece.begin = run.begin;
    piece.end = run.end;
    piece.first_tile = run.first_tile;
    piece.end_tile = run.end_tile;
    piece.scratch = scratch;
    return piece;
  }
};

void CpuBackend::attention(Tensor q, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec,
                           Tensor out) noexcept {
  share_attention({q, kv, rows, spec, out});
}

void CpuBackend::attend(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv, const RowPlaces& rows,
                        const AttentionSpec& spec, Tensor out) noexcept {
  const HeadsCall heads = {*this, q, k, v, steps, kv, rows};
  // A head enters on one thread: of many rows (about 24 of a usual model) it is faster to share them as well, and of
  // fewer, where there are threads without a head of their own.
  const int64_t most = kv.kv_heads < pool_.threads() ? 4096 : 12288;
  if (kv.kv_heads > entered_.most() || heads.group() < 1 || heads.count() * heads.elements() > most) {
    return Backend::attend(q, k, v, steps, kv, rows, spec, out);
  }
  const std::lock_guard lock(entered_mutex_);
  entered_.begin(kv.kv_heads);
  share_attention({q, kv, rows, spec, out, &heads, &entered_});
}

void CpuBackend::share_attention(const AttentionCall& call) noexcept {
  const KvView& kv = call.kv;
  if (pool_.threads() > 1) {
    // The threads share whole blocks of rows, which is cheapest, where these are many and alike; below about 64 k
    // multiplications a unit of work is not worth handing out.
    constexpr int64_t kUnitsPerThread = 8, kLeastWork = 65536;
    int64_t total = 0, largest = 0, of_block = 0;
    for (int64_t i = 0; i < call.queries();) {
      const QueryRun run = call.run_at(i);
      of_block = (i % kAttentionRows == 0 ? 0 : of_block) + run.work();
      largest = std::max(largest, of_block);
      total += run.work() * kv.kv_heads;
      i = run.end;
    }
    const int64_t tile = std::max<int64_t>(1, 2 * KvView::kPageTokens * kv.head_dim);
    const int64_t unit = std::max(kLeastWork / tile, total / (kUnitsPerThread * pool_.threads()));
    if (largest > 2 * unit && share_keys(call, unit)) return;
  }
  // Later rows see more keys: hand out the last blocks first. Where heads enter meanwhile, which is where rows are few,
  // each thread begins with a head of its own.
  const bool by_heads = call.entering != nullptr;
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = by_heads ? item / call.blocks() : item % kv.kv_heads;
      const int64_t block = call.blocks() - 1 - (by_heads ? item % call.blocks() : item / kv.kv_heads);
      call.enter(head);
      const int64_t last = std::min((block + 1) * kAttentionRows, call.queries());
      QueryRun run = call.run_at(block * kAttentionRows);
      for (bool more = true; more;) {
        AttentionPiece piece = call.piece(run, head, scratch(worker));
        more = run.end < last;
        if (more) {
          run = call.run_at(run.end);
          piece.next = kv.pages[static_cast<size_t>(run.sequence)][run.first_tile] + head * piece.head_bytes;
        }
        level_.kernels.attention(piece);
      }
    }
  };
  pool_.parallel_for(call.blocks() * kv.kv_heads, 1, std::ref(body));
}

bool CpuBackend::share_keys(const AttentionCall& call, int64_t unit) noexcept {
  constexpr int64_t kSegments = 64;  // of a round at most
  const int64_t heads = call.kv.kv_heads;
  const auto part_floats = [&](const QueryRun& run) { return attention_part_floats(run.rows(), call.kv.head_dim); };
  // The parts buffer: m and l of a run whose tiles take several rounds, then for each segment its counters and parts.
  const int64_t kept_floats = heads * 2 * kAttentionRows;
  const int64_t floats = attention_parts_.bytes() / static_cast<int64_t>(sizeof(float)) - kept_floats;
  if (floats < heads * (16 + attention_part_floats(kAttentionRows, call.kv.head_dim))) return false;
  const std::lock_guard lock(attention_mutex_);
  auto* const kept = reinterpret_cast<float*>(attention_parts_.data());

  Segment segments[kSegments];
  int64_t count = 0, units = 0;  // of a head
  const auto piece_of = [&](const Segment& segment, int64_t head, int worker) {
    AttentionPiece piece = call.piece(segment.run, head, scratch(worker));
    piece.part_floats = part_floats(segment.run);
    piece.first_tile = segment.first_tile;
    piece.end_tile = segment.end_tile;
    piece.parts = segment.parts + head * segment.tiles() * piece.part_floats;
    return piece;
  };
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / units, of_head = i % units;
      const Segment* segment = segments + count - 1;
      while (segment->first_unit > of_head) --segment;
      const int64_t first = (of_head - segment->first_unit) * segment->unit_tiles;
      call.enter(head);
      AttentionPiece piece = piece_of(*segment, head, worker);
      piece.first_tile = segment->first_tile + first;
      piece.end_tile = std::min(piece.first_tile + segment->unit_tiles, segment->end_tile);
      piece.parts += first * piece.part_floats;
      level_.kernels.attention(piece);
      // Whoever does the last unit of a head finds the parts of all and merges them: no second loop over the threads.
      if (std::atomic_ref(segment->unfinished[head]).fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
      piece = piece_of(*segment, head, worker);
      piece.goes_on = segment->first_tile > segment->run.first_tile;
      piece.to_go_on = segment->end_tile < segment->run.end_tile;
      piece.kept = kept + head * 2 * kAttentionRows;
      level_.kernels.merge_attention(piece);
    }
  };
  QueryRun run = call.run_at(0);
  for (int64_t tile = run.first_tile;;) {
    int64_t used = kept_floats;
    units = 0;
    for (count = 0; count < kSegments && run.begin < call.queries(); ++count) {
      const int64_t counters = (heads + 15) / 16 * 16;
      const int64_t room = (kept_floats + floats - used - counters) / (heads * part_floats(run));
      // A run that does not fit begins its own rounds: so at most one is under way from round to round.
      if (room < 1 || (count > 0 && room < run.end_tile - tile)) break;
      Segment& segment = segments[count];
      segment.run = run;
      segment.first_tile = tile;
      segment.end_tile = std::min(tile + room, run.end_tile);
      segment.unit_tiles = std::max<int64_t>(1, unit / run.tile_work());
      segment.first_unit = units;
      segment.unfinished = reinterpret_cast<int32_t*>(kept + used);
      segment.parts = kept + used + counters;
      std::fill(segment.unfinished, segment.unfinished + heads, static_cast<int32_t>(segment.units()));
      used += counters + segment.tiles() * heads * part_floats(run);
      units += segment.units();
      tile = segment.end_tile;
      if (tile < run.end_tile) continue;
      if (run.end == call.queries()) {
        run.begin = run.end;
        continue;
      }
      run = call.run_at(run.end);
      tile = run.first_tile;
    }
    if (count == 0) return true;
    pool_.parallel_for(units * heads, 1, std::ref(body));
  }
}

}  // namespace duet
