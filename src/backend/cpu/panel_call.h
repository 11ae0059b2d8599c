#pragma once

#include <algorithm>
#include <array>
#include <functional>

#include "backend/cpu/product.h"
#include "tensor/integer_blocks.h"

namespace duet {

/// Up to so many columns of a single row each thread rounds for itself, which takes no longer than to wait for another
/// that does. A norm takes the whole row anyway.
inline constexpr int64_t kOwnColumns = 4096, kOwnNormedColumns = 16384;
inline constexpr int64_t kPanelsOfBlock = kIntegerColumns / kPanelRows;
/// A group for every row at most.
inline constexpr size_t kMostGroups = kBlockRows;

// A worker's scratch, in floats: an expanded or decoded panel part, sums (of a block of rows: two gates and an up), the
// row that it has rounded for itself.
inline constexpr int64_t kBlockSums = kBlockRows * kPanelRows;
inline constexpr int64_t kPartRoom = std::max(kNativeSums, kUnpackColumns* kPanelRows);
inline constexpr int64_t kSumsRoom = (kPanelsOfBlock + 1) * kBlockSums;
inline constexpr int64_t kOwnBlocks = kPartRoom + kSumsRoom;
static_assert(kOwnBlocks * 4 % 64 == 0);
static_assert(kOwnBlocks * 4 + kOwnNormedColumns / kIntegerColumns * static_cast<int64_t>(sizeof(NativeBlock)) <=
              kWorkerFloats * 4);

/// Rounded rows of a group. Row tiles are of nearly equal height: 6 rows in tiles of at most 4 are 3 + 3. That of rows
/// r to r + h - 1 is [blocks, h] from x + r * blocks on.
struct RoundedGroup {
  NativeBlock* x = nullptr;
  int64_t rows = 0, tiles = 0;
  int64_t first_of(int64_t tile) const { return tile * rows / tiles; }
};

/// The products of some groups of rows with their terms' weights: one loop over panels that the threads share. Within
/// it, before the panels, the threads share what makes the rows ready (DoneOnce): the native arithmetic wants them
/// rounded, several rows of float32 in row tiles. That is in panel_call.cc, the loops are in panel_loops.cc, and how a
/// panel is multiplied is in native_panels.cc and float_panels.cc.
class CpuBackend::PanelCall {
 public:
  /// Of at most kBlockRows rows in all. Where input.norm is defined, there is one group, whose rows are normed on the
  /// way. The backend's activations are locked by the caller.
  PanelCall(CpuBackend& backend, std::span<const RowGroup> groups, const LinearInput& input);

  /// Every term's products go to its out.
  void run();
  /// Each group's terms are a gate and its up: silu_mul() of their products, times what RowGroup::row_gates say, goes
  /// to the gate's out, or, rounded, where follow() finds it. All terms have one arithmetic; rounded results a whole
  /// number of blocks.
  void run_gated(bool rounded);
  /// Rows as `before` has rounded them in run_gated(): of as many groups, the same rows in each.
  void follow(const PanelCall& before);

  /// What run_mixed() does with the products of all groups, one term each.
  struct Mixing {
    int64_t top_k = 0;
    const float* weights = nullptr;     // [T, k], or null: all 1
    const int32_t* place_of = nullptr;  // [T k]: which row of all groups it is
    bool shared = false;                // the last group is [T] rows of an expert that all tokens share
    Tensor add_to;                      // [T, C] += the sum as mix_experts() has it, then += the shared expert's
  };
  void run_mixed(const Mixing& mixing);

 private:
  /// A group's rows in the buffer of activations.
  struct Ready {
    NativeBlock* rounded;
    float* tiled;         // row tile at row r: [in, rows of the tile], from r * in on
    NativeBlock* result;  // of run_gated()
    bool rounds;          // here, not for an earlier group or call
  };

  // Rows that are made ready.
  void place_rows();
  int64_t pieces_of_row(const RowGroup& group) const;
  /// Experts that share a row share its rounded form.
  bool shares(size_t g) const {
    return g > 0 && groups_[g].rows == 1 && groups_[g - 1].rows == 1 && groups_[g].x_row(0) == groups_[g - 1].x_row(0);
  }
  RoundedGroup rounded_group(NativeBlock* x, int64_t rows) const {
    return {x, rows, (rows + kernels_.native_tile - 1) / kernels_.native_tile};
  }
  NativeBlock* rounded_rows(size_t g, int worker) const {
    return own_ != nullptr ? own_row(worker) : ready_[g].rounded;
  }
  NativeBlock* own_row(int worker) const {
    return reinterpret_cast<NativeBlock*>(backend_.scratch(worker) + kOwnBlocks);
  }
  /// Columns [begin, end), whole blocks, of row i of a group, normed where they are to be and rounded; block b of these
  /// goes to out[b stride].
  void round_columns(const RowGroup& group, int64_t i, int64_t begin, int64_t end, int64_t stride,
                     NativeBlock* out) const;
  void round_pieces(int64_t begin, int64_t end) const;
  void tile_pieces(int64_t begin, int64_t end) const;
  void fetch_rows() const;
  void make_ready(int worker) const;

  // A panel of a product with all rows of group g.
  /// Rows are multiplied straight from packed groups, in the native arithmetic.
  bool is_direct(const Product& p, int64_t rows) const {
    return p.grouped == nullptr && rows <= std::max(kernels_.native_direct_rows, p.kernels.native.direct_rows);
  }
  /// How many panels a thread reads side by side.
  int64_t ways(const Product& p) const;
  /// The chains of `number` panels, ways() at most: all are packed, or it is one.   sums [number, rows, 16]
  void multiply(const Product& p, size_t g, const int64_t* panels, int64_t number, int worker, float* sums) const;
  /// The same panels of a gate and its up, for a single row.   sums [2, number, 16]
  void multiply_pair(const Product& gate, const Product& up, size_t g, const int64_t* panels, int64_t number,
                     int worker, float* sums) const;
  void multiply_direct(const Product& p, const std::byte* const* panels, int64_t number, const RoundedGroup& rounded,
                       float* sums) const;
  void multiply_expanded(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker, float* sums) const;
  void multiply_row(const Product& p, const float* x, const int64_t* panels, int64_t number, int worker,
                    float* sums) const;
  void multiply_tiled(const Product& p, size_t g, int64_t panel, int worker, float* sums) const;

  // Loops.
  /// body(begin, end, worker) over all items, each of `work` multiplications by most_rows_ rows; a thread gets
  /// `at_once` of them to read side by side. fetch(item) asks for the weights of a thread's first one.
  template <typename Fetch, typename Body>
  void loop(int64_t items, int64_t work, int64_t at_once, const Fetch& fetch, const Body& body);
  /// The part of a worker's first weights that lies in panels of `p`, of which it reads `shares` at once.
  void fetch_panel(const Product& p, int64_t panel, int64_t shares) const;
  void multiply_panels(const Product& p, size_t g, int64_t begin, int64_t end, int worker) const;
  void multiply_gated(size_t g, int64_t begin, int64_t end, int worker) const;
  void keep_gated(size_t g, int64_t block, const float* halves, int64_t half_stride) const;
  void mix(const Mixing& mixing, const int64_t* panels, int64_t number, int worker) const;
  /// Blocks of 32 columns of a gated result, and how many a thread makes at once.
  static int64_t blocks_of(const RowGroup& group) {
    return (group.terms[0]->weight->rows() + kIntegerColumns - 1) / kIntegerColumns;
  }
  int64_t blocks_at_once(const Product& gate, const Product& up) const;

  CpuBackend& backend_;
  const CpuKernels& kernels_;
  std::span<const RowGroup> groups_;
  LinearInput input_;
  RowGroup normed_;  // a single row for float32 that has been normed: the group in place of groups_
  std::array<Ready, kMostGroups> ready_;
  std::byte* free_ = nullptr;  // of the buffer of activations
  int64_t most_rows_ = 0;
  const RowGroup* own_ = nullptr;  // where the groups' only row is one that each thread rounds for itself
  bool rounded_result_ = false;
  // What is done before the panels: pieces of rows are rounded, pieces of row tiles made, some in a part.
  struct Pieces {
    int64_t count = 0, of_part = 1;
    int64_t parts() const { return (count + of_part - 1) / of_part; }
  };
  Pieces rounding_, tiling_;
};

template <typename Fetch, typename Body>
void CpuBackend::PanelCall::loop(int64_t items, int64_t work, int64_t at_once, const Fetch& fetch, const Body& body) {
  ++backend_.call_;
  backend_.ready_parts_.begin(rounding_.parts() + tiling_.parts());
  const auto all = [&](int64_t begin, int64_t end, int worker) {
    uint64_t& call = backend_.begun_[static_cast<size_t>(worker)].call;
    if (call != backend_.call_) {
      call = backend_.call_;
      if (most_rows_ == 1) {
        fetch_rows();
        fetch(begin);
      }
      make_ready(worker);
    }
    backend_.expected_.fetch(begin, end, items);
    body(begin, end, worker);
  };
  const int64_t least = most_rows_ > 1 ? kBlockWork : at_once > 1 ? kStreamWork : kOneRowWork;
  // Each chunk walks over the groups to its place: of many it takes more panels.
  const auto walk = static_cast<int64_t>(groups_.size()) / at_once;
  backend_.pool_.parallel_for(items, std::max(grain(least, work * most_rows_), walk), std::ref(all), at_once);
  backend_.expected_.clear();
}

}  // namespace duet
