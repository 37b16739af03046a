# Programs of GoogleTest: how they are compiled, and what of them is a test of ctest's.

find_package(GTest REQUIRED)
include(GoogleTest)

# atoll_compile_as_test(TARGET): in batches, with the headers that all include compiled once, and with
# ATOLL_TEST_OPTIONS. These may be other options than the library is compiled with. So the library's objects go
# first: of inline functions that both have, the library's are linked.
function(atoll_compile_as_test target)
  atoll_compile_in_batches(${target})
  target_precompile_headers(${target} REUSE_FROM test_headers)
  # g++ forgets the pragma in typed.h that says so once that is precompiled.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-invalid-offsetof>)
  if(ATOLL_TEST_OPTIONS)
    target_compile_options(${target} PRIVATE ${ATOLL_TEST_OPTIONS})
    target_link_options(${target} PRIVATE
      "LINKER:--whole-archive,$<TARGET_FILE:atoll>,--no-whole-archive")
  endif()
endfunction()

# atoll_add_cases(TARGET NAME TIMEOUT PROCESSORS): each case is a test, NAME.SUITE.CASE. Under a sanitizer, where each
# start of a program takes a tenth of a second, the cases are dealt to as many tests as there are source files,
# NAME.1 and so on.
function(atoll_add_cases target name timeout processors)
  set(properties TIMEOUT ${timeout} LABELS ${name} PROCESSORS ${processors})
  if(NOT ATOLL_SANITIZE)
    # The cases are asked for when ctest starts, not while building: a program that fails to start then fails as a
    # test, and the build stays usable.
    gtest_discover_tests(${target}
      TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cc$")
  list(LENGTH sources parts)
  foreach(part RANGE 1 ${parts})
    math(EXPR index "${part} - 1")
    add_test(NAME ${name}.${part} COMMAND ${target})
    set_tests_properties(${name}.${part} PROPERTIES ${properties}
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${parts};GTEST_SHARD_INDEX=${index}")
  endforeach()
endfunction()
