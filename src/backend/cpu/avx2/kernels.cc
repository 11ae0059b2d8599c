// The level avx2 (with FMA and F16C): 16 lanes are two registers. Bits equal those of avx512.
#include "backend/cpu/kernels.h"

#include <immintrin.h>

#include <cstring>

namespace duet {
namespace {

#include "backend/cpu/avx2/lanes.inc"

constexpr int kUnrollWords = 8;
constexpr int kRowTile = 6;
constexpr int kStreams = 1;

#include "backend/cpu/level.inc"

}  // namespace

void fill_avx2_kernels(CpuKernels& table) noexcept { fill(table); }

}  // namespace duet
