# One test program per layer folder of src/ (foo_test.cc lies beside foo.cc), one ctest entry per test case.
find_package(GTest REQUIRED)
include(GoogleTest)
file(GLOB layers RELATIVE ${CMAKE_SOURCE_DIR}/src CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*)
add_library(duet_test_support STATIC ${CMAKE_SOURCE_DIR}/tests/support.cc ${CMAKE_SOURCE_DIR}/tests/golden_file.cc
  ${CMAKE_SOURCE_DIR}/tests/model_golden.cc
  ${CMAKE_SOURCE_DIR}/tests/compare.cc ${CMAKE_SOURCE_DIR}/tests/corpus.cc)
target_include_directories(duet_test_support PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(duet_test_support PUBLIC duet_core GTest::gtest GTest::gmock)
set_source_files_properties(${CMAKE_SOURCE_DIR}/tests/support.cc PROPERTIES
  COMPILE_DEFINITIONS DUET_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
# Under the sanitizers undefined behaviour is looked for in the product: in the bodies of tests it would double the time to compile.
# Optimising the bodies takes more time than it saves.
function(duet_test_options target)
  if(DUET_SANITIZE MATCHES undefined)
    target_compile_options(${target} PRIVATE -fno-sanitize=undefined)
  endif()
  if(DUET_SANITIZE)
    target_compile_definitions(${target} PRIVATE DUET_SANITIZED)  # what is slow there has more time
    target_compile_options(${target} PRIVATE -O0)
  else()
    target_compile_options(${target} PRIVATE -O1 -g0)
  endif()
endfunction()
duet_test_options(duet_test_support)
if(DUET_PCH)
  target_precompile_headers(duet_test_support PRIVATE ${DUET_PCH_HEADERS} <gtest/gtest.h> <gmock/gmock.h> <fstream> <random>)
endif()
foreach(layer ${layers})
  file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${layer}/*_test.cc)
  if(test_sources)
    add_executable(${layer}_test ${test_sources})
    target_link_libraries(${layer}_test PRIVATE duet_test_support GTest::gtest_main)
    duet_test_options(${layer}_test)
    if(DUET_PCH)
      target_precompile_headers(${layer}_test REUSE_FROM duet_test_support)
    endif()
    include(${CMAKE_SOURCE_DIR}/cmake/${layer}_test.cmake OPTIONAL)  # libraries that only this layer's tests need
    gtest_discover_tests(${layer}_test TEST_PREFIX "${layer}/" DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT 600)
  endif()
endforeach()
file(GLOB parts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/*.cmake ${CMAKE_SOURCE_DIR}/tests/*/*.cmake)
foreach(part ${parts})
  include(${part})  # programs and scripts that test the binary from outside
endforeach()
