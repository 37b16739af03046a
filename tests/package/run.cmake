# Installs the build tree into a prefix of its own and builds an outside project against that copy:
# by find_package with the static and the shared library, and by pkg-config with the plain compiler.
#
#   cmake -DBUILD_DIR= -DSOURCE_DIR= -DWORK_DIR= -DCXX= -DGENERATOR= -DSHARED= -DLIBDIR= -P run.cmake
cmake_minimum_required(VERSION 3.25)

function(must)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output
                  ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed (${result}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(must_run program)
  must(${program})
  if(NOT output MATCHES "outside: ok")
    message(FATAL_ERROR "${program} printed: ${output}")
  endif()
  message(STATUS "runs: ${program}")
endfunction()

set(prefix "${WORK_DIR}/prefix")
file(REMOVE_RECURSE "${WORK_DIR}")
must("${CMAKE_COMMAND}" --install "${BUILD_DIR}" --prefix "${prefix}")
# Moved after installing: nothing in the copy may name the place it was installed to.
file(RENAME "${prefix}" "${WORK_DIR}/moved")
set(prefix "${WORK_DIR}/moved")

must("${CMAKE_COMMAND}" -G "${GENERATOR}" -S "${SOURCE_DIR}" -B "${WORK_DIR}/build"
     "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_PREFIX_PATH=${prefix}"
     -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF)
must("${CMAKE_COMMAND}" --build "${WORK_DIR}/build")
must_run("${WORK_DIR}/build/outside_static")
if(SHARED)
  must_run("${WORK_DIR}/build/outside_shared")
endif()

find_program(PKG_CONFIG NAMES pkg-config pkgconf REQUIRED)
set(ENV{PKG_CONFIG_PATH} "${prefix}/${LIBDIR}/pkgconfig:$ENV{PKG_CONFIG_PATH}")
must("${PKG_CONFIG}" --cflags atoll)
separate_arguments(cflags UNIX_COMMAND "${output}")
if(SHARED)
  must("${PKG_CONFIG}" --libs atoll)
  separate_arguments(libs UNIX_COMMAND "${output}")
  must("${CXX}" -std=c++20 ${cflags} "${SOURCE_DIR}/main.cc" -o "${WORK_DIR}/pc_shared" ${libs}
       "-Wl,-rpath,${prefix}/${LIBDIR}")
  must_run("${WORK_DIR}/pc_shared")
endif()
# --static names what libatoll.a needs; the linker is told to take the archive, not the shared one.
must("${PKG_CONFIG}" --static --libs atoll)
string(REPLACE "-latoll" "-l:libatoll.a" output "${output}")
separate_arguments(libs UNIX_COMMAND "${output}")
must("${CXX}" -std=c++20 ${cflags} "${SOURCE_DIR}/main.cc" -o "${WORK_DIR}/pc_static" ${libs})
must_run("${WORK_DIR}/pc_static")
