# src/report: the machines that `duet plan` knows go into the program as a string literal, as the catalogue does.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/catalog/machines.toml)
file(READ ${CMAKE_SOURCE_DIR}/catalog/machines.toml DUET_MACHINES_TEXT)
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/machines.toml.inc CONTENT "R\"DUET_TOML(${DUET_MACHINES_TEXT})DUET_TOML\"\n")
set_source_files_properties(src/report/machines.cc PROPERTIES INCLUDE_DIRECTORIES ${CMAKE_BINARY_DIR}/generated
  OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/generated/machines.toml.inc)
