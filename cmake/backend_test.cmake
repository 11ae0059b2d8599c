# The kernels of AVX-512 once more, on the intrinsics that SIMDe emulates (libsimde-dev): they are tested on machines that lack the
# real ones. In the tests alone, and with -Og, which unrolls nothing: soon compiled.
if("avx512vnni" IN_LIST levels)  # of cmake/cpu_levels.cmake
  file(GLOB emulated_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/emulated/*.cc)
  add_library(duet_cpu_emulated OBJECT ${emulated_sources})
  target_include_directories(duet_cpu_emulated BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/tests/emulated ${CMAKE_SOURCE_DIR}/src)
  target_compile_options(duet_cpu_emulated PRIVATE -Og -Wno-psabi -DDUET_KEEP_LOOPS)
  duet_test_options(duet_cpu_emulated)
  target_link_libraries(backend_test PRIVATE duet_cpu_emulated)
endif()
