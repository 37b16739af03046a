# The library: one object target per layer, and from all of them libatoll.a and libatoll.so.

# Of what is compiled in batches, which some presets ask for: small ones, so that every processor has some. (That
# each source compiles by itself the release build shows.)
if(NOT CMAKE_UNITY_BUILD_BATCH_SIZE)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 6)
endif()

# What holds for the library and for all who include its headers. The inline paths depend on these
# definitions, so they travel with the installed package.
add_library(atoll_config INTERFACE)
add_library(Atoll::config ALIAS atoll_config)
set_target_properties(atoll_config PROPERTIES EXPORT_NAME config)
target_compile_features(atoll_config INTERFACE cxx_std_20)
target_include_directories(atoll_config INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
  "$<INSTALL_INTERFACE:include>")
target_link_libraries(atoll_config INTERFACE Threads::Threads)

set(ATOLL_DEFINITIONS)
function(atoll_define name condition)
  set(value 0)
  if(${condition})
    set(value 1)
  endif()
  list(APPEND ATOLL_DEFINITIONS "${name}=${value}")
  set(ATOLL_DEFINITIONS "${ATOLL_DEFINITIONS}" PARENT_SCOPE)
endfunction()

set(sanitize_address OFF)
set(sanitize_thread OFF)
if(ATOLL_SANITIZE)
  set(sanitize_${ATOLL_SANITIZE} ON)
endif()
atoll_define(ATOLL_CHECKS ATOLL_CHECKS)
atoll_define(ATOLL_SCHEDULES ATOLL_SCHEDULES)
atoll_define(ATOLL_JEMALLOC ATOLL_JEMALLOC)
atoll_define(ATOLL_ASAN sanitize_address)
atoll_define(ATOLL_TSAN sanitize_thread)
target_compile_definitions(atoll_config INTERFACE ${ATOLL_DEFINITIONS})
if(ATOLL_SANITIZE)
  target_compile_options(atoll_config INTERFACE "$<INSTALL_INTERFACE:${ATOLL_SANITIZE_FLAGS}>")
  target_link_options(atoll_config INTERFACE "$<INSTALL_INTERFACE:${ATOLL_SANITIZE_FLAGS}>")
endif()

# Private headers, by their path from the root: for the layers, the tests and the benchmarks.
add_library(atoll_private_headers INTERFACE)
target_include_directories(atoll_private_headers INTERFACE "${PROJECT_SOURCE_DIR}")

set(atoll_dependencies TBB::tbb fmt::fmt)
if(ATOLL_JEMALLOC)
  list(APPEND atoll_dependencies PkgConfig::JEMALLOC)
endif()

set(atoll_objects)
set(ATOLL_PRESENT_LAYERS)
foreach(layer IN LISTS ATOLL_LAYERS)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${layer}/*.cc")
  if(NOT sources)
    continue()
  endif()
  file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${layer}/*.h")
  file(GLOB large_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${layer}/cycle_*.cc")
  add_library(atoll_${layer} OBJECT ${sources} ${headers})
  # No exceptions, and no use of RTTI; but type information is emitted, so that embedders who
  # derive from the library's classes may be built with it.
  target_compile_options(atoll_${layer} PRIVATE -fno-exceptions -fno-semantic-interposition)
  target_link_libraries(atoll_${layer}
    PUBLIC atoll_config atoll_private_headers
    PRIVATE atoll_warnings ${atoll_dependencies} nlohmann_json::nlohmann_json)
  # One collector for each encoding: each is as much to compile as a batch.
  set_source_files_properties(${large_sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC takes the anonymous namespaces of the sources in a batch for those of headers.
    target_compile_options(atoll_${layer} PRIVATE -Wno-subobject-linkage)
  endif()
  list(APPEND atoll_objects $<TARGET_OBJECTS:atoll_${layer}>)
  list(APPEND ATOLL_PRESENT_LAYERS ${layer})
endforeach()
if(NOT atoll_objects)
  message(WARNING "Atoll: no layer holds any source yet; the library is empty.")
  file(WRITE "${PROJECT_BINARY_DIR}/empty.cc" "")
  set(atoll_objects "${PROJECT_BINARY_DIR}/empty.cc")
endif()

add_library(atoll STATIC ${atoll_objects})
add_library(Atoll::atoll ALIAS atoll)
target_link_libraries(atoll PUBLIC atoll_config PRIVATE ${atoll_dependencies})
set_target_properties(atoll PROPERTIES
  LINKER_LANGUAGE CXX
  ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")

if(ATOLL_BUILD_SHARED)
  add_library(atoll_shared SHARED ${atoll_objects})
  add_library(Atoll::shared ALIAS atoll_shared)
  target_link_libraries(atoll_shared PUBLIC atoll_config PRIVATE ${atoll_dependencies})
  set_target_properties(atoll_shared PROPERTIES
    OUTPUT_NAME atoll
    EXPORT_NAME shared
    LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION}
    # Before 1.0 each minor version may break the binary interface.
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
endif()

# What sanitized programs of this build tree link to: the options that suit Atoll.
add_library(atoll_program_options INTERFACE)
if(ATOLL_SANITIZE)
  add_library(atoll_sanitizer_options OBJECT "${PROJECT_SOURCE_DIR}/cmake/sanitizer_options.cc")
  target_link_libraries(atoll_sanitizer_options PRIVATE atoll_config atoll_warnings)
  target_sources(atoll_program_options INTERFACE $<TARGET_OBJECTS:atoll_sanitizer_options>)
endif()

# atoll_compile_in_batches(TARGET): compiles several of its sources at a time, which halves the minutes: most of
# them go into the headers that all include. Not in a debug build, which is there for changing one file after
# another.
function(atoll_compile_in_batches target)
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
  endif()
endfunction()

# atoll_compile_quickly(SOURCE...): without optimization, since what they have is CLI11's parser, which takes 12 s
# with it. For sources that run once, and have nothing inline that others run often.
function(atoll_compile_quickly)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -O0)
endfunction()

# atoll_add_program(NAME SOURCE...): an executable on the static library that sees private headers.
function(atoll_add_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE
    Atoll::atoll atoll_private_headers atoll_warnings atoll_program_options)
endfunction()
