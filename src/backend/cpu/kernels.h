#pragma once

#include <cstddef>
#include <cstdint>

#include "base/fetch_line.h"
#include "tensor/dtype.h"
#include "tensor/grouped.h"

// Included by the objects of every instruction set level, so: data and declarations only, never an inline function that
// another object could pick up.

namespace duet {

/// Rows of a weight panel: one float32 per lane of the widest level.
inline constexpr int64_t kPanelRows = 16;
/// Columns of a panel that are dequantized at once (16 KiB of float32: half of an L1 cache). A whole number of any
/// block.
inline constexpr int64_t kUnpackColumns = 256;
/// Query rows that share one visit of a key tile.
inline constexpr int64_t kAttentionRows = 48;
/// Elements of the head dimension that attention multiplies at once (chunks are chained, so this changes no bit).
inline constexpr int64_t kAttentionColumns = 256;
/// Floats of one worker's scratch in attention.
inline constexpr int64_t kAttentionScratch =
    kAttentionColumns * kAttentionRows + 3 * kAttentionRows * 64 + 64 * kPanelRows + 2 * 64;
/// Floats for each thread of the parts that tiles leave where threads share the keys of a row (256 KiB: half of an L2
/// cache); contexts whose parts do not fit go in rounds.
inline constexpr int64_t kAttentionParts = 65536;

/// Largest row tile of any level; row_tile of a level divides it.
inline constexpr int64_t kMaxRowTile = 12;
/// Activation rows that share one decoding of a weight panel.
inline constexpr int64_t kBlockRows = 11 * kMaxRowTile;
/// Floats of one worker's scratch in delta_net for key heads of up to 512: two chunks of k, the k and q of a chunk, a
/// panel of S; the products of a chunk's 16 rows, their factors, and a few vectors.
inline constexpr int64_t kDeltaKeyDim = 512;
inline constexpr int64_t kDeltaScratch = kDeltaKeyDim * (2 * 16 + 32 + 16) + 2 * 32 * 16 + 2 * 256 + 6 * 16;
/// Floats of a worker's scratch: attention, delta_net, or a decoded panel part and the sums of a block.
inline constexpr int64_t kWorkerFloats = kAttentionScratch > kDeltaScratch ? kAttentionScratch : kDeltaScratch;
static_assert(kWorkerFloats >= kUnpackColumns * kPanelRows + kBlockRows * kPanelRows);
/// Where the sums of a block stand in the scratch of the native arithmetic, behind an expanded panel part.
inline constexpr int64_t kNativeSums = 512 / 32 * kPanelRows * (32 + 16) / 4;  // floats: two scales, two minimums
static_assert(kWorkerFloats >= kNativeSums + kBlockRows * kPanelRows);
/// How many bytes ahead a level asks for packed weights: into the first-level cache and, unless 0, before that into the
/// second.
struct Ahead {
  int first, second;
};
/// Multiplications of a chunk of a loop: few enough that all threads end together, and enough that taking one costs
/// little (1 to 5 us each).
inline constexpr int64_t kOneRowWork = 32768;
inline constexpr int64_t kBlockWork = 262144;
/// The same where several chunks are taken at once, and of one row of activations.
inline constexpr int64_t kStreamWork = 16384;
/// Largest CpuKernels::streams of any level.
inline constexpr int64_t kMostStreams = 8;

/// Dequantizes `blocks` consecutive block groups of a panel to out [blocks * block_size, 16], bit for bit as
/// dequantize().
using UnpackKernel = void (*)(const std::byte* groups, int64_t blocks, float* out) noexcept;

/// One chain per output row: out[p][lane] = sum over k ascending of w[p][k][lane] x[k], for `number` panels of `blocks`
/// groups each, at most kMostStreams.   panels [number], x [blocks * block_size], out [number, 16]
using GemvKernel = void (*)(const std::byte* const* panels, int64_t number, int64_t blocks, const float* x,
                            float* out) noexcept;

/// sums[r][lane] (+)= sum over i ascending of panel[i * panel_stride + lane] x[i * rows + r]; one chain per element,
/// begun at 0 or, with `go_on`, at the value in sums.   rows in [1, row_tile], sums [rows, 16] with rows `sums_stride`
/// apart
using GemmKernel = void (*)(const float* panel, int64_t panel_stride, const float* x, int64_t columns, int64_t rows,
                            float* sums, int64_t sums_stride, bool go_on) noexcept;

using SiluMulKernel = void (*)(const float* gate, const float* up, float* out, int64_t count) noexcept;

/// One piece of attention: query rows [begin, end) of one kv head, all of one sequence. Query row i is row i / group of
/// the batch and head kv_head * group + i % group.
struct AttentionPiece {
  const float* q = nullptr;  // [T, heads, head_dim]
  float* out = nullptr;      // the same shape
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  const std::byte* const* pages = nullptr;  // as KvView has them
  DType kv_type = DType::kF32;
  int64_t head_bytes = 0;             // of one head's keys, or values, in a page
  const int32_t* position = nullptr;  // [T]
  float scale = 1.0f;
  int64_t window = 0, chunk = 0;  // as AttentionSpec has them
  int64_t kv_head = 0;
  int64_t begin = 0, end = 0;  // at most kAttentionRows
  int64_t first_tile = 0, end_tile = 0;
  const std::byte* next = nullptr;  // keys that will be read after the piece, asked for at its end
  float* scratch = nullptr;         // [kAttentionScratch]
  /// Where each tile leaves its part, part_floats apart (attention.inc); null: the tiles, all that the rows see, are
  /// merged into `out` at once.
  float* parts = nullptr;
  int64_t part_floats = 0;
  /// Of a merge: whether earlier tiles have been merged, whether later ones will be; then `out` and `kept`, m and l of
  /// each row, hold what has been merged.
  bool goes_on = false, to_go_on = false;
  float* kept = nullptr;  // [2, rows]
};
/// Floats of the part that a tile leaves.
constexpr int64_t attention_part_floats(int64_t rows, int64_t head_dim) {
  return (2 * rows + 15) / 16 * 16 + rows * ((head_dim + 15) / 16 * 16);
}
using AttentionKernel = void (*)(const AttentionPiece& piece) noexcept;

/// Output rows of causal_conv1d in columns [begin, end) of all channels: row i from the pre-convolution rows taps[i
/// width + j], j < width; nullptr stands for no row.
struct ConvPiece {
  const float* const* taps = nullptr;  // [rows, width]
  float* const* out = nullptr;         // [rows]
  const float* weight = nullptr;       // [channels, width]
  int64_t width = 0, rows = 0, begin = 0, end = 0;
};
using ConvKernel = void (*)(const ConvPiece& piece) noexcept;

/// One piece of delta_net: panels [first_panel, last_panel) of a value head of a sequence, its positions [begin, end).
struct DeltaPiece {
  const float* q = nullptr;     // of row 0 of the batch, as k and v; rows `row_stride` apart
  const float* k = nullptr;     // [key_dim]
  const float* v = nullptr;     // [value_dim]
  const float* g = nullptr;     // rows `heads` apart, as beta
  const float* beta = nullptr;  // of this head
  float* out = nullptr;         // [value_dim], rows heads * value_dim apart
  int64_t row_stride = 0, heads = 0, key_dim = 0, value_dim = 0;
  const int32_t* sequence = nullptr;  // [T]
  int64_t first_row = 0;
  int64_t anchor = 0;  // at which S stands
  int64_t begin = 0, end = 0, certain_end = 0;
  int64_t first_panel = 0, last_panel = 0;
  // Parts of the state as DeltaView has them; k and G hold the rows before anchor + 32 already, those of the step
  // included.
  float* matrix = nullptr;
  const float* keys[2] = {};    // of even and odd chunks
  float* updates[2] = {};       // the same
  const float* decays[2] = {};  // the same
  float* scratch = nullptr;     // [kDeltaScratch]
};
using DeltaKernel = void (*)(const DeltaPiece& piece) noexcept;

/// 32 activations of a row as the native arithmetic multiplies them (docs/numerics.md): x_k is about scale q[k]. NaN as
/// scale stands for a block with a value that is not finite.
struct NativeBlock {
  int8_t q[32];
  float scale;
  float sum;        // scale times the sum of q
  int16_t sums[2];  // of q[0..15] and q[16..31]
  int32_t unused;   // 48 bytes; a level may fill what is behind `sum` in its own way
};

/// Rounds `blocks` blocks of 32 activations; block b goes to out[b * stride].
using NativeRoundKernel = void (*)(const float* x, int64_t blocks, int64_t stride, NativeBlock* out) noexcept;

/// An expanded panel part holds for each 32 columns: integers [8 words][16 rows][4 columns], scales float32 [scales]
/// [16], minimums float32 [minimums][16].
constexpr int64_t native_expanded_bytes(int scales, int minimums) {
  return kPanelRows * (32 + 4 * static_cast<int64_t>(scales + minimums));
}
/// Columns that are expanded at once; whole blocks of every type.
inline constexpr int64_t kNativeColumns = 512;
/// Chains of 16 outputs in the native arithmetic: sums[r][lane] = the value in it (0 without `go_on`) plus the links of
/// the blocks in ascending order.   x [32-column blocks, rows], rows in [1, native_tile] (direct: no more than
/// native_direct_rows either), sums [rows, 16]
using NativeTileKernel = void (*)(const std::byte* groups, int64_t count, const NativeBlock* x, int64_t rows,
                                  float* sums, bool go_on) noexcept;
/// The chains of one row and `number` panels, 1 to kMostStreams, read side by side.
/// panels [number], x [32-column blocks], sums [number, 16]
using NativeSideKernel = void (*)(const std::byte* const* panels, int64_t number, int64_t count, const NativeBlock* x,
                                  float* sums) noexcept;
/// Expands `count` groups of a packed panel.
using NativeExpandKernel = void (*)(const std::byte* groups, int64_t count, std::byte* out) noexcept;

/// The native arithmetic of one weight type: `direct` and, for one row of activations, `side_by_side` read the packed
/// groups, `expanded` what `expand` made of them.
struct NativeKernels {
  NativeTileKernel direct = nullptr;
  NativeExpandKernel expand = nullptr;
  NativeTileKernel expanded = nullptr;
  NativeSideKernel side_by_side = nullptr;  // null: one panel after the other in `direct`
  int64_t direct_rows = 0;  // of this type, where it is more than native_direct_rows: then in tiles of native_tile rows
};

/// Columns of a panel of grouped rows (tensor/grouped.h). Each plane of a row's parts has 16 elements side by side, one
/// a row; codes move as words of 4 bytes.
struct GroupPiece {
  const std::byte* codes = nullptr;   // from the first column on, a multiple of 16
  const std::byte* scales = nullptr;  // [groups][16] of scale_type, from the first column's group on; with `order` all
  DType scale_type = DType::kF32;     // or f16, bf16, f8_e4m3: no NaN, divided by `divisor`
  float divisor = 1;
  const std::byte* zeros = nullptr;  // [groups][16], or null: all are `zero`
  int32_t zero = 0;
  const std::byte* order = nullptr;  // int32 group of each column from the first one on, or null: they lie side by side
  const float* map = nullptr;        // [16], where codes are places in it
  int64_t group = 0, first = 0;      // columns of a group, and how many of the first one lie before the piece
  int64_t columns = 0;               // a multiple of 16; to be expanded of 32
};
/// out [columns, 16]
using GroupUnpackKernel = void (*)(const GroupPiece& piece, float* out) noexcept;
/// One chain per row, gone on with: sums[lane] += w[lane][k] x[k], k ascending.   x [columns], sums [16]
using GroupGemvKernel = void (*)(const GroupPiece& piece, const float* x, float* sums) noexcept;
/// An expanded panel part of signed integers.
using GroupExpandKernel = void (*)(const GroupPiece& piece, std::byte* out) noexcept;

/// Chains of 16 outputs in the native arithmetic as those of NativeTileKernel, from the piece itself.
using GroupTileKernel = void (*)(const GroupPiece& piece, const NativeBlock* x, int64_t rows, float* sums,
                                 bool go_on) noexcept;

/// Kernels of one GroupCode; `expand` where it has an integer form. `direct`, where a level has it, multiplies up to
/// native_direct_rows rows by groups of whole 32 columns, or (E2M1) of 16 or whole 32.
struct GroupKernels {
  GroupUnpackKernel unpack = nullptr;
  GroupGemvKernel gemv = nullptr;
  GroupExpandKernel expand = nullptr;
  GroupTileKernel direct = nullptr;
};

/// Kernels of one weight type. A type without them (null) keeps its rows as the file has them and goes through
/// dequantize().
struct TypeKernels {
  UnpackKernel unpack = nullptr;
  GemvKernel gemv = nullptr;
  NativeKernels native;
};

/// The kernel table of a backend instance; each level fills the slots that it has.
struct CpuKernels {
  static constexpr int kTypes = 48;  // ggml ids; the types of safetensors that are no weights have no slot
  TypeKernels types[kTypes];
  GroupKernels grouped[5];  // by GroupCode
  /// Expanded panels of signed bytes, for rows without a packed form: [scales - 1][minimums].
  NativeTileKernel native_plain[2][3] = {};
  NativeRoundKernel native_round = nullptr;
  int64_t native_tile = 1;         // rows of a call of a native kernel; divides kMaxRowTile
  int64_t native_direct_rows = 1;  // up to so many rows are multiplied from the packed groups, more from an expansion
  /// Panels that one row is multiplied by side by side, each a stream of its own; 1 or even. A core asks memory for
  /// more at once where it reads several pages: 8 streams give up to 1.2 times what one gives on Sapphire Rapids.
  int64_t streams = 1;
  int64_t row_tile = 1;  // rows of a gemm call
  GemmKernel gemm = nullptr;
  SiluMulKernel silu_mul = nullptr;
  // Loops over rows (rows.inc), with the same bits at every level.
  double (*sum_of_squares)(const float* x, int64_t n) noexcept = nullptr;
  void (*scale_row)(const float* x, float factor, const float* weight, float* out, int64_t n) noexcept = nullptr;
  void (*rotate)(float* a, float* b, const float* cos, const float* sin, int64_t n) noexcept = nullptr;
  /// round_row() to halves.   out [n], 16 bits each and so aligned
  void (*round_f16)(const float* x, int64_t n, std::byte* out) noexcept = nullptr;
  void (*round_bf16)(const float* x, int64_t n, std::byte* out) noexcept = nullptr;
  void (*exp)(const float* x, float* out, int64_t count) noexcept = nullptr;
  AttentionKernel attention = nullptr;
  AttentionKernel merge_attention = nullptr;  // of the parts of all tiles from first_tile to end_tile
  ConvKernel conv = nullptr;
  DeltaKernel delta = nullptr;
};

void fill_baseline_kernels(CpuKernels& table) noexcept;
void fill_baseline_native(CpuKernels& table) noexcept;
#if defined(__x86_64__)
void fill_avx2_kernels(CpuKernels& table) noexcept;
void fill_avx2_native(CpuKernels& table) noexcept;
void fill_avx512_kernels(CpuKernels& table) noexcept;
void fill_avx512_native(CpuKernels& table) noexcept;
void fill_avx512vnni_native(CpuKernels& table) noexcept;
#endif

}  // namespace duet
