# Where Atoll builds, and the flags that hold for everything in this build tree.

if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  message(FATAL_ERROR "Atoll builds on Linux only; this system is ${CMAKE_SYSTEM_NAME}.")
endif()
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$")
  message(FATAL_ERROR "Atoll builds for x86_64, and for aarch64 as an experiment; "
                      "this processor is ${CMAKE_SYSTEM_PROCESSOR}.")
endif()
if(NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  message(FATAL_ERROR "Atoll needs 64-bit pointers.")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
  endif()
  find_program(ATOLL_CCACHE ccache)
  if(ATOLL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${ATOLL_CCACHE}")
  endif()
endif()

set(ATOLL_SANITIZE_FLAGS)
if(ATOLL_SANITIZE STREQUAL "address")
  # The library has no RTTI, which the vptr check (and Clang's function check) would need.
  set(ATOLL_SANITIZE_FLAGS -fsanitize=address,undefined -fno-sanitize=vptr
                           -fno-sanitize-recover=all)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    list(APPEND ATOLL_SANITIZE_FLAGS -fno-sanitize=function)
  endif()
elseif(ATOLL_SANITIZE STREQUAL "thread")
  set(ATOLL_SANITIZE_FLAGS -fsanitize=thread)
elseif(ATOLL_SANITIZE)
  message(FATAL_ERROR "ATOLL_SANITIZE is '${ATOLL_SANITIZE}'; it may be empty, address or thread.")
endif()
if(ATOLL_SANITIZE)
  add_compile_options(${ATOLL_SANITIZE_FLAGS} -fno-omit-frame-pointer)
  add_link_options(${ATOLL_SANITIZE_FLAGS})
  if(ATOLL_JEMALLOC)
    # Debian's jemalloc replaces malloc, and so would hide the sanitizers' own.
    message(STATUS "Atoll: jemalloc is off under a sanitizer")
    set(ATOLL_JEMALLOC OFF)
  endif()
endif()

# Warnings, for every target of ours.
add_library(atoll_warnings INTERFACE)
target_compile_options(atoll_warnings INTERFACE -Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 takes "x" + string for an overlap, at -O3: gcc.gnu.org/bugzilla/show_bug.cgi?id=105329
  target_compile_options(atoll_warnings INTERFACE -Wno-restrict)
endif()
if(ATOLL_WERROR)
  target_compile_options(atoll_warnings INTERFACE -Werror)
endif()
