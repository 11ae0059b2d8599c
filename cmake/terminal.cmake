# src/terminal: line editing with libedit.
find_library(DUET_LIBEDIT edit REQUIRED)
find_path(DUET_LIBEDIT_INCLUDE histedit.h REQUIRED)
target_link_libraries(duet_core PUBLIC ${DUET_LIBEDIT})
target_include_directories(duet_core SYSTEM PRIVATE ${DUET_LIBEDIT_INCLUDE})
