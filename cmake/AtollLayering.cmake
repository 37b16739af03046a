# Fails the build when a layer includes what stands above it (see check_layers.cmake).

file(GLOB_RECURSE atoll_layer_files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/atoll/*.h")
foreach(layer IN LISTS ATOLL_LAYERS)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS
       "${PROJECT_SOURCE_DIR}/${layer}/*.h" "${PROJECT_SOURCE_DIR}/${layer}/*.cc")
  list(APPEND atoll_layer_files ${files})
endforeach()

set(atoll_layer_stamp "${PROJECT_BINARY_DIR}/layers.stamp")
add_custom_command(
  OUTPUT "${atoll_layer_stamp}"
  COMMAND "${CMAKE_COMMAND}" "-DROOT=${PROJECT_SOURCE_DIR}"
          -P "${PROJECT_SOURCE_DIR}/cmake/check_layers.cmake"
  COMMAND "${CMAKE_COMMAND}" -E touch "${atoll_layer_stamp}"
  DEPENDS ${atoll_layer_files} "${PROJECT_SOURCE_DIR}/cmake/check_layers.cmake"
  COMMENT "Checking that no layer includes one above it"
  VERBATIM)
add_custom_target(atoll_layers ALL DEPENDS "${atoll_layer_stamp}")
foreach(layer IN LISTS ATOLL_PRESENT_LAYERS)
  add_dependencies(atoll_${layer} atoll_layers)
endforeach()
