# Tests of what is built, from outside the code.
foreach(level ${levels})  # of cmake/cpu_levels.cmake
  list(APPEND level_objects $<TARGET_OBJECTS:duet_cpu_${level}>)
endforeach()
add_test(NAME tools/isa_symbols COMMAND ${CMAKE_SOURCE_DIR}/tools/isa_symbols.sh ${level_objects} COMMAND_EXPAND_LISTS)
add_test(NAME tools/isa_symbols_self_test COMMAND ${CMAKE_SOURCE_DIR}/tools/isa_symbols.sh --self-test)
# Programs and scripts that test the binary from outside. 77 means skipped: a set that cannot be in the repository is absent.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(DUET_SANITIZE)
  set(malformed_options --no-limits)  # a sanitizer's memory and time are its own
endif()
add_test(NAME outside/malformed COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/outside/malformed_outside.py
  --duet $<TARGET_FILE:duet> ${malformed_options})
set_tests_properties(outside/malformed PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
# Needs jinja2 3.1.6, which Debian does not have: .ci/run puts it into build/python, elsewhere pip does.
if(DUET_SANITIZE)
  set(differential_count 300)
else()
  set(differential_count 2000)
endif()
add_test(NAME fuzz/jinja_differential COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/fuzz/jinja_differential.py
  --duet $<TARGET_FILE:duet> --count ${differential_count})
set_tests_properties(fuzz/jinja_differential PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600
  ENVIRONMENT PYTHONPATH=${CMAKE_SOURCE_DIR}/build/python)
add_test(NAME outside/inspect COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/outside/inspect_outside.py
  --duet $<TARGET_FILE:duet>)
set_tests_properties(outside/inspect PROPERTIES TIMEOUT 600)
