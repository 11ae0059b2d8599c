# The commands that answer, run from outside. Those that need a model of the store skip, saying so, where it is absent.
add_test(NAME outside/run_smollm2
  COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/outside/run_real_outside.py $<TARGET_FILE:duet> smollm2-135m
          ${CMAKE_SOURCE_DIR}/tests/golden/real/smollm2-135m-instruct-q4_1)
add_test(NAME outside/commands_smollm2
  COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/outside/commands_outside.py $<TARGET_FILE:duet> ${CMAKE_SOURCE_DIR}/tests/golden
          smollm2-135m)
add_test(NAME outside/chat_tmux
  COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/outside/chat_tmux.py $<TARGET_FILE:duet>)
set_tests_properties(outside/run_smollm2 outside/commands_smollm2 outside/chat_tmux
  PROPERTIES LABELS model SKIP_RETURN_CODE 77 TIMEOUT 1200)
add_test(NAME outside/commands
  COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/outside/commands_outside.py $<TARGET_FILE:duet> ${CMAKE_SOURCE_DIR}/tests/golden)
set_tests_properties(outside/commands PROPERTIES TIMEOUT 600)
