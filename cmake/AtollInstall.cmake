# install: headers, both libraries, the CMake package, atoll.pc and the licence.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(atoll_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Atoll")
set(atoll_targets atoll atoll_config)
if(ATOLL_BUILD_SHARED)
  list(APPEND atoll_targets atoll_shared)
endif()

install(DIRECTORY include/atoll DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h")
install(TARGETS ${atoll_targets} EXPORT AtollTargets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT AtollTargets NAMESPACE Atoll:: DESTINATION "${atoll_package_dir}")
configure_package_config_file(cmake/AtollConfig.cmake.in
  "${PROJECT_BINARY_DIR}/AtollConfig.cmake" INSTALL_DESTINATION "${atoll_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/AtollConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/AtollConfig.cmake"
              "${PROJECT_BINARY_DIR}/AtollConfigVersion.cmake"
        DESTINATION "${atoll_package_dir}")

# pkg-config has no targets: the flags of Atoll::config, spelled out.
set(atoll_pc_cflags ${ATOLL_SANITIZE_FLAGS})
foreach(definition IN LISTS ATOLL_DEFINITIONS)
  list(APPEND atoll_pc_cflags "-D${definition}")
endforeach()
list(JOIN atoll_pc_cflags " " atoll_pc_cflags)
list(JOIN ATOLL_SANITIZE_FLAGS " " atoll_pc_libs)
set(atoll_pc_requires "tbb, fmt")
if(ATOLL_JEMALLOC)
  string(APPEND atoll_pc_requires ", jemalloc")
endif()
# The prefix is relative to the file, so that an installed tree can be moved.
file(RELATIVE_PATH atoll_pc_prefix "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
configure_file(cmake/atoll.pc.in "${PROJECT_BINARY_DIR}/atoll.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/atoll.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(EXISTS "${PROJECT_SOURCE_DIR}/LICENSE")
  install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
endif()
