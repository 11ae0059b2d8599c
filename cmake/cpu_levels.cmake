# Kernels of the CPU backend, an object library per instruction set level. Always optimised: a debug build must be usable.
# Each object exports the function that fills the kernel table and nothing else (tools in tests check with nm): an inline
# function compiled for a high level must never be the one that the linker keeps for all.
set(levels baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND levels avx2 avx512 avx512vnni)
endif()
set(flags_baseline "")
set(flags_avx2 -mavx2 -mfma -mf16c)
set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND flags_avx512 -Wno-maybe-uninitialized -Wno-uninitialized)  # g++ 12 finds its own avx512fintrin.h wanting
endif()
set(flags_avx512vnni ${flags_avx512} -mavx512vnni)
set(optimise -O3)
if(DUET_SANITIZE)
  # Kernels are watched for what they read and write: looking for undefined behaviour as well takes clang four times as long to
  # compile, and leaves names of types in these objects, which export one symbol.
  # Nor does it take the parts of a block apart, which takes it three minutes more.
  set(optimise -O2 -DDUET_KEEP_LOOPS)
  if(DUET_SANITIZE MATCHES undefined)
    list(APPEND optimise -fno-sanitize=undefined)
  endif()
endif()
foreach(level ${levels})
  file(GLOB level_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/backend/cpu/${level}/*.cc)
  add_library(duet_cpu_${level} OBJECT ${level_sources})
  target_include_directories(duet_cpu_${level} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_options(duet_cpu_${level} PRIVATE ${flags_${level}} ${optimise} -fno-exceptions)
  target_sources(duet_core PRIVATE $<TARGET_OBJECTS:duet_cpu_${level}>)
endforeach()

option(DUET_BENCH "build the benchmarks" OFF)
if(DUET_BENCH)
  foreach(bench attention kernel linear sampler delta)
    add_executable(${bench}_bench ${CMAKE_SOURCE_DIR}/bench/${bench}_bench.cc)
    target_include_directories(${bench}_bench PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${bench}_bench PRIVATE duet_core)
  endforeach()
endif()
