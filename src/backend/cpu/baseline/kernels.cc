// The level baseline: plain C++ with vectors of 4 floats (SSE2, NEON). Multiplies and adds separately: its own bits.
#include "backend/cpu/kernels.h"

#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#include <xmmintrin.h>
#endif

namespace duet {
namespace {

#include "backend/cpu/baseline/lanes.inc"

constexpr int kUnrollWords = 1;  // compiles in seconds
constexpr int kRowTile = 2;
constexpr int kStreams = 1;

#include "backend/cpu/level.inc"

}  // namespace

void fill_baseline_kernels(CpuKernels& table) noexcept { fill(table); }

}  // namespace duet
