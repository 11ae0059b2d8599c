# Tests that run a real model of the store; `./test --no-model` leaves them out by their label.
add_executable(real_test ${CMAKE_SOURCE_DIR}/tests/real/real_golden_test.cc)
target_link_libraries(real_test PRIVATE duet_test_support GTest::gtest_main)
gtest_discover_tests(real_test TEST_PREFIX "real/" DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT 900 LABELS model)
