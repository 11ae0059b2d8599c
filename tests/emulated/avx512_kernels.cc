// avx512/kernels.cc, compiled with the intrinsics of tests/emulated/immintrin.h: for machines whose processor lacks the
// level.
#define fill_avx512_kernels fill_emulated_avx512_kernels
#include "backend/cpu/avx512/kernels.cc"
