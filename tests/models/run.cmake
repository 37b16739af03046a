# Checks one model: cmake -DSPIN= -DCC= -DMODEL=FILE -DWORK_DIR= [-DCASE=MACRO] [-DWRONG=MACRO] -P run.cmake
# Without WRONG spin must look at every state and find nothing; with it, it must find a fault.
file(REMOVE_RECURSE "${WORK_DIR}")
file(MAKE_DIRECTORY "${WORK_DIR}")

set(macros)
foreach(macro IN ITEMS ${CASE} ${WRONG})
  list(APPEND macros "-D${macro}")
endforeach()
execute_process(COMMAND "${SPIN}" ${macros} -a "${MODEL}"
  WORKING_DIRECTORY "${WORK_DIR}" COMMAND_ERROR_IS_FATAL ANY)
# A fault is found at once: then compiling is what takes time. MEMLIM: in MiB.
if(WRONG)
  set(optimize -O0)
else()
  set(optimize -O1)
endif()
execute_process(COMMAND "${CC}" ${optimize} -w -DSAFETY -DMEMLIM=900 -DVECTORSZ=2048 -DCOLLAPSE -o check pan.c
  WORKING_DIRECTORY "${WORK_DIR}" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${WORK_DIR}/check" -m1000000 -n
  WORKING_DIRECTORY "${WORK_DIR}" OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
message("${output}")
if(NOT output MATCHES "errors: ([0-9]+)")
  message(FATAL_ERROR "the check of ${MODEL} did not come to an end: ${result}")
endif()
set(errors ${CMAKE_MATCH_1})
if(WRONG)
  if(errors EQUAL 0)
    message(FATAL_ERROR "${MODEL} with ${WRONG} is wrong, and the check finds nothing")
  endif()
  return()
endif()
if(NOT errors EQUAL 0)
  execute_process(COMMAND "${SPIN}" -t -p -g "${MODEL}" WORKING_DIRECTORY "${WORK_DIR}")
  message(FATAL_ERROR "${MODEL}: see the trail above")
endif()
if(output MATCHES "Search not completed|max search depth too small|out of memory")
  message(FATAL_ERROR "${MODEL}: not every state was looked at")
endif()
