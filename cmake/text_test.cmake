# Oracles of the text layer: PCRE2 for the patterns, utf8proc for NFC. Model folders that a script builds are kept in the build tree.
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
target_link_libraries(text_test PRIVATE PkgConfig::PCRE2 PkgConfig::UTF8PROC)
target_compile_definitions(text_test PRIVATE DUET_TEST_CACHE="${CMAKE_BINARY_DIR}/test_cache")
