# src/hub: hashes with OpenSSL, wheels with libzip, the catalogue with toml++ (headers only).
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_library(DUET_LIBZIP zip REQUIRED)
find_path(DUET_LIBZIP_INCLUDE zip.h REQUIRED)
find_path(DUET_TOMLPLUSPLUS_INCLUDE toml++/toml.h REQUIRED)
target_link_libraries(duet_core PUBLIC OpenSSL::Crypto ${DUET_LIBZIP})
target_include_directories(duet_core SYSTEM PRIVATE ${DUET_LIBZIP_INCLUDE} ${DUET_TOMLPLUSPLUS_INCLUDE})

# The catalogue goes into the program as a string literal, so that the binary finds it from any folder.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/catalog/models.toml)
file(READ ${CMAKE_SOURCE_DIR}/catalog/models.toml DUET_CATALOG_TEXT)
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/models.toml.inc CONTENT "R\"DUET_TOML(${DUET_CATALOG_TEXT})DUET_TOML\"\n")
set_source_files_properties(src/hub/catalog.cc PROPERTIES INCLUDE_DIRECTORIES ${CMAKE_BINARY_DIR}/generated
  OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/generated/models.toml.inc)
