# PCRE2: patterns of a tokenizer.json that Duet does not match by hand (src/text/regex_splitter.cc alone includes it).
find_path(PCRE2_INCLUDE pcre2.h REQUIRED)
find_library(PCRE2_LIBRARY pcre2-8 REQUIRED)
target_include_directories(duet_core PRIVATE ${PCRE2_INCLUDE})
target_link_libraries(duet_core PRIVATE ${PCRE2_LIBRARY})

if(DUET_BENCH)
  add_executable(tokenizer_bench ${CMAKE_SOURCE_DIR}/bench/tokenizer_bench.cc)
  target_link_libraries(tokenizer_bench PRIVATE duet_core)
endif()
